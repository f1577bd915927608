"""Bars of before the first subscription: nobody is promised any that a kill may leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from consumers.ledger_account import Account
from producers.effects import Effect, FillKlines, ReadTrades
from producers.exchanges.kraken.exchange import KRAKEN
from producers.instrument import Instrument
from producers.progress_writer import ProgressWriter
from producers.start_positions import StartPosition, klines_series
from shared.ledger import LedgerSeries
from shared.topics import klines_topic
from tests.builders import NOW_MS, kline, trade
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
        trade(
            exchange="kraken",
            symbol="BTC/USD",
            trade_id=1_000_000 + (begin_ms - NOW_MS) // MINUTE + at,
            trade_time_ms=begin_ms + at * MINUTE,
            source="backfill",
        )
        for at in range(6)
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
        trade(exchange="kraken", symbol="BTC/USD", trade_id=each, trade_time_ms=NOW_MS + at_ms, source=source)
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
