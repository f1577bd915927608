"""Exact decimals out of an exchange's JSON, whether it sends them as strings or as numbers.

A JSON number that passes through a binary float loses its trailing zeros, and digits beyond the fifteenth:
`decode_exact` keeps the text instead.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from shared.errors import InvalidMessage
from shared.message_checks import is_decimal

# Of the contract's decimal strings: digits before and behind the point.
_MOST_DIGITS: Final = 20
# All decimal texts that are 0: looking one up is twice as fast as `is_zero`.
ZEROS: Final = frozenset(
    "0" * whole + ("." + "0" * fraction if fraction else "")
    for whole in range(1, _MOST_DIGITS + 1)
    for fraction in range(_MOST_DIGITS + 1)
)
_DECIMAL: Final = "a decimal number of at most 20 digits before and 20 behind the point, without a sign"
_EXPONENTIAL: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,40}))?[eE]([+-]?[0-9]{1,3})")


class NotJson(ValueError):
    """The bytes are not JSON; the message says where."""


def _refuse_constant(name: str) -> None:
    raise NotJson(f"not JSON: {name} is no number")


_DECODER: Final = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant)


def decode_exact(body: bytes | str) -> Any:
    """Decoded JSON in which a number with a fraction or an exponent is its own text; integers are `int`.

    Raises:
        NotJson: it is none, is nested too deeply, or has an integer of thousands of digits.
    """
    try:
        return _DECODER.decode(body if isinstance(body, str) else str(body, "utf-8"))
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("not JSON: nested too deeply") from None
    except ValueError as error:  # json's and the codec's errors, and Python's bound of integers
        raise NotJson(f"not JSON: {error}") from None


def decimal_text(field: str, value: Any) -> str:
    """A price or quantity as the contract has it: no sign, no exponent, all digits that were sent.

    Args:
        field: its name in an error.
        value: of `decode_exact`: a JSON string, the text of a number, or an integer.

    Raises:
        InvalidMessage: no decimal, negative, or too long.
    """
    if type(value) is str:
        if is_decimal(value):
            return value
        spelled = _spelled_out(value)
        if spelled is not None:
            return spelled
    elif type(value) is int and 0 <= value < 10**_MOST_DIGITS:
        return str(value)
    raise InvalidMessage(field, value, _DECIMAL)


def padded(field: str, value: Any, places: int) -> str:
    """`decimal_text` with at least `places` digits behind the point: an exchange may leave zeros out.

    Digits that were sent are never cut, also if there are more: what was sent is what is signed.

    Raises:
        InvalidMessage: no decimal.
    """
    text = decimal_text(field, value)
    whole, _, fraction = text.partition(".")
    return text if len(fraction) >= places else f"{whole}.{fraction.ljust(places, '0')}"


def scaled(text: str) -> int:
    """A decimal text in units of 10^-20, the smallest of the contract: exact, ordered as the numbers are.

    Two texts of one number, such as "1.5" and "1.50", give the same.
    """
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(_MOST_DIGITS, "0"))


def is_zero(text: str) -> bool:
    """Whether a decimal text is 0, with any number of zeros."""
    return not text.strip("0.")


def _spelled_out(text: str) -> str | None:
    """`1.5e-7` as `0.00000015`; None if it is no number in that form, or too long."""
    found = _EXPONENTIAL.fullmatch(text)
    if found is None:
        return None
    whole, fraction, exponent = found[1], found[2] or "", int(found[3])
    digits, point = whole + fraction, len(whole) + exponent
    digits = "0" * (1 - point) + digits if point < 1 else digits.ljust(point, "0")
    point = max(point, 1)
    whole, fraction = digits[:point].lstrip("0") or "0", digits[point:]
    if len(fraction) > _MOST_DIGITS:
        if fraction[_MOST_DIGITS:].strip("0"):
            return None
        fraction = fraction[:_MOST_DIGITS]
    if len(whole) > _MOST_DIGITS:
        return None
    return f"{whole}.{fraction}" if fraction else whole
