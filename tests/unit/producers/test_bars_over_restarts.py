"""Bars of producers that are killed and start again: each is exact or in the ledger, none comes in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from producers.bar_builder import BarBuilder
from producers.built_bars import BuiltBars
from producers.earlier_bars import EarlierBars
from tests.unit.producers.restarts_world import Troubles, faults_of

QUIET: Final = (400, 6_000, 12_000)
KINDS: Final = {
    "killed": Troubles(),
    "out of order": Troubles(disordered=0.2),
    "late": Troubles(late=0.3, gaps_ms=(400, 3_000, 8_000)),
    "REST trails": Troubles(trails_ms=5_000, gaps_ms=QUIET, down_ms=(0, 1_500), silent=True, absent=0.0),
    "all": Troubles(
        disordered=0.2,
        late=0.05,
        lost=0.02,
        trails_ms=5_000,
        gaps_ms=(50, 3_000, 12_000),
        down_ms=(500, 8_000),
    ),
}
SEEDS: Final = range(25)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_each_bar_is_exact_or_in_the_ledger_whatever_each_kill_took_from_each_topic(kind: str) -> None:
    found = {seed: faults for seed in SEEDS if (faults := faults_of(KINDS[kind], seed))}
    assert not found


def nothing_settled(_earlier: EarlierBars) -> list[Any]:
    return []


def nothing_issued(_builder: BarBuilder, _number: int, _time_ms: int) -> None:
    return None


def none_earlier(_earlier: EarlierBars, _bar: Any) -> bool:
    return False


def compared_at_once(begin: Callable[..., None]) -> Callable[..., None]:
    def begin_at_once(bars: BuiltBars, *of: Any) -> None:
        begin(bars, *of)
        bars._building_again = False

    return begin_at_once


# What is switched off, and the kinds that it is for.
MECHANISMS: Final = {
    "what is built again is compared": (EarlierBars, "settle", nothing_settled, ("late",)),
    "only after the reading": (
        BuiltBars,
        "__init__",
        compared_at_once(BuiltBars.__init__),
        ("out of order",),
    ),
    "bars wait for trades that REST does not have yet": (
        BarBuilder,
        "issued",
        nothing_issued,
        ("REST trails",),
    ),
    "bars of earlier producers are told apart": (EarlierBars, "has", none_earlier, ("out of order", "late")),
}


def each_world(kinds: tuple[str, ...]) -> Iterator[list[str]]:
    return (faults_of(KINDS[kind], seed) for kind in kinds for seed in SEEDS)


@pytest.mark.thorough
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_without_a_mechanism_some_bar_is_wrong(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, off, kinds = MECHANISMS[mechanism]
    monkeypatch.setattr(owner, name, off)
    assert any(each_world(kinds))
