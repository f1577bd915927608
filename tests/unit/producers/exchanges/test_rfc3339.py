"""RFC 3339 times to nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.rfc3339 import time_ms, time_ns
from shared.errors import InvalidMessage


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-08-03T14:25:03.120331Z", 1785767103_120331000),
        ("2026-08-09T21:05:48.228568804Z", 1786309548_228568804),
        ("2026-08-03T14:25:00.1Z", 1785767100_100000000),
        ("2026-08-03T16:25:03.5+02:00", 1785767103_500000000),
        ("2026-08-03T08:55:03.5-05:30", 1785767103_500000000),
        ("2026-08-03T14:25:03.1203319999Z", 1785767103_120331999),
        ("2016-12-31T23:59:60Z", 1483228799_000000000),
    ],
)
def test_times_are_exact_to_the_nanosecond(text: str, ns: int) -> None:
    assert time_ns("time", text) == ns
    assert time_ms("time", text) == ns // 1_000_000


@given(st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31)), st.integers(0, 999))  # noqa: DTZ001
def test_every_time_is_read_as_it_was_written(moment: datetime, ns: int) -> None:
    text = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}{ns:03}Z"
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert time_ns("time", text) == (since // timedelta(microseconds=1)) * 1000 + ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-08-03",
        "2026-08-03T14:25:03",
        "2026-13-03T14:25:03Z",
        "2026-02-30T14:25:03Z",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "2026-08-03T25:25:03Z",
        "2026-08-03T14:25:03+24:00",
        5,
        None,
        "٢026-08-03T14:25:03Z",
    ],
)
def test_what_is_no_time_is_refused_by_name(text: object) -> None:
    with pytest.raises(InvalidMessage, match=r"^timestamp: .*RFC 3339"):
        time_ns("timestamp", text)
