"""The fast ways of the encoder say what the slow, checked way says, and what InfluxDB reads back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.measurements import (
    INDICATOR,
    INSTRUMENT,
    KLINE,
    LEDGER,
    MEASUREMENTS,
    SERVICE,
    TRADE,
    Measurement,
    Point,
    Series,
)
from consumers.stores.line_protocol import LineEncoder, encode
from shared.errors import PointsRejected

TRADES = Series(TRADE, ("binance", "BTCUSDC"))
WIDE = Series(
    INDICATOR.with_columns(tuple(f"momentum_{number}" for number in range(86))), ("binance", "BTCUSDC", "1m")
)


def line(series: Series, *values: Any, time_ns: int = 17) -> str:
    return encode([Point(series, time_ns, values)]).decode()


def fields(text: str) -> dict[str, str]:
    return dict(field.split("=") for field in text.split(" ")[-2].split(","))


def test_a_trade_is_written_with_its_types() -> None:
    assert line(TRADES, 5, 64_123.45, 1e-7, True, time_ns=1_732_000_000_123_000_005) == (
        "trade,exchange=binance,symbol=BTCUSDC "
        "trade_id=5i,price=64123.45,quantity=1e-7,buyer_is_maker=true 1732000000123000005"
    )


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_left_out(missing: float | None) -> None:
    assert line(TRADES, 5, missing, 2.0, False).endswith(" trade_id=5i,quantity=2.0,buyer_is_maker=false 17")
    assert fields(line(WIDE, 1.5, *([missing] * 84), 2.5)) == {"momentum_0": "1.5", "momentum_85": "2.5"}


def test_a_point_without_fields_has_no_line() -> None:
    assert line(TRADES, None, math.nan, None, None) == ""
    assert line(WIDE, *([None] * 86)) == ""
    assert encode([Point(TRADES, 1, (None,) * 4), Point(TRADES, 2, (1, None, None, None))]).count(b"\n") == 0


def test_commas_spaces_and_equals_signs_are_escaped_and_a_backslash_stands_for_itself() -> None:
    text = line(Series(LEDGER, ("bi,n", "B=C", "a b", "c\\d")), *range(6))
    assert text.startswith(r"ledger,exchange=bi\,n,symbol=B\=C,stream=a\ b,interval=c\d expected=0i,")


INSTRUMENTS = Series(INSTRUMENT, ("coinbase", "BTC-USDC"))
NO_WORDS = (None,) * 6


def test_a_text_is_quoted_and_its_quotes_and_backslashes_are_escaped() -> None:
    text = line(INSTRUMENTS, "BTC", 'a, "b"=c\\', 0.01, None, "", *NO_WORDS[1:])
    assert (
        text
        == r"""instrument,exchange=coinbase,symbol=BTC-USDC base="BTC",quote="a, \"b\"=c\\",tick=0.01 17"""
    )


@pytest.mark.parametrize("text", [7, b"BTC", "a\nb", "\x7f", "\ud800", "x" * 1_001])
def test_a_text_that_no_store_can_keep_is_rejected(text: object) -> None:
    with pytest.raises(PointsRejected, match=r"base: .* is not a text of up to 1,000 characters"):
        line(INSTRUMENTS, text, None, None, None, *NO_WORDS)


def test_empty_tags_are_left_out() -> None:
    assert line(Series(LEDGER, ("binance", "B", "trades", "")), *range(6)).startswith(
        "ledger,exchange=binance,symbol=B,stream=trades expected=0i"
    )


def test_percent_signs_in_names_are_only_characters() -> None:
    series = Series(INDICATOR.with_columns(("a%b", "c%d")), ("x%d", "y%%", "1m"))
    assert line(series, 1.0, 2.0) == "indicator,exchange=x%d,symbol=y%%,interval=1m a%b=1.0,c%d=2.0 17"
    assert line(series, 1.0, None) == "indicator,exchange=x%d,symbol=y%%,interval=1m a%b=1.0 17"


def test_whole_numbers_in_float_columns_are_floats() -> None:
    assert fields(line(TRADES, 5, 3, 2, True))["price"] == "3.0"
    assert float(fields(line(WIDE, *range(86)))["momentum_85"]) == 85.0


@pytest.mark.parametrize(
    ("series", "values"),
    [
        (TRADES, (5.0, 1.0, 1.0, True)),
        (TRADES, (5, 1.0, 1.0, 1)),
        (TRADES, (2**63, 1.0, 1.0, True)),
        (TRADES, (-(2**63) - 1, 1.0, 1.0, True)),
        (TRADES, (5, 1.0, 1.0)),
        (TRADES, (5, "1.0", 1.0, True)),
        (WIDE, (True, *([1.0] * 85))),
        (WIDE, ("1", *([1.0] * 85))),
        (WIDE, ([1.0], *([1.0] * 85))),
        (WIDE, (10**400, *([1.0] * 85))),
        (WIDE, (1.0,) * 85),
        (Series(TRADE, ("binance", "A\nB")), (5, 1.0, 1.0, True)),
        (Series(TRADE, ("binance", "A\\")), (5, 1.0, 1.0, True)),
        (Series(TRADE, ("binance", "\ud800")), (5, 1.0, 1.0, True)),
    ],
)
def test_what_can_never_be_stored_is_rejected_with_its_reason(
    series: Series, values: tuple[Any, ...]
) -> None:
    point = Point(series, 17, values)
    with pytest.raises(PointsRejected) as caught:
        LineEncoder().line(point)
    ((rejected, reason),) = caught.value.rejected
    assert rejected is point
    assert "\n" not in reason


@pytest.mark.parametrize("time_ns", [-1, 2**63 - 1, 1.5, None, True])
@pytest.mark.parametrize("series", [TRADES, WIDE])
def test_a_time_that_no_store_takes_is_rejected(series: Series, time_ns: int) -> None:
    values = (1.0,) * 86 if series is WIDE else (5, 1.0, 1.0, True)
    with pytest.raises(PointsRejected, match="time"):
        LineEncoder().line(Point(series, time_ns, values))


@given(st.data())
def test_every_field_reads_back_as_the_same_value(data: st.DataObject) -> None:
    measurement = data.draw(st.sampled_from([KLINE, TRADE, LEDGER, SERVICE, WIDE.measurement]))
    kinds = {
        "float": st.none() | st.floats(),
        "int": st.integers(-(2**63), 2**63 - 1),
        "bool": st.booleans(),
    }
    values = data.draw(st.tuples(*(kinds[column.type] for column in measurement.columns)))
    text = line(Series(measurement, ("t",) * len(measurement.tags)), *values)
    stored = {
        column.name: value
        for column, value in zip(measurement.columns, values, strict=True)
        if value is not None and math.isfinite(value)
    }
    read: dict[str, Callable[[str], Any]] = {
        "float": float,
        "int": lambda text: int(text.removesuffix("i")),
        "bool": "true".__eq__,
    }
    types = {column.name: column.type for column in measurement.columns}
    found = {name: read[types[name]](text) for name, text in fields(text).items()} if text else {}
    assert found == stored


ODD = st.sampled_from(
    [None, math.nan, math.inf, True, 7, 2.5, 2**63, -(2**63) - 1, 10**400, "a", "=null", b"a", ()]
)


@given(
    st.sampled_from([TRADE, KLINE, LEDGER]),
    st.lists(st.tuples(st.integers(-1, 2**63), st.lists(ODD, max_size=2), st.integers(0, 12)), max_size=6),
    st.integers(0, 3),
)
def test_many_points_have_the_lines_that_each_has_by_itself(
    measurement: Measurement, drawn: list[tuple[int, list[Any], int]], usual: int
) -> None:
    """Or none at once, where one of them has to be looked at."""
    some: dict[str, Any] = {"float": 1.5, "int": 7, "bool": True, "string": "a"}
    sound = tuple(some[column.type] for column in measurement.columns)
    series = Series(measurement, ("t",) * len(measurement.tags))
    points = [Point(series, 17 + number, sound) for number in range(usual)]
    points += [Point(series, time_ns, (*sound[:at], *odd, *sound[at + 1 :])) for time_ns, odd, at in drawn]
    encoding = LineEncoder().encoding(series)
    lines = encoding.lines(points)
    if lines is None:
        assert drawn, "usual points need no second look"
    else:
        assert lines == [encoding.line(point) for point in points]


NAMES = tuple(f"trend_null_one_e_{number}" for number in range(17))


@pytest.mark.thorough
@pytest.mark.parametrize("names", [NAMES, (*NAMES[:16], "Of_other_letters"), (*NAMES[:16], "a b:c")])
@given(values=st.tuples(*[st.floats() | st.just(math.nan)] * 17))
def test_wide_points_leave_out_what_is_missing_wherever_it_stands(
    names: tuple[str, ...], values: tuple[float, ...]
) -> None:
    text = line(Series(INDICATOR.with_columns(names), ("binance", "B", "1m")), *values)
    written = {
        name.replace(" ", "\\ "): value
        for name, value in zip(names, values, strict=True)
        if math.isfinite(value)
    }
    head, end = "indicator,exchange=binance,symbol=B,interval=1m ", " 17"
    if not written:
        assert text == ""
        return
    assert text.startswith(head) and text.endswith(end)
    found = [field.split("=") for field in text.removeprefix(head).removesuffix(end).split(",")]
    assert [(name, float(value)) for name, value in found] == list(written.items())


def test_a_series_is_written_alike_whichever_of_its_copies_is_used() -> None:
    encoder = LineEncoder()
    lines = {
        encoder.line(Point(Series(TRADE, ("binance", "BTCUSDC")), 17, (5, 1.0, 1.0, True)))
        for _ in range(10_050)  # more than the cache holds
    }
    assert len(lines) == 1


def test_each_measurement_has_a_line() -> None:
    some = {"float": 1.5, "int": 7, "bool": True, "string": "a"}
    for measurement in MEASUREMENTS.values():
        kind = measurement if measurement.columns else measurement.with_columns(("momentum_rsi",))
        values = [some[column.type] for column in kind.columns]
        text = line(Series(kind, ("1s",) * len(kind.tags)), *values)
        assert set(fields(text)) == {column.name for column in kind.columns}
