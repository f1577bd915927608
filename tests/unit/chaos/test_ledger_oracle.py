"""What the ledger claims, and how a lie is caught."""

from __future__ import annotations

from chaos.ledger_oracle import Claims
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage
from tests.builders import ledger

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")


def claims(*events: LedgerMessage) -> Claims:
    made = Claims()
    for event in events:
        made.receive(event)
    return made


def test_what_is_expected_and_not_stored_is_missing_unless_it_is_excused() -> None:
    made = claims(
        ledger(first=1, last=10),
        ledger(kind="stored", first=1, last=4),
        ledger(kind="halted", first=6, last=7),
        ledger(kind="offline", first=8, last=8),
    )
    assert list(made.missing(TRADES)) == [(5, 5), (9, 10)]
    assert made.awaited_count() == 3


def test_what_is_given_up_is_missing_and_no_longer_awaited() -> None:
    made = claims(
        ledger(first=1, last=10),
        ledger(kind="stored", first=4, last=10),
        ledger(kind="lost", first=1, last=2),
    )
    assert list(made.missing(TRADES)) == [(1, 3)]
    assert made.awaited_count() == 1
    assert [(hole.first, hole.last) for hole in made.holes()] == [(3, 3)]


def test_only_what_lies_below_a_stored_id_is_a_hole() -> None:
    made = claims(
        ledger(first=1, last=10),
        ledger(kind="stored", first=1, last=3),
        ledger(kind="stored", first=6, last=7),
    )
    assert [(hole.first, hole.last) for hole in made.holes()] == [(4, 5)]


def test_nothing_stored_yet_is_no_hole() -> None:
    assert list(claims(ledger(first=1, last=10)).holes()) == []


def test_bars_are_counted_by_their_interval() -> None:
    event = {"stream": "klines", "interval": "1m", "first": 60_000, "last": 180_000, "count": 3}
    incomplete = event | {"first": 300_000, "last": 300_000, "count": 1}
    made = claims(ledger(**event), ledger(**event, kind="revised"), ledger(**incomplete, kind="incomplete"))
    series = LedgerSeries("binance", "BTCUSDC", "klines", "1m")
    assert list(made.missing(series)) == [(1, 3)]
    assert {key: list(ids) for key, ids in made.altered_bars().items()} == {
        ("BTCUSDC", "1m"): [(1, 3), (5, 5)]
    }


def test_spans_of_books_are_events_and_no_ids() -> None:
    made = claims(ledger(stream="depth", kind="unsynced"))
    assert made.events["depth", "unsynced"] == 1
    assert made.series() == ()
