"""The exported JSON Schemas: docs/schemas changes only on purpose, and only compatibly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.models import MODELS

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "schemas"


def exported(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = orjson.loads((SCHEMAS / f"{kind}.json").read_bytes())
    return schema


def incompatibilities(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why messages written to the old schema might not be understood by readers of the new one."""
    reasons = [f"{name} was removed" for name in old["properties"] if name not in new["properties"]]
    reasons += [f"{name} became required" for name in new["required"] if name not in old["required"]]
    reasons += [
        f"{name} changed its type"
        for name, form in old["properties"].items()
        if name in new["properties"] and new["properties"][name] != form
    ]
    return reasons


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_model_is_compatible_with_its_exported_schema(kind: str) -> None:
    assert incompatibilities(exported(kind), MODELS[kind].model_json_schema()) == []


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_export_is_up_to_date(kind: str) -> None:
    assert exported(kind) == MODELS[kind].model_json_schema(), "run: make schemas"


def test_an_incompatible_change_is_noticed() -> None:
    old = MODELS["trade"].model_json_schema()
    new = orjson.loads(orjson.dumps(old))
    del new["properties"]["price"]
    new["required"].append("venue")
    new["properties"]["trade_id"]["type"] = "string"
    assert len(incompatibilities(old, new)) == 3


def test_there_is_an_export_for_every_model_and_nothing_else() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(MODELS)
