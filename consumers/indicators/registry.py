"""Indicators by their names in settings (DESIGN §4.4 `INDICATORS`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from consumers.indicators.declarations import ALL_COLUMNS, BY_COLUMN, FAMILIES
from consumers.indicators.indicator_set import Column, IndicatorSet
from consumers.indicators.windows import LONGEST_WINDOW
from shared.errors import SettingsError

__all__ = ["ALL_COLUMNS", "indicator_set"]

_NAME: Final = re.compile(r"(\w+)(?:\(([^()]*)\))?", re.ASCII)


def indicator_set(names: Sequence[str] = ("all",)) -> IndicatorSet:
    """The indicators of these names, each column once, in the order named.

    Args:
        names: "all", families ("trend", …), columns ("momentum_rsi"), or columns with parameters in declared
            order: "momentum_rsi(21)", stored as momentum_rsi_21. Several parameters are separated by spaces,
            since settings are comma-separated lists: "trend_macd(35 5 5)". Omitted ones keep their defaults.

    Raises:
        SettingsError: a name or parameter is wrong; the message names similar or allowed ones.
    """
    return _made(columns_of(names))


def columns_of(names: Sequence[str]) -> tuple[Column, ...]:
    """The columns of these names, as `indicator_set` has them."""
    columns: dict[str, Column] = {}
    for name in names:
        for column in _columns(name.strip()):
            columns.setdefault(column.name, column)
    if not columns:
        raise SettingsError(
            'INDICATORS: "" names no indicator; write all, a family or columns like momentum_rsi'
        )
    return tuple(columns.values())


@lru_cache(maxsize=64)
def _made(columns: tuple[Column, ...]) -> IndicatorSet:
    # Compiling the full set takes a few tenths of a second; sets have no state and can be shared.
    return IndicatorSet(columns)


def _columns(name: str) -> list[Column]:
    match = _NAME.fullmatch(name)
    if not match:
        raise _unknown(name)
    base, given = match.groups()
    if given is None and base == "all":
        return [_column(column, ()) for column in ALL_COLUMNS]
    if given is None and base in FAMILIES:
        return [_column(column, ()) for column, declared in BY_COLUMN.items() if declared.family == base]
    if base not in BY_COLUMN:
        raise _unknown(name)
    return [_column(base, tuple(re.split(r"[\s,]+", given.strip())) if given is not None else ())]


@lru_cache(maxsize=1024)
def _column(base: str, given: tuple[str, ...]) -> Column:
    declared = BY_COLUMN[base]
    names = tuple(declared.parameters)
    if len(given) > len(names):
        allowed = " ".join(names) or "none"
        raise SettingsError(
            f'INDICATORS: "{base}({" ".join(given)})" has too many parameters; {base} takes: {allowed}'
        )
    parameters = dict(declared.parameters)
    for parameter, text in zip(names, given, strict=False):
        parameters[parameter] = _whole_number(base, parameter, text)
    stored = base
    if parameters != declared.parameters:
        stored = "_".join((base, *(str(parameters[parameter]) for parameter in names[: len(given)])))
    return Column(
        stored,
        declared.make,
        tuple(parameters.items()),
        tuple(declared.columns).index(base),
        declared.warm_up(base, parameters),
    )


def _whole_number(base: str, parameter: str, text: str) -> int:
    # A window of one bar is the bar itself, without a past.
    least = 1 if parameter == "deviations" else 2
    if text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= LONGEST_WINDOW:
        return int(text)
    raise SettingsError(
        f'INDICATORS: "{text}" is not a {parameter} of {base}; '
        f"write a whole number from {least} to {LONGEST_WINDOW}"
    )


def _unknown(name: str) -> SettingsError:
    base = name.split("(", 1)[0]
    near = difflib.get_close_matches(base, ("all", *FAMILIES, *ALL_COLUMNS), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "write columns like momentum_rsi, or one of"
    return SettingsError(
        f'INDICATORS: "{name[:80]}" is not an indicator; {hint} (all, {", ".join(FAMILIES)}, or any column)'
    )
