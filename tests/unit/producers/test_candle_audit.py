"""Candles of trades against the exchange's bars: equal ones pass, every other is named."""

from __future__ import annotations

import gzip
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.candle_audit import MAX_BARS, MAX_TRADES, CandleAudit, KnownTrade, candle_of, is_as_said
from shared.intervals import INTERVAL_MS
from tests.builders import NOW_MS, kline, trade
from tests.unit.producers.bars_of_trades import Made, bar, issued, market, text

MINUTE = 60_000
FIELDS = (
    "open",
    "high",
    "low",
    "close",
    "base_volume",
    "quote_volume",
    "trade_count",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)
made = st.tuples(st.integers(1, 10**7), st.integers(1, 10**6), st.booleans())


def complete(_first: int, _last: int) -> bool:
    return False


def said(audit: CandleAudit, awaits: Any = complete) -> list[tuple[str, int, str | None]]:
    """(interval, number of the bar from NOW_MS on, what is wrong) of what is audited now."""
    return [
        (interval, (event.first - NOW_MS) // INTERVAL_MS[interval], event.detail)
        for interval, event in audit.check(awaits)
    ]


def counts(audit: CandleAudit) -> tuple[int, int, int]:
    return audit.audited, audit.different, audit.unaudited


def fed(trades: dict[int, Made], bars: list[Any], intervals: tuple[str, ...] = ("1m",)) -> CandleAudit:
    audit = CandleAudit(intervals)
    for trade_id, one in trades.items():
        audit.receive_trade(issued(trade_id, one))
    for one_bar in bars:
        audit.receive_bar(one_bar)
    return audit


@given(sizes=st.lists(st.lists(made, max_size=6), min_size=1, max_size=8))
def test_bars_equal_to_their_trades_pass(sizes: list[list[Made]]) -> None:
    audit = fed(*market(sizes))
    assert said(audit) == []
    assert counts(audit) == (len(sizes), 0, 0)


@given(
    sizes=st.lists(st.lists(made, min_size=1, max_size=6), min_size=1, max_size=5),
    choices=st.data(),
    field=st.sampled_from(FIELDS),
)
def test_one_field_that_is_wrong_is_found_and_named(
    sizes: list[list[Made]], choices: st.DataObject, field: str
) -> None:
    trades, bars = market(sizes)
    number = choices.draw(st.integers(0, len(bars) - 1))
    right = bars[number][field]
    bars[number][field] = (
        right + 1 if field == "trade_count" else text(Decimal(right) + Decimal("0.00000001"))
    )
    audit = fed(trades, bars)
    [(interval, found, detail)] = said(audit)
    assert (interval, found) == ("1m", number)
    assert detail is not None
    assert detail.startswith(f"trades say {field} ")
    assert Decimal(detail.split()[-1]) == Decimal(right)
    assert counts(audit) == (len(bars), 1, 0)


@given(field=st.sampled_from(FIELDS))
def test_a_bar_without_trades_repeats_the_close_before(field: str) -> None:
    trades, bars = market([[(100, 5, True)], []])
    bars[1][field] = 1 if field == "trade_count" else "7.00000000"
    audit = fed(trades, bars)
    said(audit)
    # A count of trades without ids of trades contradicts itself: it differs, too.
    assert counts(audit) == (2, 1, 0)


def test_a_bar_waits_for_trades_that_may_still_come_and_takes_them_in_any_order() -> None:
    trades, bars = market([[(100, 5, True), (101, 6, False), (99, 1, True)]])
    late = trades.pop(102)
    audit = fed(trades, bars)
    assert said(audit, lambda first, last: first <= 102 <= last) == []
    assert counts(audit) == (0, 0, 0)
    audit.receive_trade(issued(102, late))
    assert said(audit) == []
    assert counts(audit) == (1, 0, 0)


def test_a_bar_of_which_a_trade_is_lost_is_unaudited() -> None:
    trades, bars = market([[(100, 5, True), (101, 6, False)], [(100, 5, True)]])
    del trades[102]
    audit = fed(trades, bars)
    assert said(audit) == []
    assert counts(audit) == (1, 0, 1)


def test_a_bar_of_rest_is_held_to_the_trades_that_follow_on_the_bar_before() -> None:
    trades, bars = market([[(100, 5, True)], [(101, 6, False), (102, 1, True)], [(99, 5, True)]])
    bars[1] |= {"first_trade_id": None, "last_trade_id": None, "source": "backfill"}
    audit = fed(trades, bars)
    assert said(audit) == []
    assert counts(audit) == (3, 0, 0)


def test_a_bar_of_rest_after_nothing_known_is_unaudited() -> None:
    trades, bars = market([[(100, 5, True)]])
    bars[0] |= {"first_trade_id": None, "last_trade_id": None}
    assert said(audit := fed(trades, bars)) == []
    assert counts(audit) == (0, 0, 1)


def test_a_bar_without_trades_is_compared_only_where_the_ids_around_it_are_known() -> None:
    trades, bars = market([[], [(100, 5, True)], [], [(99, 5, True)]])
    audit = fed(trades, bars)
    assert said(audit) == []
    assert (audit.audited, audit.compared) == (4, 3)  # trades before the first known one may exist


def test_a_longer_bar_is_compared_only_where_all_its_minutes_are() -> None:
    trades, minutes = market([[], [], [], [], [], [(100, 5, True)], [], [], [], []])
    quiet, traded = bar(0, {}, interval="5m"), bar(1, trades, interval="5m")
    audit = fed(trades, [*minutes, quiet, traded], ("1m", "5m"))
    assert said(audit) == []
    assert (audit.audited, audit.compared) == (12, 6)


def test_a_bar_without_one_of_its_trades_is_not_compared_though_its_ids_are_wrong() -> None:
    _, bars = market([[(100, 5, True)], [(101, 6, False), (99, 5, True)]])
    bars[1] |= {"first_trade_id": 101, "last_trade_id": 102}
    audit = fed({}, bars)
    assert [number for _, number, _ in said(audit)] == [1]
    assert (audit.different, audit.compared) == (1, 0)


def test_a_bar_without_trades_after_one_of_unknown_trades_is_not_compared() -> None:
    _, bars = market([[(100, 5, True)], []])
    bars[1] |= dict.fromkeys(("open", "high", "low", "close"), "777.00000000")
    audit = fed({}, bars)
    assert said(audit) == []
    assert audit.compared == 0


def test_bars_of_an_earlier_process_are_compared_and_counted_by_that_one() -> None:
    trades, bars = market([[(100, 5, True)], [(101, 6, False)], [(99, 5, True)]])
    audit = CandleAudit(("1m",))
    audit.begin(NOW_MS + 2 * MINUTE)
    values = [issued(each, one) for each, one in trades.items()]
    known = [
        KnownTrade(
            each["trade_id"],
            NOW_MS + at * MINUTE,
            (each["price"], each["quantity"], each["buyer_is_maker"]),
        )
        for at, each in enumerate(values)
    ]
    audit.resume(known[:2], bars[:2])
    audit.receive_trade(issued(103, trades[103]))
    audit.receive_bar(bars[2])
    assert said(audit) == []
    assert (audit.audited, audit.compared) == (3, 1)


def test_trades_that_no_bar_claims_are_named() -> None:
    trades, bars = market([[(100, 5, True)], [(100, 7, True)], [(101, 6, False)]])
    bars[1] = bar(1, {}, bars[0]["close"])  # it says there were none
    assert [(number, detail) for _, number, detail in said(fed(trades, bars))] == [
        (2, "trades say trades 102 to 102 are in no bar")
    ]


def test_a_trade_that_two_bars_claim_is_named() -> None:
    trades, bars = market([[(100, 5, True), (100, 1, False)], [(101, 6, False)]])
    bars[1]["first_trade_id"] = 102
    assert said(fed(trades, bars)) == [("1m", 1, "trades say trades up to 102 are in the bar before")]


def test_minutes_are_built_from_seconds_and_longer_bars_from_minutes() -> None:
    trades, seconds = market(
        [[(100 + number % 7, 1 + number % 5, number % 3 == 0)] for number in range(180)], "1s"
    )
    ids = sorted(trades)
    minutes = [bar(n, {i: trades[i] for i in ids[n * 60 : n * 60 + 60]}) for n in range(3)]
    whole = bar(0, trades, interval="3m")
    audit = fed(trades, [*seconds, *minutes, whole], ("1s", "1m", "3m"))
    assert said(audit) == []
    assert counts(audit) == (184, 0, 0)
    whole["high"] = "9.00000000"
    minutes[1]["low"] = "9.00000000"
    assert said(fed(trades, [*seconds, *minutes, whole], ("1s", "1m", "3m"))) == [
        ("1m", 1, "trades say low 1.00000000"),
        ("3m", 0, "trades say high 1.06000000"),
    ]


def test_seconds_before_a_hole_are_not_counted_into_the_minute_after_it() -> None:
    trades, seconds = market([[(100 + number % 7, 1, True)] for number in range(120)], "1s")
    ids = sorted(trades)
    minute = bar(1, {i: trades[i] for i in ids[60:]})
    # As many as a minute has: five of one and 55 of the next.
    audit = fed(trades, [*seconds[:5], *seconds[65:], minute], ("1s", "1m"))
    assert said(audit) == []
    assert counts(audit) == (60, 0, 1)


def test_a_longer_bar_may_come_before_its_last_minute_and_is_unaudited_where_one_is() -> None:
    trades, minutes = market([[(100, 5, True)]] * 6)
    del trades[105]
    audit = CandleAudit(("1m", "3m"))
    audit.receive_bar(bar(0, {i: trades[i] for i in (101, 102, 103)}, interval="3m"))
    for trade_id, one in trades.items():
        audit.receive_trade(issued(trade_id, one))
    assert said(audit) == []
    assert counts(audit) == (0, 0, 0)
    for minute in minutes:
        audit.receive_bar(minute)
    audit.receive_bar(bar(1, dict.fromkeys((104, 105, 106), (100, 5, True)), interval="3m"))
    assert said(audit) == []
    assert counts(audit) == (6, 0, 2)


def test_quote_volumes_that_the_exchange_must_round_may_differ_by_the_rounding_only() -> None:
    price, quantity = "0.01234567", "0.00300000"  # their product has 11 decimals
    values = {"open": price, "high": price, "low": price, "close": price, "trade_count": 2}
    ids = {
        "open_time_ms": NOW_MS,
        "close_time_ms": NOW_MS + MINUTE - 1,
        "first_trade_id": 1,
        "last_trade_id": 2,
    }
    volumes = {"base_volume": "0.00600000", "taker_buy_base_volume": "0.00600000"}

    def audited(quote_volume: str) -> list[Any]:
        audit = CandleAudit(("1m",))
        for trade_id in (1, 2):
            audit.receive_trade(trade(trade_id=trade_id, price=price, quantity=quantity))
        quotes = {"quote_volume": quote_volume, "taker_buy_quote_volume": quote_volume}
        audit.receive_bar(kline(**values, **ids, **volumes, **quotes))
        return said(audit)

    assert audited("0.00007406") == []  # twice 0.00003703701, each cut off
    assert len(audited("0.00007403")) == 1


def test_ids_that_make_no_sense_cost_neither_time_nor_memory() -> None:
    trades, bars = market([[(100, 5, True)]])
    bars[0]["last_trade_id"] = 2**62
    assert said(audit := fed(trades, bars)) == []
    assert counts(audit) == (0, 0, 1)


def test_without_a_short_interval_nothing_is_audited() -> None:
    trades, _ = market([[(100, 5, True)]])
    audit = fed(trades, [bar(0, trades, interval="15m")], ("15m", "1h"))
    assert said(audit) == []
    assert counts(audit) == (0, 0, 1)


def test_what_waits_is_bounded() -> None:
    audit = CandleAudit(("1m",))
    for number in range(MAX_BARS + 10):
        audit.receive_bar(bar(number, {number + 1: (100, 5, True)}))
    said(audit, lambda _first, _last: True)
    assert counts(audit) == (0, 0, 10)
    for trade_id in range(10**6, 10**6 + MAX_TRADES + 10):
        audit.receive_trade(trade(trade_id=trade_id))
        if trade_id % MAX_TRADES == MAX_TRADES // 2:
            said(audit, lambda _first, _last: True)
    said(audit)
    assert len(audit._trades) <= MAX_TRADES


@pytest.mark.parametrize("maker", [True, False])
def test_only_trades_whose_seller_was_the_maker_are_taker_buys(maker: bool) -> None:
    candle = candle_of([("2.0", "3.0", maker)])
    taken = (candle.taker_buy_base_volume, candle.taker_buy_quote_volume)
    assert taken == ((Decimal(0), Decimal(0)) if maker else (Decimal(3), Decimal(6)))


@pytest.mark.parametrize(
    ("minute", "prices", "base_volume", "trade_count"),
    [
        ("23:55", ("61828.00", "61860.80", "61780.00", "61782.25"), "15.07702", 1_255),
        ("00:04", ("61637.26", "61691.64", "61602.00", "61607.99"), "30.31600", 1_461),
    ],
)
def test_recorded_trades_make_the_candles_that_the_recordings_readme_gives(
    recordings: Path, minute: str, prices: tuple[str, ...], base_volume: str, trade_count: int
) -> None:
    day = "2024-08-08" if minute > "12" else "2024-08-09"
    number = int(datetime.fromisoformat(f"{day}T{minute}+00:00").timestamp()) // 60
    trades = []
    for name in ("hft_btcusdt_20240808.gz", "hft_btcusdt_20240809.gz"):
        with gzip.open(recordings / "binance_spot_ws" / name, "rb") as lines:
            events = (
                orjson.loads(line.split(b" ", 1)[1]).get("data", {}) for line in lines if b"@trade" in line
            )
            trades += [
                (event["p"], event["q"], event["m"]) for event in events if event["T"] // MINUTE == number
            ]
    candle = candle_of(trades)
    assert (candle.open, candle.high, candle.low, candle.close) == tuple(map(Decimal, prices))
    assert (candle.base_volume, candle.trade_count) == (Decimal(base_volume), trade_count)


def kept(audit: CandleAudit) -> list[int]:
    said(audit)
    return sorted(audit._trades)


def filled(trade_id: int, at_ms: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + at_ms, source="backfill")


def test_filled_trades_from_before_the_streams_are_not_kept() -> None:
    audit = CandleAudit(("1m",))
    audit.begin(NOW_MS + 30_000)
    for trade_id, at_ms in ((7, -86_400_000), (8, -1), (9, 0), (10, 29_000)):
        audit.receive_filled(filled(trade_id, at_ms))
    assert kept(audit) == [9, 10]  # those of the bar that has begun


def test_a_clock_that_is_a_little_off_costs_no_trade() -> None:
    audit = CandleAudit(("1m",))
    audit.begin(NOW_MS + 5_000)
    audit.receive_filled(filled(9, -1))
    assert kept(audit) == [9]


def test_filled_trades_of_bars_that_are_judged_are_not_kept() -> None:
    trades, bars = market([[(100, 5, True)], [(101, 5, True), (102, 5, False)]])
    audit = fed({101: trades[101]}, bars[:1])
    assert said(audit) == []
    for trade_id in (5, 6, 102, 103):
        audit.receive_filled(issued(trade_id, trades.get(trade_id, (1, 1, True))))
    assert kept(audit) == [102, 103]
    audit.receive_bar(bars[1])
    assert said(audit) == []
    assert counts(audit) == (2, 0, 0)


def test_a_hole_filled_below_the_bars_is_not_held_against_one_that_skips_an_id() -> None:
    trades, bars = market([[(100, 5, True)], [(101, 5, True), (102, 5, False)]])
    audit = fed({101: trades[101]}, bars[:1])
    said(audit)
    audit.receive_filled(issued(5, (1, 1, True)))
    later = bar(1, {103: trades[103]})  # 102 was never issued
    audit.receive_trade(issued(103, trades[103]))
    audit.receive_bar(later)
    assert said(audit) == []


# Minutes of two trades each; 104 was never issued.
SKIPPING: dict[int, Made] = {
    at: (100 + at % 3, 5 + at % 2, at % 2 == 0) for at in (101, 102, 103, 105, 106, 107, 108, 109, 110, 111)
}
MINUTES = [
    bar(number, {at: SKIPPING[at] for at in sorted(SKIPPING)[2 * number : 2 * number + 2]})
    for number in range(5)
]


def rest(kline: Any, **changes: Any) -> Any:
    """As REST gives a bar: without ids."""
    return {**kline, "first_trade_id": None, "last_trade_id": None, "source": "backfill", **changes}


@pytest.mark.parametrize(
    ("bars", "revised"),
    [
        pytest.param([MINUTES[0], *map(rest, MINUTES[1:4]), MINUTES[4]], [], id="an id is skipped"),
        pytest.param(
            [MINUTES[0], rest(MINUTES[1], trade_count=3), *map(rest, MINUTES[2:4]), MINUTES[4]],
            [],
            id="REST counts a trade too many, of which one is unknown",
        ),
        pytest.param(
            [{**MINUTES[0], "last_trade_id": 103, "trade_count": 3}, *map(rest, MINUTES[1:4]), MINUTES[4]],
            [0],
            id="the stream counts a trade too many",
        ),
        pytest.param(
            [MINUTES[0], rest(MINUTES[1]), rest(MINUTES[2], high="9.00000000"), *MINUTES[3:]],
            [],
            id="a wrong one after one that may have ended elsewhere",
        ),
    ],
)
def test_bars_without_ids_are_held_to_no_trades_that_may_be_others(bars: Any, revised: list[int]) -> None:
    audit = fed(SKIPPING, bars)
    assert [event.first for _, event in audit.check(lambda *_: False)] == [
        MINUTES[number]["open_time_ms"] for number in revised
    ]


def test_a_bar_without_ids_that_differs_is_told_and_later_ones_are_not_held_to_where_it_ended() -> None:
    prices = ((100, 2), (101, 2), (102, 2), (99, 1))
    trades, bars = market([[(price, 5, True)] * count for price, count in prices])
    audit = fed(trades, [bars[0], rest(bars[1], trade_count=3), rest(bars[2]), bars[3]])
    assert [event.first for _, event in audit.check(lambda *_: False)] == [bars[1]["open_time_ms"]]
    assert counts(audit) == (3, 1, 1)


def test_bars_that_wait_where_a_numbering_begins_anew_are_compared_with_no_trade_of_it() -> None:
    trades, bars = market([[(100, 5, True), (101, 5, True)]])
    audit = fed({101: trades[101]}, bars)
    assert audit.check(lambda *_: True) == []
    audit.begin_anew()
    for at in range(1, 151):
        audit.receive_trade(issued(at, (200, 1, True)))
    assert audit.check(lambda *_: False) == []
    assert counts(audit) == (0, 0, 1)


def test_a_new_numbering_is_kept_from_its_first_trade_on() -> None:
    trades, bars = market([[(100, 5, True)]])
    audit = fed(trades, bars)
    said(audit)
    audit.begin_anew()
    audit.receive_filled(issued(1, (100, 5, True)))
    assert kept(audit) == [1]


def test_without_a_short_interval_no_trade_is_kept() -> None:
    trades, _ = market([[(100, 5, True)]])
    assert kept(fed(trades, [], ("15m", "1h"))) == []


@pytest.mark.parametrize(
    ("detail", "settles"),
    [
        ("trades say close 105.50; trade_count 3", True),
        ("trades say close 105.51; trade_count 3", False),
        ("trades say close 105.50; trade_count 4", False),
        ("trades say quote_volume 250.000000002", True),  # the exchange rounds each of its products
        ("trades say 2 trades in no bar", False),
        ("trades say close", False),
        ("trades say close nan", False),
        ("trades say close 105.50…", False),
        ("", False),
    ],
)
def test_a_bar_is_as_its_trades_say_only_if_each_value_that_is_named_is(detail: str, settles: bool) -> None:
    bar = kline(close="105.5", trade_count=3, quote_volume="250")
    assert is_as_said(bar, detail) is settles
