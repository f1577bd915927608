"""Silent streams: each by its own pace, and a quiet market is not a dead connection."""

from __future__ import annotations

from typing import Any

from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.port import Addresses, Liveness
from producers.watchdog import Watchdog

SECOND, MINUTE, HOUR = ("X", "kline", "1s"), ("X", "kline", "1m"), ("X", "kline", "1h")
LIVENESS = BINANCE.connections(Addresses("", "", ""), ["X"], ["1s"])[0].liveness
TRADE: Any = ("X", "trade", None)


def silent(watchdog: Watchdog, now_s: float) -> bool:
    return watchdog.check(now_s) is not None


def test_one_second_bars_may_be_silent_for_ten_seconds() -> None:
    watchdog = Watchdog([SECOND], 0.0, LIVENESS)
    watchdog.heard(SECOND, 5.0)
    assert not silent(watchdog, 14.0)
    reconnect = watchdog.check(15.5)
    assert reconnect is not None
    assert reconnect.reason == "X kline_1s: silent for 10 s"


def test_a_stream_that_never_speaks_is_found_out_too() -> None:
    watchdog = Watchdog([MINUTE], 0.0, LIVENESS)
    assert not silent(watchdog, 129.0)
    assert silent(watchdog, 131.0)


def test_a_thin_market_is_quiet_while_its_bars_arrive() -> None:
    watchdog = Watchdog([MINUTE, TRADE, HOUR], 0.0, LIVENESS)
    watchdog.heard(TRADE, 1.0)
    watchdog.heard(HOUR, 1.0)
    watchdog.heard(MINUTE, 3_000.0)
    assert not silent(watchdog, 3_100.0)


def test_without_bars_a_stream_is_measured_by_its_own_pace() -> None:
    watchdog = Watchdog([TRADE], 0.0, LIVENESS)
    for now_s in range(0, 200, 10):
        watchdog.heard(TRADE, float(now_s))
    assert not silent(watchdog, 190 + 199.0)
    assert silent(watchdog, 190 + 201.0)


def test_a_busy_stream_is_given_a_minute() -> None:
    watchdog = Watchdog([TRADE], 0.0, LIVENESS)
    for step in range(100):
        watchdog.heard(TRADE, step / 10)
    assert not silent(watchdog, 69.0)
    assert silent(watchdog, 71.0)


def test_halted_symbols_and_recordings_may_be_silent() -> None:
    watchdog = Watchdog([SECOND], 0.0, LIVENESS)
    assert watchdog.check(1_000.0, frozenset(("X",))) is None
    watchdog.replaying()
    assert not silent(watchdog, 1_000.0)


def test_ages_are_those_of_the_newest_events() -> None:
    watchdog = Watchdog([SECOND, ("Y", "kline", "1s"), TRADE], 0.0, LIVENESS)
    watchdog.heard(SECOND, 1.0)
    watchdog.heard(("Y", "kline", "1s"), 3.0)
    assert watchdog.ages_ms(4.0) == {"kline_1s": 3_000.0}


def test_of_a_guilty_connection_only_streams_that_spoke_lately_are_waited_for() -> None:
    watchdog = Watchdog([SECOND, TRADE], 0.0, LIVENESS)
    watchdog.heard(SECOND, 1.0)
    watchdog.heard(TRADE, 8.0)
    assert watchdog.silent(12.0) == {SECOND}


def test_a_stream_that_is_proved_to_be_missing_is_guilty_though_the_symbols_bars_tick() -> None:
    watchdog = Watchdog([SECOND, TRADE], 0.0, LIVENESS)
    watchdog.heard(SECOND, 19.0)
    why = "a bar has trade 9, the stream is at 5"
    reconnect = watchdog.check(20.0, uncarried={TRADE: why})
    assert reconnect is not None
    assert reconnect.reason == f"X trade is not carried: {why}"


def test_a_new_connection_has_the_chance_to_bring_what_the_one_before_did_not() -> None:
    watchdog = Watchdog([("X", "kline", "1h")], 100.0, LIVENESS)
    uncarried: dict[tuple[str, str, str | None], str] = {("X", "kline", "1h"): "REST has it"}
    assert watchdog.check(109.0, uncarried=uncarried) is None
    assert watchdog.check(110.0, uncarried=uncarried) is not None
    watchdog.heard(("X", "kline", "1h"), 110.5)
    assert watchdog.check(111.0, uncarried=uncarried) is None


def test_a_connection_is_mute_when_none_of_its_streams_speaks() -> None:
    watchdog = Watchdog([SECOND, TRADE], 0.0, LIVENESS)
    watchdog.heard(SECOND, 10.0)
    assert not watchdog.mute(14.0)
    assert watchdog.mute(15.0)


def test_an_exchange_that_always_speaks_may_not_be_silent() -> None:
    watchdog = Watchdog([TRADE], 0.0, Liveness(frame_s=5.0))
    watchdog.heard_frame(4.0)
    assert not silent(watchdog, 8.0)
    watchdog.heard(TRADE, 8.5)
    assert not silent(watchdog, 13.0)
    reconnect = watchdog.check(14.0)
    assert reconnect is not None and reconnect.reason == "no frame for 6 s"
