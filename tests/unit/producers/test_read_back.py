"""Which part of the topics a start reads back, and what of it belongs together."""

from __future__ import annotations

from typing import Any

import pytest

from producers.progress import Progress
from producers.read_back import (
    DISORDER_MS,
    Gathering,
    ReadBack,
    Windows,
    stream_time_ms,
    windows_of,
    windows_of_built,
)
from producers.start_positions import FoundRange, StartPosition, klines_series
from shared import trade_ids
from shared.topics import TRADES, klines_topic
from tests.builders import NOW_MS, kline, trade

MINUTE = 60_000
BARS = klines_topic("1m")
SECONDS_OF, MINUTES_OF, TRADES_OF = (f"binance:BTCUSDC:{of}" for of in ("klines:1s", "klines:1m", "trades"))


def seen(**times_ms: int) -> dict[str, Progress]:
    names = {"seconds": SECONDS_OF, "minutes": MINUTES_OF, "trades": TRADES_OF}
    return {
        names[of]: Progress(7 if of == "trades" else at, "topic", 0, 0, at, NOW_MS)
        for of, at in times_ms.items()
    }


def windows(
    intervals: tuple[str, ...] = ("1s", "1m", "15m"),
    start_positions: dict[str, StartPosition] | None = None,
    **times_ms: int,
) -> Windows:
    positions = start_positions or {}
    return windows_of(
        "binance", ("BTCUSDC",), intervals, NOW_MS, seen=seen(**times_ms), start_positions=positions
    )


def test_a_window_begins_with_the_minute_before_the_newest_bar_however_long_ago_that_was() -> None:
    hour_ago = NOW_MS - 3_600_000
    found = windows(seconds=hour_ago + 5_000, minutes=hour_ago, trades=NOW_MS)
    assert found.begins_ms == {"BTCUSDC": hour_ago - MINUTE}
    assert found.topics == (TRADES, klines_topic("1s"), BARS)
    assert windows(("1m", "1h"), minutes=hour_ago).topics == (TRADES, BARS)
    assert windows(("1m", "1h"), minutes=hour_ago).begins_ms == {"BTCUSDC": hour_ago - MINUTE}


def test_of_built_bars_those_of_the_last_minutes_and_the_last_two_are_read_back() -> None:
    positions = {
        klines_series("kraken", "BTC/USD", "1d"): StartPosition(NOW_MS - 86_400_000),
        klines_series("kraken", "BTC/USD", "1s"): StartPosition(NOW_MS - 1_000),
        klines_series("kraken", "BTC/USD", "1m"): StartPosition(NOW_MS + 1),  # none of ours
    }
    found = windows_of_built(
        "kraken", ("BTC/USD", "NEW/USD"), ("1d", "1s", "1m"), NOW_MS, start_positions=positions
    )
    assert found == [
        Windows((klines_topic("1d"),), {"BTC/USD": NOW_MS - 3 * 86_400_000}, NOW_MS + DISORDER_MS),
        Windows((klines_topic("1s"),), {"BTC/USD": NOW_MS - 301_000}, NOW_MS + DISORDER_MS),
    ]


def test_a_bar_that_was_filled_last_is_not_the_newest() -> None:
    found = FoundRange(NOW_MS - 9_000, NOW_MS - 1_000, NOW_MS - 9_000, NOW_MS - 1_000)
    positions = {SECONDS_OF: StartPosition(NOW_MS - 10_000, later=(found,))}
    late = windows(start_positions=positions, seconds=NOW_MS - 3_600_000)
    assert late.begins_ms == {"BTCUSDC": NOW_MS - 2 * MINUTE}


def test_a_window_reaches_back_to_what_progress_names_before_the_bars_of_an_outage() -> None:
    before = StartPosition(NOW_MS - 300_000)
    found = windows(start_positions={SECONDS_OF: before}, seconds=NOW_MS - 1_000)
    assert found.begins_ms == {"BTCUSDC": NOW_MS - 6 * MINUTE}


def test_a_window_reaches_back_a_quarter_of_an_hour_at_most() -> None:
    before = StartPosition(NOW_MS - 3_600_000)
    found = windows(start_positions={SECONDS_OF: before}, seconds=NOW_MS)
    assert found.begins_ms == {"BTCUSDC": NOW_MS - 16 * MINUTE}


