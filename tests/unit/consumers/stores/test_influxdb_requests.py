"""Requests of bounded size, and the split of points into shares that may be sent at once."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from consumers.measurements import INDICATOR, KLINE, TRADE, Point, Series
from consumers.stores.influxdb_requests import (
    MAX_BYTES,
    MAX_LINES,
    PIECE,
    Filling,
    Request,
    in_turn,
    request_of,
    runs,
    shares,
)
from consumers.stores.line_protocol import LineEncoder
from tests.store_contract import BASE_NS, trade


def lengths(*of: int) -> list[list[int]]:
    """The lengths of lines, request by request."""
    filling = Filling("ticks", lambda body: body)
    points = [trade("A", number) for number in range(len(of))]
    entered = [filling.add(point, b"x" * length) for point, length in zip(points, of, strict=True)]
    found = [request for request in (*entered, filling.take()) if request is not None]
    assert filling.take() is None
    assert [point for request in found for point in request.points] == points, "all of them, in their order"
    return [[len(line) for line in request.body.split(b"\n")] for request in found]


def test_a_request_is_full_at_its_last_byte_with_one_for_each_end_of_a_line() -> None:
    third = MAX_BYTES // 4 - 1
    assert lengths(third, third, third, third) == [[third] * 4]
    assert lengths(third, third, third, third + 1) == [[third] * 3, [third + 1]]
    assert lengths(third + 1, third, third, third, third) == [[third + 1, third, third], [third, third]]
    # What fills one request does not count in the next.
    assert lengths(*[third] * 9) == [[third] * 4, [third] * 4, [third]]


def test_a_line_beyond_the_bound_is_a_request_of_its_own() -> None:
    assert lengths(MAX_BYTES + 1, 1, 1) == [[MAX_BYTES + 1], [1, 1]]
    assert lengths(1, MAX_BYTES + 1, 1) == [[1], [MAX_BYTES + 1], [1]]
    assert lengths() == []


def test_a_request_is_full_at_its_last_line() -> None:
    assert [len(batch) for batch in lengths(*[1] * MAX_LINES)] == [MAX_LINES]
    assert [len(batch) for batch in lengths(*[1] * (2 * MAX_LINES + 1))] == [MAX_LINES, MAX_LINES, 1]


def test_a_request_of_points_is_what_filling_one_makes() -> None:
    points = [trade("A", number) for number in range(3)]
    filling, encoder = Filling("ticks", lambda body: b"<" + body), LineEncoder()
    for point in points:
        filling.add(point, encoder.line(point))
    assert filling.take() == request_of("ticks", points, encoder, lambda body: b"<" + body)


@given(st.lists(st.lists(st.sampled_from([1, 2, MAX_BYTES // 4, MAX_BYTES + 1]), max_size=4), max_size=6))
def test_many_lines_at_once_fill_the_requests_that_they_fill_one_by_one(lengths: list[list[int]]) -> None:
    at_once, by_one = Filling("ticks", lambda body: body), Filling("ticks", lambda body: body)
    made: list[Request | None] = []
    same: list[Request | None] = []
    for number, of in enumerate(lengths):
        points = [trade("A", 10 * number + each) for each in range(len(of))]
        lines = [b"x" * length for length in of]
        made += at_once.add_all(points, lines)
        same += [by_one.add(point, line) for point, line in zip(points, lines, strict=True)]
    assert [*made, at_once.take()] == [request for request in same if request is not None] + [by_one.take()]


def test_runs_are_of_one_series_and_of_bounded_length() -> None:
    one, other = (Point(Series(TRADE, ("binance", symbol)), 1, (1, 1.0, 1.0, True)) for symbol in "AB")
    points = [*[one] * (2 * PIECE + 1), other, one]
    assert [len(run) for run in runs(points)] == [PIECE, PIECE, 1, 1, 1]
    assert [point for run in runs(points) for point in run] == points
    assert list(runs([])) == []


SERIES = [Series(TRADE, ("binance", symbol)) for symbol in "ABCDE"]


@given(st.lists(st.tuples(st.sampled_from(SERIES), st.integers(0, 3))))
def test_shares_keep_each_series_together_and_in_its_order(drawn: list[tuple[Series, int]]) -> None:
    points = [
        Point(series, time_ns, (number, 1.0, 1.0, True)) for number, (series, time_ns) in enumerate(drawn)
    ]
    split = shares(points, 2)
    assert sorted(point.values[0] for share in split for point in share) == list(range(len(points)))  # type: ignore[type-var]
    for share in split:
        in_it = dict.fromkeys(point.series for point in share)
        assert share == [point for series in in_it for point in points if point.series == series]


def test_shares_go_by_name_and_tags_not_by_columns_or_object() -> None:
    """A series may be declared anew with other columns, after a change of settings."""
    tags = ("binance", "A", "1m")
    declared = [
        INDICATOR.with_columns(("momentum_rsi",)),
        INDICATOR.with_columns(("momentum_rsi", "trend_kst")),
    ]
    same = [Point(Series(each, tags), BASE_NS, ()) for each in (*declared, *declared)]
    assert sorted(map(len, shares(same, 2))) == [0, 4]


def test_shares_are_even_by_columns() -> None:
    """As bars come: a narrow point, then a wide one, of each symbol."""
    wide = INDICATOR.with_columns(tuple(f"c{number}" for number in range(86)))
    points = [
        Point(Series(measurement, ("binance", symbol, "1m")), BASE_NS, ())
        for symbol in "ABCDEFGH"
        for measurement in (KLINE, wide)
    ]
    columns = [sum(len(point.series.measurement.columns) for point in share) for share in shares(points, 2)]
    assert max(columns) - min(columns) <= 86


def test_shares_take_turns_until_each_is_done() -> None:
    taken: list[str] = []

    def requests(name: str, count: int) -> Iterator[Request]:
        for number in range(count):
            taken.append(f"{name}{number}")
            yield Request("market", [], f"{name}{number}".encode())

    order = [
        (number, request.body.decode()) for number, request in in_turn([requests("a", 3), requests("b", 1)])
    ]
    assert order == [(0, "a0"), (1, "b0"), (0, "a1"), (0, "a2")]
    assert taken == [body for _, body in order], "each is made when it is its turn, not before"
