from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from api import encode
from api.rows_request import read_rows_request
from consumers.tap.series import live_kinds
from shared.trade_ids import EPOCH_SPAN

KINDS = live_kinds(())


def test_a_value_that_a_point_does_not_have_is_null_and_empty() -> None:
    request = read_rows_request(KINDS["quote"], [("columns", "bid_price,ask_price")])
    values = encode.RowShape(request).values(
        [{"time_ns": 5_000_000, "exchange": "b", "symbol": "A", "ask_price": 1e-7, "x": 1.0}]
    )
    assert values == [[5, "b", "A", None, 1e-7]]
    assert json.loads(encode.json_head(request) + encode.json_rows(values) + encode.json_end(None)) == {
        "columns": ["time_ms", "exchange", "symbol", "bid_price", "ask_price"],
        "types": ["int", "string", "string", "float", "float"],
        "rows": [[5, "b", "A", None, 1e-7]],
        "next": None,
    }
    assert encode.csv_head(request) + encode.csv_rows(values) == (
        b"time_ms,exchange,symbol,bid_price,ask_price\n5,b,A,,0.0000001\n"
    )


def test_a_trades_id_is_the_exchanges_whatever_its_numbering() -> None:
    request = read_rows_request(KINDS["trade"], [("exchange", "b"), ("symbol", "A"), ("columns", "trade_id")])
    rows = encode.RowShape(request).values([{"time_ns": 0, "trade_id": 2 * EPOCH_SPAN + 7}])
    assert rows == [[0, 7]]


def test_a_stream_says_at_its_end_that_it_is_whole() -> None:
    request = read_rows_request(KINDS["trade"], [("columns", "price")])
    lines = encode.ndjson_head(request) + encode.ndjson_rows([[1, "b", "A", 2.5]]) + encode.ndjson_end("9.1")
    assert [json.loads(line) for line in lines.splitlines()][1:] == [[1, "b", "A", 2.5], {"next": "9.1"}]


NUMBERS = st.lists(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    max_size=4,
)


@given(st.lists(NUMBERS.map(lambda row: [1, *row]), min_size=1, max_size=3))
def test_numbers_are_the_same_beside_texts_and_alone(rows: list[list[float | None]]) -> None:
    beside = encode.csv_rows([[*row, "text"] for row in rows]).decode()
    assert encode.csv_rows(rows).decode() == beside.replace(",text\n", "\n")
