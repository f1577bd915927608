from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pipelines.snapshots.report import page
from pipelines.snapshots.rows import SnapshotRow
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row

GREEN, YELLOW, RED, GREY = "#2a9d5c", "#e0a426", "#d1495b", "#999"


def at(place: int) -> int:
    return SLOT + place * FIVE_MINUTES


def page_of(
    rows: Sequence[SnapshotRow],
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    slots: int = 8,
    quality: Mapping[str, tuple[int, int]] = {},
    quarantined: Sequence[tuple[str, str, str]] = (),
) -> str:
    return page(rows, symbols, (SLOT, at(slots)), FIVE_MINUTES, quality, quarantined)


def cells(text: str, first: str) -> list[str]:
    """The cells of the table's line that begins with this one."""
    (line,) = re.findall(rf"<tr><td>{re.escape(first)}</td>(.*?)</tr>", text)
    return re.findall(r"<td>(.*?)</td>", line)


def test_every_slot_is_counted_once_and_those_without_a_row_are_not_taken() -> None:
    text = page_of([row(at(0)), row(at(1)), row(at(2), "backfilled"), row(at(3), "missing")])
    assert cells(text, "BTCUSDT") == ["2", "1", "1", "4", "25.00 %"]


def test_a_row_between_two_slots_is_none_of_the_schedule() -> None:
    text = page_of([row(at(0)), row(at(0) + 60_000)])
    assert cells(text, "BTCUSDT") == ["1", "0", "0", "7", "12.50 %"]


def test_the_strip_shows_each_status_where_and_as_long_as_it_was() -> None:
    rows = [row(at(0)), row(at(1)), row(at(3), "backfilled"), row(at(4), "missing")]
    boxes = re.findall(r'<rect x="([\d.]+)" y=0 width="([\d.]+)" height=10 fill="(#\w+)"/>', page_of(rows))
    assert boxes == [
        ("0.00", "160.00", GREEN),
        ("160.00", "80.00", GREY),
        ("240.00", "80.00", YELLOW),
        ("320.00", "80.00", RED),
        ("400.00", "240.00", GREY),
    ]


def test_a_line_is_broken_where_nothing_is_known() -> None:
    rows = [row(at(place), last_price=str(100 + place)) for place in (0, 1, 4, 5)]
    line = re.findall(r'<path d="(M[^"]*)" fill=none', page_of(rows))[0]
    assert line == "M0.0 100.0h0L91.4 84.4M365.7 37.6h0L457.1 22.0"


def test_a_small_spread_is_written_without_an_exponent() -> None:
    text = page_of([row(at(0), spread_percent="0.0000098777"), row(at(1), spread_percent="0.25")])
    assert "spread, %: 0.0000098777 to 0.25<" in text


def test_a_symbol_of_which_nothing_is_known_says_so() -> None:
    text = page_of([row(at(0))], symbols=("BTCUSDT", "ETHUSDT"))
    assert cells(text, "ETHUSDT") == ["0", "0", "0", "8", "0.00 %"]
    assert "price: nothing is known" in text


def test_rules_and_what_was_held_back_are_told_and_cannot_break_the_page() -> None:
    text = page_of(
        [],
        quality={"bid_below_ask": (8, 1)},
        quarantined=[("2026-08-03 14:25", "BTCUSDT", "rule: <script>alert(1)</script>")],
    )
    assert cells(text, "bid_below_ask") == ["8", "1"]
    assert cells(text, "2026-08-03 14:25") == ["BTCUSDT", "rule: &lt;script&gt;alert(1)&lt;/script&gt;"]
    assert "<script>" not in text
    assert "Nothing was quarantined" not in text


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    assert not re.search(r"https?:|src=|@import|url\(", page_of([row(at(0))]))
