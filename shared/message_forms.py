"""The usual form of messages on Kafka, as regular expressions made from their models (`shared.models`).

Bytes of the usual form are JSON and keep every rule of the contract: nothing is left to check once they are
decoded. One expression over the bytes costs half of what checks of the decoded fields do. What has another
form may be sound too: fields in another order or unknown ones, spaces, escapes, the last digits of bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from shared.models import MODELS, Count, DecimalString, Id, IdOrNone, Message, Name

# Of each type the usual values, all within its rules. Possessive, so that nothing is tried twice.
_FORMS: Final[dict[Any, str]] = {
    Name: r'"[A-Za-z0-9/._-]{1,64}+"',
    Count: r"(?:0|[1-9][0-9]{0,17}+)",  # below 2^63
    Id: r"(?:0|[1-9][0-9]{0,14}+)",  # below 2^53
    IdOrNone: r"(?:0|-1|[1-9][0-9]{0,14}+)",
    DecimalString: r'"[0-9]{1,20}+(?:\.[0-9]{1,20}+)?+"',
    bool: r"(?:true|false)",
}


def _form(annotation: Any) -> str:
    if annotation in _FORMS:
        return _FORMS[annotation]
    if get_origin(annotation) in (Union, UnionType):
        (inner,) = (each for each in get_args(annotation) if each is not NoneType)
        return rf"(?:{_form(inner)}|null)"
    plain = get_args(annotation)[0]
    if get_origin(plain) is Literal:
        return f'"(?:{"|".join(map(re.escape, get_args(plain)))})"'
    raise TypeError(f"no usual form is known for {annotation}")


def _form_of(model: type[Message]) -> Callable[[bytes], object]:
    hints = get_type_hints(model, include_extras=True)
    fields = []
    for name, info in model.model_fields.items():
        if info.is_required():
            form = "1" if info.alias == "schema" else _form(hints[name])
            fields.append(f'"{info.alias or name}":{form}')
    return re.compile(f"\\{{{','.join(fields)}\\}}".encode()).fullmatch


# Kind → whether bytes have its usual form. Books take their check from their levels; ledger events are few.
IS_USUAL: Final = {kind: _form_of(MODELS[kind]) for kind in ("kline", "trade", "quote")}
