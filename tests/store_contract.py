"""What every store promises; each adapter's tests run all of it (STYLE §3)."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from consumers.measurements import (
    BOOK,
    INDICATOR,
    KLINE,
    LEDGER,
    MEASUREMENTS,
    TRADE,
    Measurement,
    Point,
    Series,
    Value,
)
from consumers.stores.port import Reader, Row, Store
from shared.errors import PointsRejected, UsageError

DAY_NS = 86_400 * 10**9
HOUR_NS = 3_600 * 10**9
# A minute's begin, one to two minutes ago: inside every bucket, on every server's clock.
BASE_NS = (time.time_ns() // (60 * 10**9) - 1) * 60 * 10**9

# The store is meant to be the same for all examples: each has tags of its own.
ON_ONE_STORE = settings(max_examples=40, suppress_health_check=list(HealthCheck))


class Place(Protocol):
    """Somewhere to store: a file, or buckets."""

    def open(self, *, ticks_expiry_ns: int | None = 7 * DAY_NS) -> Store: ...

    def reader(self) -> Reader: ...


def trade(symbol: str, trade_id: int, *, price: Any = 64_123.45, at_ns: int | None = None) -> Point:
    time_ns = BASE_NS + trade_id if at_ns is None else at_ns
    return Point(Series(TRADE, ("binance", symbol)), time_ns, (trade_id, price, 0.5, trade_id % 2 == 0))


def bar(
    symbol: str, interval: str, number: int, *, close: float = 101.5, minute_ns: int = 60 * 10**9
) -> Point:
    values = (100.0, 102.0, 99.0, close, 10.0, 1005.0, 6.0, 603.0, 12)
    return Point(Series(KLINE, ("binance", symbol, interval)), BASE_NS + number * minute_ns, values)


def hour_of_bars(symbol: str) -> list[Point]:
    """What makes the exchange's time known: the bars of an hour, up to `BASE_NS`."""
    return [bar(symbol, "1m", number) for number in range(-59, 1)]


def trade_ids(rows: Iterable[Row]) -> list[Value | str]:
    return [row["trade_id"] for row in rows]


def tag_texts(minimum: int = 0) -> st.SearchStrategy[str]:
    """Tag values: everything but control characters, surrogates and a backslash at the end."""
    characters = st.characters(exclude_categories=("Cc", "Cs"))
    awkward = st.sampled_from(["a,b", "a=b", "a b", 'a"b', "a\\b", " a", "#a", "100%", "${a}", "é", "币安"])
    return (st.text(characters, max_size=12) | awkward).filter(
        lambda text: len(text) >= minimum and not text.endswith("\\")
    )


def values_of(measurement: Measurement) -> st.SearchStrategy[tuple[Value, ...]]:
    kinds: dict[str, st.SearchStrategy[Value]] = {
        "float": st.none() | st.floats(),
        "int": st.none() | st.integers(-(2**63), 2**63 - 1),
        "bool": st.none() | st.booleans(),
        "string": st.none() | tag_texts() | st.sampled_from(["back\\", '"', 'a\\"b', "null", "7", "true"]),
    }
    return st.tuples(*(kinds[column.type] for column in measurement.columns))


@st.composite
def points(draw: st.DrawFn) -> list[Point]:
    """Points of any measurements, some of one identity; all of them have the same first tag."""
    first_tag = uuid.uuid4().hex
    indicators = st.lists(
        st.sampled_from(["momentum_rsi", "momentum_rsi_21", "trend_kst", "volume_obv"]),
        min_size=1,
        unique=True,
    )
    result: list[Point] = []
    for name in draw(st.lists(st.sampled_from(sorted(MEASUREMENTS)), min_size=1, max_size=4)):
        measurement = MEASUREMENTS[name]
        if not measurement.columns:
            measurement = measurement.with_columns(tuple(draw(indicators)))
        tags = (first_tag, *(draw(tag_texts()) for _ in measurement.tags[1:]))
        times = st.sampled_from([0, 1, 999_999, 10**6]) | st.integers(0, 60 * 10**9)
        for _ in range(draw(st.integers(1, 4))):
            values = draw(values_of(measurement))
            result.append(Point(Series(measurement, tags), BASE_NS - draw(times), values))
    return result


