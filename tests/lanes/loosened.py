"""The rules of lanes, each loosened once: with any of them the comparison must find a frame that differs."""

from __future__ import annotations

from typing import Final

from producers.exchanges.wire_text import RULES

_DECIMAL: Final = RULES["decimal"]
_ID: Final = RULES["id"]
_LEVEL: Final = rf'\["{_DECIMAL}","{_DECIMAL}"\]'


def _levels(level: str) -> str:
    return rf"\[(?:{level}(?:,{level})*+)?+\]"


# What is let pass: the rule, and its pattern.
LOOSENED: Final[dict[str, tuple[str, str]]] = {
    "a decimal with a sign": ("decimal", rf"-?{_DECIMAL}"),
    "a decimal with an exponent": ("decimal", rf"{_DECIMAL}(?:e-?[0-9]+)?"),
    "a decimal of 21 digits": ("decimal", r"[0-9]{1,21}+(?:\.[0-9]{1,20}+)?+"),
    "a decimal of 21 places": ("decimal", r"[0-9]{1,20}+(?:\.[0-9]{1,21}+)?+"),
    "a decimal that ends in a point": ("decimal", r"[0-9]{1,20}+(?:\.[0-9]{0,20}+)?+"),
    "a decimal without digits before the point": ("decimal", r"[0-9]{0,20}+\.[0-9]{1,20}+"),
    "a decimal with two points": ("decimal", r"[0-9.]{3,41}"),
    "a decimal with a space": ("decimal", rf" ?{_DECIMAL}"),
    "a decimal of any characters": ("decimal", r'[^"]*+'),
    "an empty side": ("positive", _DECIMAL),
    "an empty side with few zeros": ("positive", rf'(?!0\.00000000"){_DECIMAL}'),
    "a price with a sign": ("positive", rf'-?(?!0[0.]*+"){_DECIMAL}'),
    "an id with leading zeros": ("id", r"[0-9]{1,15}+"),
    "a negative id": ("id", rf"-?(?:{_ID})"),
    "an id from 2^53 on": ("id", r"0|[1-9][0-9]{0,17}+"),
    "a first id below -1": ("id_or_none", rf"-2|-1|{_ID}"),
    "a time with a leading zero": ("time", r"[0-8][0-9]{12}"),
    "a flag that is null": ("flag", r"true|false|null"),
    "a flag that is a number": ("flag", r"true|false|[01]"),
    "a flag in capitals": ("flag", r"(?i:true|false)"),
    "levels without a comma between": ("levels", rf"\[(?:{_LEVEL},?+)*+\]"),
    "levels with a space": ("levels", rf"\[(?:{_LEVEL}(?:, ?{_LEVEL})*+)?+\]"),
    "a level with a third value": ("levels", _levels(rf'\["{_DECIMAL}","{_DECIMAL}"(?:,"[0-9]+")?\]')),
    "a level without a quantity": ("levels", _levels(rf'\["{_DECIMAL}"(?:,"{_DECIMAL}")?\]')),
    "a level with a sign": ("levels", _levels(rf'\["{_DECIMAL}","-?{_DECIMAL}"\]')),
    "an unused number with leading zeros": ("any_id", r"[0-9]{1,18}+"),
    "an unused text of any bytes": ("any_decimal", r'[^"]*+'),
}
