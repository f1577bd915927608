from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import Cursor, cursor_at, parse_cursor, why_not_from
from consumers.tap.port import Source
from shared.intervals import INTERVAL_MS
from shared.topics import BOOK, LEDGER, METRICS, QUOTES, TRADES, klines_topic

SOURCE = Source(klines_topic("1m"), 3, "ab12cd")


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        (klines_topic("1m"), "k1m3:9071@ab12cd"),
        (TRADES, "t3:9071@ab12cd"),
        (BOOK, "b3:9071@ab12cd"),
        (QUOTES, "q3:9071@ab12cd"),
        (LEDGER, "l3:9071@ab12cd"),
    ],
)
def test_a_cursor_names_topic_partition_offset_and_epoch(topic: str, text: str) -> None:
    assert str(cursor_at(Source(topic, 3, "ab12cd"), 9071)) == text


def test_other_topics_have_no_cursors() -> None:
    assert cursor_at(Source(METRICS, 0, "ab12cd"), 1) is None


@given(st.sampled_from(sorted(INTERVAL_MS)), st.integers(0, 999), st.integers(0, 10**18 - 1))
def test_a_cursor_is_read_as_it_was_written(interval: str, partition: int, offset: int) -> None:
    source = Source(klines_topic(interval), partition, "00ffee")
    cursor = cursor_at(source, offset)
    assert cursor is not None
    assert parse_cursor(str(cursor)) == cursor
    assert why_not_from(cursor, source) is None


@pytest.mark.parametrize(
    "text",
    ["", "k", "k1m3", "k1m3:@ab12cd", "k1m3:-1@ab12cd", "k1m3:01@ab12cd", "k1m3:9@AB12CD", "k1m3:9@ab12c",
     "x1m3:9@ab12cd", "k1m3:9@ab12cd ", "k1m3:9@ab12cd\n", "k1m3:٣@ab12cd", "k1m3:" + "9" * 19 + "@ab12cd"],
)  # fmt: skip
def test_what_is_no_cursor_is_seen(text: str) -> None:
    assert parse_cursor(text) is None
    assert why_not_from(parse_cursor(text), SOURCE) == "the cursor cannot be read"


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_none(text: str) -> None:
    cursor = parse_cursor(text)
    assert cursor is None or str(cursor) == text


@pytest.mark.parametrize(
    ("cursor", "source", "said"),
    [
        (Cursor("k1m2", 5, "ab12cd"), SOURCE, "of another place, k1m2; this series is at k1m3"),
        (Cursor("k5m3", 5, "ab12cd"), SOURCE, "of another place"),
        (Cursor("k1m3", 5, "ab12ce"), SOURCE, "made anew"),
        (Cursor("k1m3", 5, "ab12cd"), None, "has no cursors"),
    ],
)
def test_a_cursor_of_another_place_is_told(cursor: Cursor, source: Source | None, said: str) -> None:
    assert said in (why_not_from(cursor, source) or "")
