"""What is noted of a series, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from consumers import ledger_incidents
from consumers.ledger_incidents import SeriesIncidents
from shared.ledger import LedgerSeries
from tests.builders import NOW_MS, ledger

SERIES = LedgerSeries("binance", "BTCUSDC", "klines", "1s")


def noted(*events: tuple[str, int, str]) -> SeriesIncidents:
    """Of (kind, second, detail)."""
    incidents = SeriesIncidents()
    for kind, second, detail in events:
        at = NOW_MS + second * 1_000
        message: Any = ledger(
            stream="klines", interval="1s", kind=kind, first=at, last=at, count=1, detail=detail
        )
        incidents.receive(SERIES, message)
    return incidents


def test_a_bar_of_which_a_producer_says_the_same_again_is_revised_once() -> None:
    said = ("revised", 0, "trades say high 7")
    incidents = noted(said, ("revised", 1, "trades say high 7"), said)
    assert incidents.counts == {"revised": 2}
    assert [(each.first - NOW_MS) // 1_000 for each in incidents.newest()] == [0, 1]


def test_many_bars_of_which_a_producer_says_the_same_again_are_revised_once_each() -> None:
    said = [("revised", second, "trades say high 7") for second in range(120)]
    assert noted(*said, *said).counts == {"revised": 120}


def test_a_bar_that_is_revised_otherwise_counts_again() -> None:
    incidents = noted(("revised", 0, "trades say high 7"), ("revised", 0, "close 1, now 2"))
    assert incidents.counts == {"revised": 2}


def test_other_incidents_count_as_often_as_they_are_entered() -> None:
    assert noted(("late", 0, "again"), ("late", 0, "again")).counts == {"late": 2}


def test_what_the_trades_of_the_newest_wrong_bars_say_is_kept_and_survives_a_snapshot() -> None:
    said = [("revised", second, f"trades say high {second}") for second in range(301)]
    other = ("revised", 7, "close 1, now 2")
    incidents = noted(*said, other, said[300])
    kept = {NOW_MS + second * 1_000: f"trades say high {second}" for second in range(1, 301)}
    assert incidents.trades_say == kept == SeriesIncidents.of(incidents.state()).trades_say
    state = incidents.state()
    del state["trades_say"]
    assert SeriesIncidents.of(state).trades_say == {}, "of a version that kept none"


def test_what_is_noted_survives_a_snapshot_and_is_known_again() -> None:
    said = ("revised", 0, "trades say high 7")
    incidents = SeriesIncidents.of(noted(said).state())
    at = NOW_MS
    message: Any = ledger(
        stream="klines", interval="1s", kind="revised", first=at, last=at, count=1, detail=said[2]
    )
    incidents.receive(SERIES, message)
    assert incidents.counts == {"revised": 1}


def test_what_two_readers_noted_is_in_the_order_of_its_time_and_what_both_noted_counts_once() -> None:
    both = ("late", 2, "again")
    ours, theirs = noted(("late", 5, "b"), both), noted(("late", 1, "a"), both, ("revised", 9, "low 1"))
    ours.merge(theirs)
    assert ours.counts == {"late": 3, "revised": 1}
    assert [(each.first - NOW_MS) // 1_000 for each in ours.newest()] == [1, 2, 5, 9]
    assert ours.late.id_count() == 3


def test_which_bars_were_late_is_known_from_an_id_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_incidents, "_MAX_LATE_RANGES", 10)
    incidents = noted(*(("late", 2 * second, "again") for second in range(12)))
    assert incidents.late_from == NOW_MS // 1_000 + 3
    state = incidents.state()
    assert SeriesIncidents.of(state).late_from == incidents.late_from
    del state["late_from"]  # as an earlier version wrote it: perhaps all that it knew, perhaps not
    assert SeriesIncidents.of(state).late_from == NOW_MS // 1_000 + 4
    few = noted(("late", 0, "again"))
    assert few.late_from is None and SeriesIncidents.of(few.state()).late_from is None


def test_two_readers_know_together_of_as_few_late_bars_as_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_incidents, "_MAX_LATE_RANGES", 10)
    many, few = noted(*(("late", 2 * second, "again") for second in range(12))), noted(("late", -9, "again"))
    for ours, theirs in ((many, few), (few, many)):
        joined = SeriesIncidents.of(ours.state())
        joined.merge(theirs)
        assert joined.late_from == NOW_MS // 1_000 + 3
        assert joined.late.range_count() == 10
