"""The one declaration of messages: the types that mypy sees and the plain checks say what the models say."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, NotRequired, get_args, get_origin, get_type_hints

import pytest

from shared import messages
from shared.message_checks import CHECKS
from shared.models import MODELS

KINDS = sorted(MODELS)


def plain(annotation: Any) -> Any:
    """An annotation without its bounds: what a type checker makes of it."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if get_origin(annotation) is list:
        return list[plain(get_args(annotation)[0])]  # type: ignore[misc]
    if NoneType in get_args(annotation):
        (inner,) = (each for each in get_args(annotation) if each is not NoneType)
        return plain(inner) | None
    return annotation


@pytest.mark.parametrize("kind", KINDS)
def test_types_of_messages_are_those_of_their_models(kind: str) -> None:
    model = MODELS[kind]
    hints = get_type_hints(model, include_extras=True)
    declared = {
        info.alias or name: plain(hints[name]) if info.is_required() else NotRequired[plain(hints[name])]
        for name, info in model.model_fields.items()
    }
    typed = getattr(messages, f"{kind.title()}Message")
    assert list(get_type_hints(typed, include_extras=True).items()) == list(declared.items())


def test_every_model_has_its_check_and_its_type() -> None:
    assert CHECKS.keys() == MODELS.keys()
    assert {kind for kind in KINDS if hasattr(messages, f"{kind.title()}Message")} == MODELS.keys()