def rows_expected(stored: Iterable[Point]) -> dict[str, list[Row]]:
    """The contract's own words as code: later fields of an identity win, missing ones change nothing."""
    merged: dict[tuple[str, int, tuple[str, ...]], Row] = {}
    for point in stored:
        measurement, tags = point.series.measurement, point.series.tags
        fields = {
            column.name: value
            for column, value in zip(measurement.columns, point.values, strict=True)
            if value not in (None, "") and (isinstance(value, str) or math.isfinite(value))
        }
        if fields:
            identity = (measurement.name, point.time_ns, tags)
            named = dict(zip(measurement.tags, tags, strict=True))
            merged.setdefault(identity, {"time_ns": point.time_ns, **named}).update(fields)
    rows: dict[str, list[Row]] = {}
    for (name, _, _), row in sorted(merged.items(), key=lambda item: item[0]):
        rows.setdefault(name, []).append(row)
    return rows


def assert_same_types(found: Row, expected: Row) -> None:
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }


class StoreContract:
    """Subclasses give a `place` fixture: fresh, or used by nobody else under the symbols of the test."""

    @pytest.fixture
    def symbol(self) -> str:
        return uuid.uuid4().hex.upper()

    @pytest.fixture
    def store(self, place: Place) -> Iterable[Store]:
        store = place.open()
        yield store
        store.close()

    def test_writing_twice_is_writing_once(self, place: Place, store: Store, symbol: str) -> None:
        batch = [trade(symbol, number) for number in range(5)]
        store.write(batch)
        store.write(batch)
        rows = list(place.reader().read("trade", {"symbol": symbol}))
        assert trade_ids(rows) == [0, 1, 2, 3, 4]
        assert rows[1] == {
            "time_ns": BASE_NS + 1,
            "exchange": "binance",
            "symbol": symbol,
            "trade_id": 1,
            "price": 64_123.45,
            "quantity": 0.5,
            "buyer_is_maker": False,
        }

    def test_a_point_keeps_the_fields_that_a_later_one_leaves_out(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        series = Series(BOOK, ("binance", symbol))
        synced = (100.0, 101.0, 100.5, 1.0, 99.5, 0.1, 5.0, 6.0, True)
        store.write([Point(series, BASE_NS, synced)])
        store.write([Point(series, BASE_NS, (None, float("nan"), *(None,) * 6, False))])
        (row,) = place.reader().read("book", {"symbol": symbol})
        assert (row["bid"], row["ask"], row["synced"]) == (100.0, 101.0, False)

    def test_of_one_identity_in_one_write_the_last_wins(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        narrow, wide = (
            INDICATOR.with_columns(("momentum_rsi",)),
            INDICATOR.with_columns(("momentum_rsi", "trend_kst")),
        )
        tags = ("binance", symbol, "1m")
        store.write(
            [
                Point(Series(narrow, tags), BASE_NS, (1.0,)),
                Point(Series(wide, tags), BASE_NS, (2.0, 7.0)),
                Point(Series(narrow, tags), BASE_NS, (3.0,)),
            ]
        )
        (row,) = place.reader().read("indicator", {"symbol": symbol})
        assert (row["momentum_rsi"], row["trend_kst"]) == (3.0, 7.0)

    def assert_comes_back(self, place: Place, store: Store, batch: list[Point]) -> None:
        """The law of every measurement: equal values, equal types; each adapter's tests give it batches."""
        store.write(batch)
        expected, reader = rows_expected(batch), place.reader()
        for name in {point.series.measurement.name for point in batch}:
            first_tag = {MEASUREMENTS[name].tags[0]: batch[0].series.tags[0]}
            found = list(reader.read(name, first_tag))
            assert found == expected.get(name, [])
            for row, wanted in zip(found, expected.get(name, []), strict=True):
                assert_same_types(row, wanted)
        reader.close()

    def test_a_point_without_any_field_is_no_point(self, place: Place, store: Store, symbol: str) -> None:
        store.write([Point(Series(TRADE, ("binance", symbol)), BASE_NS, (None, float("inf"), None, None))])
        assert list(place.reader().read("trade", {"symbol": symbol})) == []

    def test_rows_come_in_ascending_time_whatever_the_order_of_writing(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        store.write([bar(symbol, "1m", number) for number in (3, 1)])
        store.write([bar(symbol, interval, number) for interval in ("1s", "5m") for number in (2, 0, 1)])
        rows: list[dict[str, Any]] = list(place.reader().read("kline", {"symbol": symbol}))
        order = [((row["time_ns"] - BASE_NS) // (60 * 10**9), row["interval"]) for row in rows]
        assert order == [
            *((0, "1s"), (0, "5m")),
            *((1, "1m"), (1, "1s"), (1, "5m")),
            *((2, "1s"), (2, "5m")),
            (3, "1m"),
        ]

    def test_from_is_inclusive_and_to_exclusive(self, place: Place, store: Store, symbol: str) -> None:
        store.write([trade(symbol, number) for number in range(10)])
        reader = place.reader()
        assert trade_ids(
            reader.read("trade", {"symbol": symbol}, from_ns=BASE_NS + 3, to_ns=BASE_NS + 6)
        ) == [3, 4, 5]
        assert trade_ids(reader.read("trade", {"symbol": symbol}, from_ns=BASE_NS + 8)) == [8, 9]
        assert trade_ids(reader.read("trade", {"symbol": symbol}, to_ns=BASE_NS + 2)) == [0, 1]
        assert trade_ids(reader.read("trade", {"symbol": symbol}, from_ns=BASE_NS + 6, to_ns=BASE_NS)) == []

    def test_last_is_the_newest_of_each_series(self, place: Place, store: Store, symbol: str) -> None:
        store.write([bar(symbol, "1m", number) for number in (*range(5), 500)])
        store.write([bar(symbol, "1s", number) for number in range(2)])
        reader = place.reader()
        rows: list[dict[str, Any]] = list(reader.read("kline", {"symbol": symbol}, last=3))
        found = [((row["time_ns"] - BASE_NS) // (60 * 10**9), row["interval"]) for row in rows]
        assert found == [(0, "1s"), (1, "1s"), (3, "1m"), (4, "1m"), (500, "1m")]
        before = BASE_NS + 4 * 60 * 10**9
        (row,) = reader.read("kline", {"symbol": symbol, "interval": "1m"}, to_ns=before, last=1)
        assert row["time_ns"] == BASE_NS + 3 * 60 * 10**9

    def test_the_last_rows_are_whole_where_fields_are_sparse(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        series = Series(INDICATOR.with_columns(("momentum_rsi", "trend_kst")), ("binance", symbol, "1m"))
        store.write(
            [
                Point(series, BASE_NS + number * 60 * 10**9, (float(number), None if number % 3 else 7.0))
                for number in range(10)
            ]
        )
        rows = place.reader().read("indicator", {"symbol": symbol, "interval": "1m"}, last=4)
        assert [(row.get("momentum_rsi"), row.get("trend_kst")) for row in rows] == [
            (6.0, 7.0),
            (7.0, None),
            (8.0, None),
            (9.0, 7.0),
        ]

    def test_an_empty_tag_is_stored_and_found(self, place: Place, store: Store, symbol: str) -> None:
        for stream, interval in (("trades", ""), ("klines", "1m")):
            store.write([Point(Series(LEDGER, ("binance", symbol, stream, interval)), BASE_NS, (1,) * 6)])
        reader = place.reader()
        assert [row["stream"] for row in reader.read("ledger", {"symbol": symbol, "interval": ""})] == [
            "trades"
        ]
        assert [row["interval"] for row in reader.read("ledger", {"symbol": symbol})] == ["1m", ""]

    def test_points_older_than_their_bucket_keeps_are_given_back_and_counted_not_written(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        store.write(hour_of_bars(symbol))
        assert store.oldest_kept_ns == BASE_NS - 7 * DAY_NS
        old = trade(symbol, 1, at_ns=BASE_NS - 8 * DAY_NS)
        expired = store.write([old, trade(symbol, 2), bar(symbol, "1m", -8 * 1440)])
        assert list(expired) == [old]
        assert store.expired == 1
        reader = place.reader()
        assert trade_ids(reader.read("trade", {"symbol": symbol})) == [2]
        assert len(list(reader.read("kline", {"symbol": symbol}, to_ns=BASE_NS - 7 * DAY_NS))) == 1

    def test_expired_points_are_told_apart_from_rejected_ones(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        store.write(hour_of_bars(symbol))
        old, wrong = trade(symbol, 1, at_ns=BASE_NS - 8 * DAY_NS), trade(symbol, 2, price="1")
        with pytest.raises(PointsRejected) as caught:
            store.write([old, wrong, trade(symbol, 3)])
        assert [point for point, _ in caught.value.rejected] == [wrong]
        assert list(caught.value.expired) == [old]

    @pytest.mark.parametrize("hours", [1, -1, 24, -24, 30 * 24, -30 * 24])
    def test_the_hosts_clock_lets_nothing_expire(
        self, place: Place, symbol: str, hours: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = place.open()
        store.write([*hour_of_bars(symbol), trade(symbol, 1), trade(symbol, 2, at_ns=BASE_NS - 6 * DAY_NS)])
        true_ns, true_s = time.time_ns, time.time
        monkeypatch.setattr(time, "time_ns", lambda: true_ns() + hours * HOUR_NS)
        monkeypatch.setattr(time, "time", lambda: true_s() + hours * 3600)
        store.write([trade(symbol, 3)])
        store.close()
        again = place.open()
        again.write([trade(symbol, 4)])
        monkeypatch.undo()
        assert (store.expired, again.expired) == (0, 0)
        assert trade_ids(place.reader().read("trade", {"symbol": symbol})) == [2, 1, 3, 4]
        again.close()

    def test_a_time_far_ahead_lets_nothing_expire(
        self, place: Place, symbol: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = place.open()
        store.write([*hour_of_bars(symbol), trade(symbol, 1)])
        ahead = [trade(symbol, number, at_ns=BASE_NS + (7 + number) * DAY_NS) for number in (2, 3)]
        for point in ahead:
            store.write([point])
        store.write([trade(symbol, 4)])
        assert store.oldest_kept_ns == BASE_NS + 4 - 7 * DAY_NS
        assert caplog.text.count("ahead of the newest") == 1
        store.close()
        again = place.open()
        again.write([trade(symbol, 5)])
        assert trade_ids(place.reader().read("trade", {"symbol": symbol})) == [1, 4, 5, 2, 3]
        assert (store.expired, again.expired) == (0, 0)
        again.close()

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda symbol: trade(symbol, 3, price=True), id="bool for a float"),
            pytest.param(lambda symbol: trade(symbol, 3, price="1"), id="text for a float"),
            pytest.param(lambda symbol: trade(symbol, 2**63, at_ns=BASE_NS), id="int beyond 64 bits"),
            pytest.param(lambda symbol: trade(symbol, 3, at_ns=-1), id="time before 1970"),
            pytest.param(lambda symbol: trade(f"{symbol}\n", 3), id="line break in a tag"),
            pytest.param(lambda symbol: trade(f"{symbol}\\", 3), id="backslash that ends a tag"),
            pytest.param(lambda symbol: trade(symbol, 3)._replace(values=(1, 2.0)), id="too few values"),
        ],
    )
    def test_a_point_that_can_never_be_stored_is_rejected_and_all_others_are_stored(
        self, place: Place, symbol: str, wrong: Callable[[str], Point]
    ) -> None:
        store = place.open(ticks_expiry_ns=None)
        point = wrong(symbol)
        with pytest.raises(PointsRejected) as caught:
            store.write([trade(symbol, 1), point, trade(symbol, 2)])
        ((rejected, reason),) = caught.value.rejected
        assert rejected is point
        assert reason
        assert trade_ids(place.reader().read("trade", {"symbol": symbol})) == [1, 2]
        store.close()

    def test_what_was_written_is_there_after_closing_and_opening_again(
        self, place: Place, symbol: str
    ) -> None:
        first = place.open()
        first.write([trade(symbol, 1)])
        first.close()
        second = place.open()
        second.write([trade(symbol, 2)])
        second.close()
        assert trade_ids(place.reader().read("trade", {"symbol": symbol})) == [1, 2]

    def test_more_points_than_one_request_holds_are_all_stored(
        self, place: Place, store: Store, symbol: str
    ) -> None:
        store.write([trade(symbol, number) for number in range(12_001)])
        assert trade_ids(place.reader().read("trade", {"symbol": symbol})) == list(range(12_001))

    def test_nothing_is_found_where_nothing_is(self, place: Place, store: Store, symbol: str) -> None:
        store.write([])
        reader = place.reader()
        assert list(reader.read("trade", {"symbol": symbol})) == []
        assert list(reader.read("kline", {"symbol": symbol}, last=3)) == []

    def test_an_unknown_measurement_or_tag_is_a_usage_error(self, place: Place, store: Store) -> None:
        with pytest.raises(UsageError, match="candle"):
            place.reader().read("candle", {})
        with pytest.raises(UsageError, match="interval"):
            place.reader().read("trade", {"interval": "1m"})
