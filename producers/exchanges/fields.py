"""Fields of an exchange's JSON, checked one by one: errors name field and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from shared.errors import InvalidMessage
from shared.shortened import quoted, shortened
from shared.trade_ids import EPOCH_SPAN

_LONGEST_NAME: Final = 64
_LONGEST_ID: Final = 16  # digits of 2^53

# What a value of an unexpected type can raise, nested values included.
OF_FOREIGN_VALUES: Final = (
    *(InvalidMessage, LookupError, TypeError, AttributeError),
    *(ValueError, ArithmeticError, RecursionError),
)


def reason(error: Exception) -> str:
    """One of OF_FOREIGN_VALUES in words, for a dead letter."""
    match error:
        case KeyError():
            return f"field {quoted(error.args[0])} is missing"
        case InvalidMessage():
            return str(error)
        case _:
            return f"a field of the wrong type: {shortened(error)}"


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """A field that must be there.

    Raises:
        InvalidMessage: it is missing. So do all others here, also for a value of another type.
    """
    try:
        return fields[name]
    except KeyError:
        raise InvalidMessage(name) from None


def object_of(field: str, value: Any) -> dict[str, Any]:
    """A JSON object, its fields not yet checked."""
    if type(value) is not dict:
        raise InvalidMessage(field, value, "a JSON object")
    return value


def list_of(field: str, value: Any) -> list[Any]:
    """A list, its items not yet checked."""
    if type(value) is not list:
        raise InvalidMessage(field, value, "a list")
    return value


def row_of(field: str, value: Any, length: int) -> list[Any]:
    """A list of at least `length` values."""
    if type(value) is not list or len(value) < length:
        raise InvalidMessage(field, value, f"a list of at least {length} values")
    return value


def name_of(fields: Mapping[str, Any], name: str) -> str:
    """A text of 1 to 64 characters, such as a symbol."""
    value = field_of(fields, name)
    if type(value) is not str or not 0 < len(value) <= _LONGEST_NAME:
        raise InvalidMessage(name, value, "a name of 1 to 64 characters")
    return value


def choice_of(fields: Mapping[str, Any], name: str, choices: Mapping[str, bool]) -> bool:
    """What a word means; `choices` are the words that are known, as the exchange spells them."""
    value = field_of(fields, name)
    if type(value) is not str or value not in choices:
        raise InvalidMessage(name, value, " or ".join(choices))
    return choices[value]


def whole_of(fields: Mapping[str, Any], name: str, most: int = EPOCH_SPAN - 1) -> int:
    """An integer from 0 to `most`; also as text, as Coinbase sends ids."""
    return whole(name, field_of(fields, name), most)


def whole(field: str, value: Any, most: int = EPOCH_SPAN - 1) -> int:
    """The same of a value."""
    number = value
    if type(value) is str and 0 < len(value) <= _LONGEST_ID and value.isascii() and value.isdecimal():
        number = int(value)
    if type(number) is not int or not 0 <= number <= most:
        raise InvalidMessage(field, value, f"an integer from 0 to {most}")
    return number
