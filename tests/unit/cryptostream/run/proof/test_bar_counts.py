"""The trades of the store against the counts of its bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumers.measurements import KLINE, TRADE, Point
from consumers.measurements import Series as StoredSeries
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.run.proof.bar_counts import CountCheck, Span, check_counts, short_bars
from cryptostream.run.proof.checks import Result, Series, Status

BARS = Series("BTCUSDC", "klines", "1s")
T0_MS = 1_790_000_040_000
RUN = Span(T0_MS, T0_MS + 100_000)


def second(n: int) -> int:
    return T0_MS + n * 1_000


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., CountCheck]:
    """A function (trades by second, counts by second, what REST says) of what they are checked to."""

    def checked(
        trades: dict[int, int], counts: dict[int, int], rest: Any = None, span: Span = RUN
    ) -> CountCheck:
        path = tmp_path / "store.db"
        store = SqliteStore(path, ticks_expiry_ns=None)
        of_trades = StoredSeries(TRADE, ("binance", "BTCUSDC"))
        of_bars = StoredSeries(KLINE, ("binance", "BTCUSDC", "1s"))
        ids = 0
        for at, count in trades.items():
            for _ in range(count):
                ids += 1
                point = Point(of_trades, second(at) * 1_000_000 + ids, (ids, 1.0, 1.0, True))
                store.write([point])
        store.write(
            [Point(of_bars, second(at) * 1_000_000, (1.0,) * 8 + (count,)) for at, count in counts.items()]
        )
        store.close()

        def counts_of(first_ms: int, last_ms: int) -> dict[int, int]:
            said = counts if rest is None else rest
            return {second(at): count for at, count in said.items() if first_ms <= second(at) <= last_ms}

        asked = (lambda first_ms, last_ms: None) if rest == "silent" else counts_of
        return check_counts(lambda: SqliteReader(path), "binance", BARS, span, asked)

    return checked


@pytest.fixture
def result(checked: Callable[..., CountCheck]) -> Callable[..., Result]:
    """The same, its result alone."""
    return lambda *given, **more: checked(*given, **more).result


@pytest.mark.parametrize(
    ("counts", "bars"), [({1: 7, 2: 4, 3: 0, 5: 3, 100: 9}, 2), ({1: 7, 100: 9}, 0), ({}, 0)]
)
def test_how_many_bars_closed_within_the_run_and_were_held_to_is_said(
    checked: Callable[..., CountCheck], counts: dict[int, int], bars: int
) -> None:
    assert checked({2: 1, 5: 3}, counts).bars == bars


def test_trades_as_many_as_the_bars_count_are_seen(result: Callable[..., Result]) -> None:
    # The first bar counts some of before the run, the last one has not closed when it ends.
    assert result({2: 1, 5: 3}, {1: 7, 2: 4, 3: 0, 5: 3, 100: 9}).status is Status.OK


def test_trades_that_bars_count_and_the_store_lacks_are_missing_whatever_their_ids(
    result: Callable[..., Result],
) -> None:
    found = result({2: 1, 5: 3}, {2: 1, 4: 100, 5: 5})
    assert found.status is Status.MISSING
    assert str(found) == (
        "BTCUSDC trades: 102 that the 1s bars from 2026-09-21 14:14:04 to 2026-09-21 14:14:05 count "
        "are not in the store"
    )


def test_without_any_trade_the_count_begins_when_all_should_have_been_heard(
    result: Callable[..., Result],
) -> None:
    assert result({}, {2: 1, 29: 1}).status is Status.OK
    assert result({}, {2: 1, 31: 1}).status is Status.MISSING


def test_a_stored_count_that_the_exchange_takes_back_proves_nothing(result: Callable[..., Result]) -> None:
    assert result({2: 1, 4: 2}, {4: 5}, rest={4: 2}).status is Status.OK


def test_where_the_exchange_does_not_answer_it_is_unknown(result: Callable[..., Result]) -> None:
    found = result({2: 1}, {4: 5}, rest="silent")
    assert found.status is Status.UNKNOWN and "5 trades more than are stored" in found.detail


def test_a_store_that_is_gone_is_unknown(tmp_path: Path) -> None:
    found = check_counts(
        lambda: SqliteReader(tmp_path / "gone.db"), "binance", BARS, RUN, lambda first_ms, last_ms: {}
    )
    assert (found.result.status, found.bars) == (Status.UNKNOWN, 0)


def test_a_trade_at_a_border_may_be_counted_by_the_neighbour() -> None:
    assert short_bars({1_000: 2, 2_000: 2}, {1_000: 1, 2_000: 3}, 1_000) == {}
    assert short_bars({1_000: 2, 2_000: 2, 3_000: 2}, {1_000: 1, 2_000: 2, 3_000: 3}, 1_000) == {1_000: 1}
