"""Instruments that the settings do not name: bounded, dropped, and in nobody's way."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.hub import Activate, Drop
from api.unconfigured import MOST_UNCONFIGURED
from consumers.tap.port import Arrived, Filled
from consumers.tap.series import LiveSeries
from tests.live_topics import KLINE, LEVELS, START_MS, TRADE, subscribe
from tests.unit.api.test_hub import LEDGER_OF_TRADES, NOW_MS, Stage, row

BTC = ("binance", "BTCUSDC")
CONFIGURED = frozenset([BTC])


def unknown(number: int) -> LiveSeries:
    return LiveSeries("trade", ("binance", f"S{number}"))


def nothing_of(series: LiveSeries) -> Filled:
    return Filled(series, None, (), 0, 0)


def test_a_flood_of_unknown_symbols_refuses_no_configured_one() -> None:
    stage = Stage(configured=CONFIGURED, subscriptions=10_000)
    for number in range(MOST_UNCONFIGURED + 3):
        stage.send(subscribe(unknown(number), number))
    errors = stage.show().errors
    assert [error["id"] for error in errors] == [MOST_UNCONFIGURED + number for number in range(3)]
    most = f"{MOST_UNCONFIGURED:,} series of instruments that SYMBOLS does not name"
    assert errors[0]["detail"] == (
        f"symbol: {most} are followed already; ask again later, or add it to SYMBOLS"
    )
    stage.effects()
    for number, series in enumerate((TRADE, KLINE, LEVELS), 9_000):
        stage.send(subscribe(series, number))
    assert stage.effects() == [Activate(TRADE), Activate(KLINE), Activate(LEVELS)]
    stage.send('{"subscribe": [{"id": 9900, "series": "ledger"}]}')
    stage.publish(Filled(LEDGER_OF_TRADES, None, (row(START_MS, 0),), 0, 0))
    assert stage.show().series[9900].came and len(stage.page.errors) == 3


def test_an_unknown_symbol_is_dropped_with_all_its_series_once_nobody_asks_for_it() -> None:
    stage = Stage(configured=CONFIGURED)
    other = stage.hub.join()
    bars = LiveSeries("kline", ("binance", "NOPE", "1m"))
    open_bar = LiveSeries("open_bar", bars.tags)
    stage.send(subscribe(bars))
    stage.send(subscribe(bars), other)
    stage.publish(nothing_of(bars), nothing_of(open_bar), nothing_of(LiveSeries("trade", bars.tags[:2])))
    stage.send(subscribe(TRADE, 2))
    stage.effects()
    stage.send('{"unsubscribe": [1]}')
    assert stage.effects() == []
    stage.hub.leave(other, NOW_MS)
    assert stage.effects() == [Drop("binance", "NOPE")]
    for name in ("kline", "open_bar"):
        assert stage.hub.snapshot(name, (None, None, None), 1) == []
    # A fill that was under way does not bring it back; who asks again begins anew.
    stage.publish(nothing_of(open_bar), Arrived(bars, (row(NOW_MS, 1.0, 2.0),), 1))
    assert stage.hub.snapshot("open_bar", (None, None, None), 1) == []
    stage.send(subscribe(bars, 3))
    assert stage.effects() == [Activate(bars)]
    assert [tags for tags, _ in stage.hub.snapshot("trade", (None, None), 1)] == [BTC]


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_unknown_symbols_of_a_long_time() -> None:
    stage = Stage(configured=CONFIGURED)
    for number in range(20 * MOST_UNCONFIGURED):
        stage.send(subscribe(unknown(number)))
        if number % 2:
            stage.publish(nothing_of(unknown(number)))
        stage.send('{"unsubscribe": [1]}')
        assert stage.effects() == [Activate(unknown(number)), Drop("binance", f"S{number}")]
        stage.client.answers.clear()
    assert stage.hub.snapshot("trade", (None, None), 1) == []


def test_a_series_that_no_tap_has_is_not_counted_any_more() -> None:
    stage = Stage(configured=CONFIGURED)
    for number in range(2 * MOST_UNCONFIGURED):
        stage.send(subscribe(unknown(number)))
        stage.hub.refuse(unknown(number), "not read here")
    stage.effects()
    stage.send(subscribe(unknown(0)))
    assert stage.effects() == [Activate(unknown(0))]


def test_a_symbol_that_has_rows_stays_until_its_room_is_needed() -> None:
    stage = Stage(configured=CONFIGURED, subscriptions=10_000)
    for number in range(2):
        stage.send(subscribe(unknown(number), number))
        stage.publish(Filled(unknown(number), None, (row(NOW_MS, number, 2.0),), 0, 0))
    stage.send('{"unsubscribe": [1]}')
    stage.send('{"unsubscribe": [0]}')
    stage.effects()
    stage.send(subscribe(unknown(1), 1))
    assert stage.effects() == []  # its rows are here
    stage.send('{"unsubscribe": [1]}')
    for number in range(2, MOST_UNCONFIGURED):
        stage.send(subscribe(unknown(number), number))
    assert not any(isinstance(each, Drop) for each in stage.effects())
    stage.send(subscribe(unknown(8_000), 8_000))
    assert stage.effects() == [Drop("binance", "S0"), Activate(unknown(8_000))]


STEPS = st.tuples(
    st.sampled_from(("subscribe", "unsubscribe", "leave", "refuse", "fill", "rows", "arrive")),
    st.sampled_from(("kline", "open_bar", "trade")),
    st.integers(0, 3),
    st.integers(0, 2),
)


@pytest.mark.thorough
@given(st.lists(STEPS, min_size=20, max_size=40))
def test_what_is_watched_is_asked_for_or_has_rows_and_is_counted(
    steps: Sequence[tuple[str, str, int, int]],
) -> None:
    stage = Stage(configured=CONFIGURED)
    hub, clients = stage.hub, [stage.client, stage.hub.join(), stage.hub.join()]
    hub._unconfigured.most = 4
    has_rows: set[LiveSeries] = set()
    for step, name, number, which in steps:
        client = clients[which]
        symbol = "BTCUSDC" if number == 0 else f"S{number}"
        series = LiveSeries(name, ("binance", symbol, *(("1m",) if name != "trade" else ())))
        values = (1.0, 2.0) if name != "open_bar" else (1.0,)
        match step:
            case "subscribe":
                stage.send(subscribe(series, number), client)
            case "unsubscribe":
                stage.send(f'{{"unsubscribe": [{number}]}}', client)
            case "leave":
                hub.leave(client, NOW_MS)
                clients[which] = hub.join()
            case "refuse":
                hub.refuse(series, "not read here")
            case "fill":
                stage.publish(nothing_of(series))
            case "rows":
                stage.publish(Filled(series, None, (row(NOW_MS, *values),), 0, 0))
            case _:
                stage.publish(Arrived(series, (row(NOW_MS, *values),), 0))
        watched = {
            each: hub._watched[each]
            for each in hub._watched
            if hub._unconfigured.instrument(each) is not None
        }
        assert hub._unconfigured._count == len(watched) <= 4
        asked = {
            tags[:2]
            for kind in ("kline", "open_bar", "trade")
            for tags in hub._feeds[kind]
            if tags[1] != "BTCUSDC"
        }
        has_rows = {each for each, of in watched.items() if of.pace.newest_ms is not None}
        alive = asked | {each.tags[:2] for each in has_rows}
        assert {each.tags[:2] for each in watched} <= alive
        assert dict(hub._unconfigured._feeds).keys() == asked
