"""Bars of before the first subscription: nobody is promised any that a kill may leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from consumers.ledger_account import Account
from producers.effects import Effect, FillKlines, Publish, ReadTrades
from producers.exchanges.kraken.exchange import KRAKEN
from producers.instrument import Instrument
from producers.progress_writer import ProgressWriter
from producers.start_positions import StartPosition, klines_series
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.topics import klines_topic
from tests.builders import NOW_MS, depth, kline, trade
from tests.unit.producers.shell import Shell

MINUTE = 60_000
LATER = NOW_MS + 2 * MINUTE
Begun = Callable[[int], Shell]


def begun(instrument: Instrument, at_ms: int, start_positions: Any) -> tuple[Shell, Sequence[Effect]]:
    shell = Shell()
    shell.instrument = instrument
    shell.progress = shell.runner.progress = ProgressWriter(shell.broker, shell.runner._clock)  # type: ignore[arg-type]
    shell.runner._sent = shell.progress.sent
    shell.runner.register(instrument, ["1m"])
    return shell, instrument.begin(start_positions, at_ms)


def kraken_trade(trade_id: int, at_ms: int, **fields: Any) -> Any:
    times = {"trade_time_ms": NOW_MS + at_ms, "event_time_ms": NOW_MS + at_ms}
    return trade(exchange="kraken", symbol="BTC/USD", trade_id=trade_id, **times, **fields)


def native(at_ms: int, start_positions: Any = None) -> Shell:
    """The exchange's own five bars before `at_ms` are sent."""
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
    shell, effects = begun(instrument, at_ms, start_positions or {})
    [asked] = [effect for effect in effects if isinstance(effect, FillKlines)]
    rows = [
        kline(open_time_ms=open_ms, source="backfill")
        for open_ms in range(asked.first, asked.last + 1, MINUTE)
    ]
    filled = instrument.receive_kline_rows("1m", asked.first, asked.last, rows, at_ms, now_s=0.0)
    shell.runner.run(instrument, filled)
    return shell


