"""Laws of pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.paging import Page
from api.rows_request import RowsRequest, read_rows_request
from consumers.stores.port import Row
from consumers.tap.series import live_kinds

TRADE = live_kinds(())["trade"]


def read_page(stored: list[Row], request: RowsRequest, most: int, chunk: int) -> tuple[list[Row], str | None]:
    page, found = Page(request, most), list[Row]()
    rows = [row for row in stored if request.from_ns is None or int(row["time_ns"] or 0) >= request.from_ns]
    for at in range(0, len(rows), chunk):
        found += page.take(rows[at : at + chunk])
        if page.next is not None:
            break
    return found, page.next


@given(steps=st.lists(st.integers(0, 2), max_size=60), most=st.integers(1, 9), chunk=st.integers(1, 7))
def test_pages_of_any_size_have_every_row_once_and_in_order(steps: list[int], most: int, chunk: int) -> None:
    """Also where many rows have the same time, and whichever way the store gives them in chunks."""
    time_ns, stored = 10, list[Row]()
    for number, step in enumerate(steps):
        time_ns += step
        stored.append({"time_ns": time_ns, "trade_id": number})
    request = read_rows_request(TRADE, [("from", "1970-01-01")])
    found, pages = list[Row](), 0
    while True:
        rows, following = read_page(stored, request, most, chunk)
        assert len(rows) <= most
        found += rows
        pages += 1
        if following is None:
            break
        request = read_rows_request(TRADE, [("cursor", following)])
    assert found == stored
    assert pages == max(1, -(-len(stored) // most))
