"""`GET /ledger`, `/freshness`, `/services`: nothing is claimed that was not looked at."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.stores.port import Row
from tests.unit.api.api_parts import MINUTE_NS, T0_MS, client, counted, now_minute_ns

SPAN = f"?from={T0_MS}&to={T0_MS + 300_000}"


def test_what_is_lost_is_counted_and_named() -> None:
    answer = client({"ledger": counted(5, lost={1: 2, 3: 1})}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["reason"]) == (3, None)
    (series,) = answer["series"]
    assert (series["expected"], series["lost"], series["in_flight"]) == (5, 3, 0)
    assert series["lost_periods_ms"] == [T0_MS + 60_000, T0_MS + 180_000]
    assert series["counted_to_ms"] == T0_MS + 300_000


def test_a_span_that_nobody_has_counted_is_not_called_complete() -> None:
    answer = client({"ledger": []}).get(f"/api/v1/ledger{SPAN}").json()
    assert answer["lost"] is None
    assert answer["reason"] == "the store has no ledger of this span, so that nothing is known to be complete"


def test_one_series_that_is_counted_less_far_leaves_the_whole_unknown() -> None:
    ledger = [*counted(5), *counted(2, symbol="ETHUSDC")]
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger{SPAN}").json()
    assert answer["lost"] is None
    assert answer["reason"].startswith("ETHUSDC klines 1m is counted up to 2026-08-03T14:27:00Z only")
    # What is lost for certain is said all the same.
    ledger = [*counted(5, lost={0: 1}), *counted(2, symbol="ETHUSDC")]
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger{SPAN}").json()
    assert answer["lost"] == 1 and answer["reason"] is not None


def test_a_configured_series_that_was_never_counted_leaves_the_whole_unknown() -> None:
    parts: dict[str, Any] = {"symbols": ("BTCUSDC", "ETHUSDC"), "intervals": ("1m",)}
    with_rows = client({"ledger": counted(5)}, **parts)
    answer = with_rows.get(f"/api/v1/ledger{SPAN}").json()
    assert answer["lost"] is None
    assert answer["reason"].startswith("ETHUSDC klines 1m is not counted in this span")
    assert with_rows.get(f"/api/v1/ledger{SPAN}&symbol=BTCUSDC").json()["lost"] == 0
    # A bar that is longer than the span may have no row in it.
    days = client({"ledger": counted(5)}, symbols=("BTCUSDC",), intervals=("1m", "1d"))
    assert days.get(f"/api/v1/ledger{SPAN}").json()["lost"] == 0


def test_trades_of_a_configured_symbol_that_nobody_counted_leave_the_whole_unknown() -> None:
    trades = counted(5, stream="trades", interval="")
    both = [*trades, *counted(5, stream="trades", interval="", symbol="ETHUSDC")]

    def asked(ledger: list[Row]) -> Any:
        server = client({"ledger": ledger}, symbols=("BTCUSDC", "ETHUSDC"))
        return server.get(f"/api/v1/ledger{SPAN}&stream=trades").json()

    answer = asked(trades)
    assert answer["lost"] is None
    assert answer["reason"] == "ETHUSDC trades is not counted in this span; of it nothing is known"
    assert (asked(both)["lost"], asked(both)["reason"]) == (0, None)


def test_each_exchange_of_the_settings_has_to_be_counted() -> None:
    parts: dict[str, Any] = {"symbols": ("BTC-USD", "coinbase:BTC-USD"), "intervals": ("1m",)}
    ours = counted(5, symbol="BTC-USD")
    answer = client({"ledger": ours}, **parts).get(f"/api/v1/ledger{SPAN}").json()
    assert answer["lost"] is None
    assert answer["reason"].startswith("coinbase:BTC-USD klines 1m is not counted in this span")
    both = [*ours, *counted(5, symbol="BTC-USD", exchange="coinbase")]
    assert client({"ledger": both}, **parts).get(f"/api/v1/ledger{SPAN}").json()["lost"] == 0


@pytest.mark.thorough
def test_reasons_name_the_market_where_there_are_several_exchanges() -> None:
    settings: dict[str, Any] = {"symbols": ("BTC-USD", "coinbase:BTC-USD"), "intervals": ("1m",)}

    def reason(coinbase: list[Any], query: str = "") -> str:
        rows = [*counted(5, symbol="BTC-USD"), *coinbase]
        return str(client({"ledger": rows}, **settings).get(f"/api/v1/ledger{SPAN}{query}").json()["reason"])

    of: dict[str, Any] = {"symbol": "BTC-USD", "exchange": "coinbase"}
    assert reason(counted(2, **of)).startswith("coinbase:BTC-USD klines 1m is counted up to ")
    later = counted(3, begin_ns=T0_MS * 10**6 + 2 * MINUTE_NS, **of)
    assert reason(later).startswith("coinbase:BTC-USD klines 1m is counted from ")
    warm_up = [{**row, "backfilled": row["stored"]} for row in counted(2, **of)]
    assert reason([*warm_up, *later]).startswith("coinbase:BTC-USD trades is counted from ")
    # Also where one is asked for alone, whose name the other has too.
    assert reason(later, "&exchange=coinbase").startswith("coinbase:BTC-USD klines 1m is counted from ")


def test_it_vouches_for_no_more_than_since_the_last_series_began_to_be_counted() -> None:
    later = counted(3, symbol="ETHUSDC", begin_ns=T0_MS * 10**6 + 2 * MINUTE_NS)
    answer = client({"ledger": [*counted(5), *later]}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["lost_counted"], answer["counted_from_ms"]) == (None, 0, T0_MS + 120_000)
    assert answer["reason"] == (
        "ETHUSDC klines 1m is counted from 2026-08-03T14:27:00Z on only; what was before is not known"
    )
    assert [each["counted_from_ms"] for each in answer["series"]] == [T0_MS, T0_MS + 120_000]
    none = client({"ledger": []}).get(f"/api/v1/ledger{SPAN}").json()
    assert (none["lost"], none["counted_from_ms"]) == (None, None)


def test_a_day_of_which_the_last_minutes_alone_were_counted_is_not_called_complete() -> None:
    begin_ns = now_minute_ns() - 5 * MINUTE_NS
    answer = client({"ledger": counted(5, begin_ns=begin_ns)}).get("/api/v1/ledger").json()
    assert (answer["lost"], answer["lost_counted"]) == (None, 0)
    assert answer["counted_from_ms"] == begin_ns // 10**6
    assert answer["reason"].startswith("BTCUSDC klines 1m is counted from ")
    # What is known to be lost is said.
    lost = counted(5, begin_ns=begin_ns, lost={0: 3})
    answer = client({"ledger": lost}).get("/api/v1/ledger").json()
    assert (answer["lost"], answer["lost_counted"]) == (3, 3) and answer["reason"] is not None


def test_a_part_in_the_midst_that_was_not_counted_is_not_called_complete() -> None:
    ledger = [*counted(2), *counted(2, begin_ns=T0_MS * 10**6 + 3 * MINUTE_NS)]
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["lost_counted"]) == (None, 0)
    assert answer["counted_from_ms"] == T0_MS + 180_000
    assert answer["series"][0]["expected"] == 4


def test_a_span_that_begins_within_a_period_is_counted_from_its_begin() -> None:
    span = f"?from={T0_MS + 30_000}&to={T0_MS + 300_000}"
    answer = client({"ledger": counted(5)}).get(f"/api/v1/ledger{span}").json()
    assert (answer["lost"], answer["counted_from_ms"]) == (0, T0_MS + 30_000)


def test_trades_that_come_late_in_the_span_are_vouched_for_by_the_bars() -> None:
    late = counted(1, stream="trades", interval="", begin_ns=T0_MS * 10**6 + 3 * MINUTE_NS)
    answer = client({"ledger": [*counted(5), *late]}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["reason"]) == (0, None)


def test_bars_of_a_warm_up_do_not_vouch_for_the_trades_of_their_time() -> None:
    warm_up = [{**row, "backfilled": row["stored"]} for row in counted(2)]
    live = counted(3, begin_ns=T0_MS * 10**6 + 2 * MINUTE_NS)
    trades = counted(1, stream="trades", interval="", begin_ns=T0_MS * 10**6 + 4 * MINUTE_NS)
    answer = client({"ledger": [*warm_up, *live, *trades]}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["lost_counted"], answer["counted_from_ms"]) == (None, 0, T0_MS + 120_000)
    assert answer["reason"] == (
        "BTCUSDC trades is counted from 2026-08-03T14:27:00Z on only; what was before is not known"
    )
    # So do they not while no trade has come yet.
    none = client({"ledger": [*warm_up, *live]}).get(f"/api/v1/ledger{SPAN}").json()
    assert (none["lost"], none["reason"]) == (None, answer["reason"])
    # Of the bars alone all is known.
    bars = client({"ledger": [*warm_up, *live]}).get(f"/api/v1/ledger{SPAN}&stream=klines").json()
    assert (bars["lost"], bars["reason"]) == (0, None)


def test_a_long_bar_of_the_stream_vouches_for_its_last_minute_alone() -> None:
    warm_up = [{**row, "backfilled": row["stored"]} for row in counted(5)]
    five_minutes = counted(1, interval="5m")
    trades = counted(1, stream="trades", interval="", begin_ns=T0_MS * 10**6 + 4 * MINUTE_NS)
    ledger = [*warm_up, *five_minutes, *trades]
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["counted_from_ms"]) == (None, T0_MS + 240_000)


def test_minutes_without_a_trade_do_not_make_the_whole_unknown() -> None:
    ledger = [*counted(5), *counted(1, stream="trades", interval="")]
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], answer["reason"]) == (0, None)


def carriage(stream: str, *carried: bool, symbol: str = "BTCUSDC") -> list[Row]:
    """What was reported of a stream, a minute after the other."""
    return [
        {
            "time_ns": T0_MS * 10**6 + number * MINUTE_NS,
            "exchange": "binance",
            "symbol": symbol,
            "stream": stream,
            "carried": each,
            "since_ms": T0_MS - 5_000,
        }
        for number, each in enumerate(carried)
    ]


def test_streams_that_are_not_carried_now_are_named_until_they_are_again() -> None:
    rows = [
        *carriage("klines 1m", False, False),
        *carriage("trades", False, True),
        *carriage("depth", True, False),
        *carriage("quotes", False, symbol="ETHUSDC"),
    ]
    server = client({"ledger": counted(5), "carriage": rows})

    def named(query: str = "") -> list[str]:
        answer = server.get(f"/api/v1/ledger{SPAN}{query}").json()
        return [f"{each['symbol']} {each['stream']} {each['interval']}" for each in answer["not_carried"]]

    assert named() == ["BTCUSDC depth ", "BTCUSDC klines 1m", "ETHUSDC quotes "]
    assert named("&symbol=BTCUSDC&stream=klines") == ["BTCUSDC klines 1m"]
    assert named("&interval=1m") == ["BTCUSDC klines 1m"]
    assert named("&exchange=coinbase") == []
    (bars,) = server.get(f"/api/v1/ledger{SPAN}&interval=1m").json()["not_carried"]
    assert (bars["since_ms"], bars["until_ms"]) == (T0_MS - 5_000, T0_MS + 60_000)


def test_streams_that_are_not_carried_are_named_also_of_a_span_that_nobody_has_counted() -> None:
    answer = client({"carriage": carriage("trades", False)}).get(f"/api/v1/ledger{SPAN}").json()
    assert (answer["lost"], len(answer["not_carried"])) == (None, 1)


def test_what_is_on_its_way_is_not_called_lost() -> None:
    begin_ns = now_minute_ns() - 4 * MINUTE_NS
    ledger = counted(5, lost={4: 1}, begin_ns=begin_ns)
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger?from={begin_ns // 10**6}").json()
    assert (answer["lost"], answer["series"][0]["in_flight"]) == (0, 1)


def test_what_is_on_its_way_goes_by_the_exchanges_clock_where_that_is_ahead() -> None:
    begin_ns = now_minute_ns() + 120 * MINUTE_NS
    ledger = counted(5, lost={1: 1, 4: 1}, begin_ns=begin_ns)
    span = f"?from={begin_ns // 10**6}&to={begin_ns // 10**6 + 600_000}"
    answer = client({"ledger": ledger}).get(f"/api/v1/ledger{span}").json()
    assert (answer["lost"], answer["series"][0]["in_flight"]) == (1, 1)


def test_a_span_of_a_ledger_is_bounded() -> None:
    answer = client().get(f"/api/v1/ledger?from=2020-01-01&to={T0_MS}")
    assert answer.status_code == 422
    assert "more than 31 days" in answer.json()["detail"]
    assert client().get("/api/v1/ledger?since=1").status_code == 422


def test_services_and_freshness_are_the_newest_row_of_each() -> None:
    begin_ns = now_minute_ns()
    rows: list[Row] = [
        {
            "time_ns": begin_ns - MINUTE_NS * age,
            "service": name,
            "instance": "0",
            "lag_messages": age,
            "up": True,
        }
        for name, age in (("producer", 2), ("producer", 1), ("consumer-book", 3), ("gone", 3_000))
    ]
    answer = client({"service": rows}).get("/api/v1/services").json()
    at = [answer["columns"].index(name) for name in ("service", "lag_messages", "up", "restarts")]
    assert [[row[place] for place in at] for row in answer["rows"]] == [
        ["consumer-book", 3, True, None],
        ["producer", 1, True, None],
    ]
    assert answer["reason"] is None
    assert answer["server_time_ms"] >= begin_ns // 10**6
    assert client().get("/api/v1/freshness").json()["reason"] == "the store has no freshness of the last day"
