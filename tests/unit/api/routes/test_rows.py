"""`GET /rows/…` on a store in memory."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from api.history import CHUNK_ROWS, History
from consumers.measurements import MEASUREMENTS, TRADE
from consumers.stores.port import Row
from consumers.tap.series import live_kinds
from shared.errors import StoreMisconfigured, StoreUnavailable
from tests.unit.api.api_parts import T0_MS, FakeReader, bars, client, counted

ROWS = "/api/v1/rows/kline"
ONE = "?exchange=binance&symbol=BTCUSDC&interval=1m"


def test_rows_come_by_columns() -> None:
    answer = client({"kline": bars(3)}).get(f"{ROWS}{ONE}&columns=close,trade_count&last=2")
    assert answer.status_code == 200
    assert answer.json() == {
        "columns": ["time_ms", "close", "trade_count"],
        "types": ["int", "float", "int"],
        "rows": [[T0_MS + 60_000, 2.5, 1], [T0_MS + 120_000, 2.5, 2]],
        "next": None,
    }


def test_the_same_rows_come_as_json_ndjson_and_csv() -> None:
    count = CHUNK_ROWS + 5
    api = client({"kline": bars(count)})
    path = f"{ROWS}{ONE}&from={T0_MS}&columns=close,trade_count"
    rows = api.get(path).json()["rows"]
    assert [row[2] for row in rows] == list(range(count))
    lines = api.get(path, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    head, *middle, end = [json.loads(line) for line in lines.text.splitlines()]
    assert (head["columns"], middle, end) == (["time_ms", "close", "trade_count"], rows, {"next": None})
    text = api.get(path, headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    table = list(csv.reader(io.StringIO(text.text)))
    assert table[0] == ["time_ms", "close", "trade_count"]
    assert table[1:] == [[str(value) for value in row] for row in rows]


@pytest.mark.thorough
def test_a_long_span_is_pages_and_a_stream_has_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 120_000
    api = client({"kline": bars(count)})
    path = f"{ROWS}{ONE}&columns=trade_count"
    found: list[int] = []
    following: str | None = f"from={T0_MS}"
    while following is not None:
        page = api.get(f"{path}&{following}").json()
        assert len(page["rows"]) <= 50_000
        found += [row[1] for row in page["rows"]]
        following = page["next"] and f"cursor={page['next']}"
    assert found == list(range(count))
    lines = api.get(f"{path}&from={T0_MS}", headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert (len(lines), lines[-1]) == (count + 2, '{"next":null}')


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_can_be_asked_for(name: str) -> None:
    answer = client().get(f"/api/v1/rows/{name}")
    assert answer.json()["rows"] == []
    assert answer.json()["columns"][: 1 + len(MEASUREMENTS[name].tags)] == [
        "time_ms",
        *MEASUREMENTS[name].tags,
    ]


def test_what_is_not_stored_or_not_known_is_404_with_a_choice() -> None:
    for name, why in (("levels", "is not stored; follow it on /api/v1/stream"), ("candle", "is not known")):
        answer = client().get(f"/api/v1/rows/{name}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert why in answer.json()["detail"] and "choose from kline, indicator" in answer.json()["detail"]


def test_a_span_that_the_ledger_has_counted_is_kept_for_ever() -> None:
    api = client({"kline": bars(3), "ledger": counted(5)})
    path = f"{ROWS}{ONE}&from={T0_MS}&to={T0_MS + 180_000}"
    answer = api.get(path)
    assert "immutable" in answer.headers["cache-control"]
    again = api.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize(
    ("ledger", "span"),
    [
        (counted(3), 3),  # it has not gone on beyond the span
        (counted(5, lost={1: 1}), 3),  # something may still be filled in
        (counted(1) + counted(4)[2:], 3),  # a minute was not counted
        (counted(9, symbol="ETHUSDC"), 3),
        (counted(9, stream="trades", interval=""), 3),
        ([], 3),
    ],
)
def test_a_span_that_may_still_change_is_asked_for_again(ledger: list[Any], span: int) -> None:
    api = client({"kline": bars(3), "ledger": ledger})
    answer = api.get(f"{ROWS}{ONE}&from={T0_MS}&to={T0_MS + span * 60_000}")
    assert answer.headers["cache-control"] == "private, no-cache"
    again = api.get(str(answer.url), headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_newest_rows_are_never_kept() -> None:
    api = client({"kline": bars(3), "ledger": counted(5)})
    assert api.get(f"{ROWS}{ONE}&last=3").headers["cache-control"] == "private, no-cache"


def test_head_is_get_without_a_body() -> None:
    api = client({"kline": bars(3)})
    answer = api.head(f"{ROWS}{ONE}")
    assert answer.status_code == 200
    assert answer.headers["etag"] == api.get(f"{ROWS}{ONE}").headers["etag"]


def test_another_method_is_405_with_those_that_are_allowed() -> None:
    answer = client().post(ROWS, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["detail"] == "this is read only; use GET"


@pytest.mark.parametrize(
    ("failure", "retry"),
    [
        (StoreUnavailable("INFLUX_URL: no answer", retry_after=7.2), "8"),
        (StoreUnavailable("INFLUX_URL: no answer"), "2"),
        (StoreMisconfigured("SQLITE_PATH: x does not exist"), "30"),
    ],
)
def test_a_store_that_is_away_is_503_with_the_time_to_ask_again(failure: Any, retry: str) -> None:
    answer = client(failure=failure).get(ROWS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, retry)
    assert answer.json()["detail"] == f"history is away: {failure}"


def test_more_requests_than_places_are_sent_away() -> None:
    history = History(lambda: FakeReader({}), requests=0)
    answer = client(history=history).get(ROWS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "0 requests are reading the history already" in answer.json()["detail"]


def test_a_fault_of_ours_is_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("inside")

    answer = client(history=History(broken)).get(ROWS)
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.name.startswith("api")] == [
        "/api/v1/rows/kline: ZeroDivisionError: inside"
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_exact_rows_need_a_broker() -> None:
    answer = client().get(f"{ROWS}{ONE}&exact=1")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "exact: there is no broker to read from; leave it out",
    )


def test_a_measurement_that_is_added_to_the_table_is_served_and_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without another line: by a route, by its parameters, by a schema of its rows."""
    added = TRADE.__class__("funding", ("exchange", "symbol"), TRADE.columns[1:2], "exact")
    monkeypatch.setitem(MEASUREMENTS, "funding", added)
    row: Row = {"time_ns": T0_MS * 10**6, "exchange": "binance", "symbol": "BTCUSDC", "price": 1.5}
    api = client({"funding": [row]}, kinds=live_kinds(()))
    assert api.get("/api/v1/rows/funding?symbol=btcusdc").json()["rows"] == [[T0_MS, "binance", 1.5]]
    schema = api.get("/api/v1/openapi.json").json()
    names = [each["name"] for each in schema["paths"]["/api/v1/rows/funding"]["get"]["parameters"]]
    assert names[:2] == ["exchange", "symbol"]
    assert schema["components"]["schemas"]["FundingRow"]["x-columns"] == [{"name": "price", "type": "float"}]
    assert "funding" in schema["components"]["schemas"]["SeriesName"]["enum"]