def built(at_ms: int, start_positions: Any = None) -> Shell:
    """Five bars before `at_ms` are built of one trade each, and sent."""
    instrument = Instrument(
        "kraken", "BTC/USD", ["1m"], book_interval_ms=0, warmup_bars=5, promises=KRAKEN.promises
    )
    shell, effects = begun(instrument, at_ms, start_positions or {})
    [asked] = [effect for effect in effects if isinstance(effect, ReadTrades)]
    begin_ms = at_ms - 5 * MINUTE
    assert begin_ms >= asked.begins_ms[0]
    rows = [
        kraken_trade(1_000_000 + minute, minute * MINUTE, source="backfill")
        for minute in range((begin_ms - NOW_MS) // MINUTE, (at_ms - NOW_MS) // MINUTE + 1)
    ]
    shell.runner.run(instrument, instrument.receive_history(begin_ms, rows, at_ms))
    shell.runner.run(instrument, instrument.receive_history(begin_ms, (), at_ms))
    return shell


SERIES = {"native": ("binance", "BTCUSDC"), "built": ("kraken", "BTC/USD")}
every_kind = pytest.mark.parametrize("begin", [native, built], ids=list(SERIES))


def bars(shell: Shell) -> int:
    return sum(topic == klines_topic("1m") for topic, _, _ in shell.broker.sent)


def entered(shell: Shell) -> list[tuple[str, int, int]]:
    """Events of bars, by kind and open times."""
    messages: list[Any] = [effect.message for effect in shell.instrument.tick()]
    return [(each["kind"], each["first"], each["last"]) for each in messages if each["stream"] == "klines"]


@every_kind
def test_they_are_expected_once_they_are_delivered(begin: Begun) -> None:
    shell = begin(NOW_MS)
    assert bars(shell) == 5
    assert entered(shell) == []
    shell.broker.deliver()
    span = NOW_MS - 5 * MINUTE, NOW_MS - MINUTE
    assert entered(shell) == [("expected", *span), ("repaired", *span)]


@every_kind
def test_a_kill_before_their_delivery_leaves_none_expected_that_the_next_start_does_not_send(
    begin: Begun,
) -> None:
    account = Account(LedgerSeries("binance", "BTCUSDC", "klines", "1m"), 100)
    killed, later = begin(NOW_MS), begin(LATER)
    later.broker.deliver()
    for shell in (killed, later):
        for kind, first, last in entered(shell):
            account.enter(kind, first // MINUTE, last // MINUTE, None)
    account.enter("stored", LATER // MINUTE - 5, LATER // MINUTE - 1, None)
    assert (account.totals().expected, account.totals().lost) == (5, 0)


@every_kind
def test_bars_after_the_start_position_are_expected_at_once(begin: Begun) -> None:
    exchange, symbol = SERIES["native" if begin is native else "built"]
    known = StartPosition(NOW_MS - 6 * MINUTE)
    shell = begin(NOW_MS, {klines_series(exchange, symbol, "1m"): known})  # type: ignore[call-arg]
    span = NOW_MS - 5 * MINUTE, NOW_MS - MINUTE
    assert ("expected", *span) in entered(shell)


def test_those_that_were_asked_for_in_vain_are_not_expected_at_the_end_and_later_ones_are() -> None:
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=5)
    shell, _ = begun(instrument, NOW_MS, {})
    shell.runner.run(instrument, instrument.receive("kline", kline(open_time_ms=NOW_MS)))
    instrument.end(NOW_MS + MINUTE, NOW_MS + MINUTE)
    assert entered(shell) == [("expected", NOW_MS, NOW_MS)]


def test_built_bars_that_wait_for_trades_at_the_end_are_expected_from_the_start_on() -> None:
    instrument = Instrument(
        "kraken", "BTC/USD", ["1m"], book_interval_ms=0, warmup_bars=5, promises=KRAKEN.promises
    )
    shell, _ = begun(instrument, NOW_MS, {})
    rows = [
        kraken_trade(each, at_ms, source=source)
        for each, at_ms, source in (
            (1, -6 * MINUTE, "backfill"),
            (3, -2 * MINUTE, "backfill"),
            (4, 2 * MINUTE, "stream"),
        )
    ]
    instrument.receive_history(NOW_MS - 6 * MINUTE, rows[:2], NOW_MS)
    instrument.receive("trade", rows[2])
    instrument.end(LATER, LATER)
    assert entered(shell) == [("expected", NOW_MS, NOW_MS + MINUTE)]


def test_what_the_stream_shows_is_promised_though_the_clock_was_ahead_at_the_start() -> None:
    instrument = Instrument("binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=20)
    shell, effects = begun(instrument, NOW_MS + 10 * MINUTE, {})
    [asked] = [effect for effect in effects if isinstance(effect, FillKlines)]
    rows = [kline(open_time_ms=at, source="backfill") for at in range(asked.first, NOW_MS, MINUTE)]
    filled = instrument.receive_kline_rows("1m", asked.first, asked.last, rows, NOW_MS, now_s=0.0)
    shell.runner.run(instrument, filled)
    shell.broker.deliver()
    entered(shell)
    for minute in (0, 2):
        shown = kline(open_time_ms=NOW_MS + minute * MINUTE)
        shell.runner.run(instrument, instrument.receive("kline", shown))
    instrument.end(NOW_MS + 3 * MINUTE, NOW_MS + 3 * MINUTE)
    expected = IdRanges((first, last) for kind, first, last in entered(shell) if kind == "expected")
    assert all(NOW_MS + minute * MINUTE in expected for minute in range(3))


def test_bars_of_trades_of_the_stream_are_promised_though_the_clock_was_ahead_at_the_start() -> None:
    instrument = Instrument(
        "kraken", "BTC/USD", ["1m"], book_interval_ms=0, warmup_bars=5, promises=KRAKEN.promises
    )
    shell, _ = begun(instrument, NOW_MS + 10 * MINUTE, {})
    earlier = [kraken_trade(1, -2 * MINUTE, source="backfill"), kraken_trade(2, -1, source="backfill")]
    instrument.receive_history(NOW_MS - 2 * MINUTE, earlier, NOW_MS)
    instrument.receive_history(NOW_MS - 2 * MINUTE, (), NOW_MS)
    for trade_id, at_ms in ((3, 0), (5, 2 * MINUTE)):
        instrument.receive("trade", kraken_trade(trade_id, at_ms))
    instrument.end(LATER, LATER)
    assert ("expected", NOW_MS, NOW_MS + MINUTE) in entered(shell)


def test_a_bar_that_a_late_trade_of_the_history_revises_is_expected_with_its_delivery() -> None:
    instrument = Instrument(
        "kraken", "BTC/USD", ["1m"], book_interval_ms=0, warmup_bars=5, promises=KRAKEN.promises
    )
    shell, _ = begun(instrument, NOW_MS, {})
    begin_ms = -5 * MINUTE
    times_ms = (begin_ms, begin_ms + MINUTE, begin_ms + MINUTE - 1, begin_ms + 2 * MINUTE)
    rows = [kraken_trade(at, time_ms, source="backfill") for at, time_ms in enumerate(times_ms, 1)]
    shell.runner.run(instrument, instrument.receive_history(NOW_MS + begin_ms, rows, NOW_MS))
    assert bars(shell) == 3  # one of them twice
    assert {kind for kind, _, _ in entered(shell)} == {"revised"}
    shell.broker.deliver()
    assert ("expected", NOW_MS + begin_ms, NOW_MS + begin_ms + MINUTE) in entered(shell)


def test_a_record_that_awaits_its_delivery_keeps_no_message() -> None:
    """While Kafka is away there are ten of each topic a second, and those of depth are large."""
    shell = Shell()
    messages: list[Any] = [depth(), kline(open_time_ms=NOW_MS - MINUTE, source="backfill")]
    shell.instrument.begin({}, NOW_MS)
    follow: Any = shell.runner._follow
    for topic, message in zip(("market.depth", klines_topic("1m")), messages, strict=True):
        delivered = follow(shell.instrument, Publish(topic, message, message.get("open_time_ms")))
        assert not [cell for cell in delivered.__closure__ if cell.cell_contents is message]