def test_before_the_first_bar_the_newest_trade_counts() -> None:
    assert windows(trades=NOW_MS - 10).begins_ms == {"BTCUSDC": NOW_MS - 2 * MINUTE}
    assert windows().begins_ms == {}


def test_a_bar_of_the_future_moves_no_window_beyond_the_exchange_s_clock() -> None:
    found = windows(seconds=NOW_MS + 86_400_000)
    assert found.begins_ms == {"BTCUSDC": NOW_MS - MINUTE}
    assert found.end_ms == NOW_MS + DISORDER_MS


def test_without_a_short_interval_nothing_is_read() -> None:
    assert windows(("15m", "1h"), trades=NOW_MS).begins_ms == {}


def gathered(*records: tuple[str, Any]) -> ReadBack:
    gathering = Gathering(NOW_MS, NOW_MS + 10 * MINUTE)
    for offset, (topic, message) in enumerate(records):
        gathering.receive(topic, offset, message)
    return gathering.found()


def traded(trade_id: int, after_ms: int = 0, **fields: Any) -> tuple[str, Any]:
    return TRADES, trade(trade_id=trade_id, trade_time_ms=NOW_MS + after_ms, **fields)


def barred(number: int, **fields: Any) -> tuple[str, Any]:
    return BARS, kline(open_time_ms=NOW_MS + number * MINUTE, **fields)


def test_what_was_read_in_any_order_is_put_in_order_and_cut_to_its_window() -> None:
    found = gathered(
        barred(1), traded(12, 9), traded(11, 8, price="7.0"), barred(0), traded(10, -DISORDER_MS), barred(-1)
    )
    assert [known.number for known in found.trades] == [10, 11, 12]
    assert found.trades[1] == (11, NOW_MS + 8, ("7.0", "0.50000000", False))
    assert [bar["open_time_ms"] for bar in found.bars] == [NOW_MS, NOW_MS + MINUTE]
    assert gathered(traded(9, -DISORDER_MS - 1), barred(10)) == ReadBack()


def test_of_a_bar_that_came_again_the_later_one_counts_though_it_is_read_first() -> None:
    gathering = Gathering(NOW_MS, NOW_MS + MINUTE)
    for offset in (5, 3):
        gathering.receive(BARS, offset, kline(open_time_ms=NOW_MS, trade_count=offset))
    assert [bar["trade_count"] for bar in gathering.found().bars] == [5]


def test_bars_of_the_minute_and_its_last_second_come_in_their_order() -> None:
    second = {"interval": "1s", "close_time_ms": NOW_MS + 999}
    found = gathered(barred(0), (klines_topic("1s"), kline(open_time_ms=NOW_MS, **second)))
    assert {bar["interval"] for bar in found.bars} == {"1s", "1m"}


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_only_what_belongs_to_the_present_numbering_is_used(epoch: int) -> None:
    fields = {"epoch": 1}
    read = gathered(
        traded(5_000, 1), traded(5_001, MINUTE), traded(1, MINUTE + 10, **fields), *map(barred, range(3))
    )
    found = read.of_numbering(epoch)
    numbers = [known.number for known in found.trades]
    opens = [(bar["open_time_ms"] - NOW_MS) // MINUTE for bar in found.bars]
    # A bar in which ids begin anew may name ids of both.
    assert (numbers, opens) == {
        0: ([5_000, 5_001], [1, 2]),
        1: ([trade_ids.number(1, 1)], [2]),
        2: ([], []),
    }[epoch]


def test_in_the_first_numbering_all_bars_are_used() -> None:
    read = gathered(barred(0), traded(7, MINUTE))
    assert read.of_numbering(0) is read
    assert ReadBack().of_numbering(3) == ReadBack()


def test_the_time_of_a_record_says_what_came_before_it_only_if_the_stream_brought_it() -> None:
    bar = kline(open_time_ms=NOW_MS)
    assert stream_time_ms(TRADES, trade(trade_time_ms=NOW_MS)) == NOW_MS
    assert stream_time_ms(BARS, bar) == NOW_MS + MINUTE
    assert stream_time_ms(BARS, {**bar, "source": "backfill"}) is None
