from collections.abc import Callable

import pytest

from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.binance.rest import ENDPOINTS, answer
from simulator.protocols.port import RestAnswer, RestRequest

START_MS = 1_785_767_130_000
MINUTE_OPEN = START_MS - START_MS % 60_000


@pytest.fixture(scope="module")
def exchange() -> WorldExchange:
    return WorldExchange(("BTCUSDC", "XRPUSDC", "这是测试币456"), 7, START_MS, 1.0)


@pytest.fixture
def get(exchange: WorldExchange) -> Callable[..., RestAnswer]:
    def ask(path: str, unit: str | None = None, now_ms: int = START_MS, **query: object) -> RestAnswer:
        pairs = [(name, str(value)) for name, value in query.items()]
        return answer(exchange, RestRequest(path, pairs, unit, now_ms))

    return ask


@pytest.mark.parametrize(
    ("path", "query", "code", "text"),
    [
        ("klines", {"interval": "1m"}, -1102, "Mandatory parameter 'symbol' was not sent"),
        ("klines", {"symbol": "", "interval": "1m"}, -1102, "'symbol'"),
        ("klines", {"symbol": "btcusdc", "interval": "1m"}, -1100, "Illegal characters found in"),
        ("klines", {"symbol": "DOGEXX", "interval": "1m"}, -1121, "Invalid symbol."),
        ("klines", {"symbol": "BTCUSDC"}, -1102, "'interval'"),
        ("klines", {"symbol": "BTCUSDC", "interval": "7m"}, -1120, "Invalid interval."),
        ("klines", {"symbol": "BTCUSDC", "interval": "1m", "limit": "0"}, -1130, "'limit'"),
        ("klines", {"symbol": "BTCUSDC", "interval": "1m", "startTime": "now"}, -1100, "'startTime'"),
        ("klines", {"symbol": "BTCUSDC", "interval": "1m", "timeZone": "+15:00"}, -1130, "'timeZone'"),
        ("depth", {"symbol": "BTCUSDC", "frobnicate": "1"}, -1104,
         "Not all sent parameters were read; read '1' parameter(s) but was sent '2'."),
        ("exchangeInfo", {"symbol": "BTCUSDC", "symbols": '["BTCUSDC"]'}, -1128, "Combination"),
        ("exchangeInfo", {"symbols": '["BTCUSDC","BTCUSDC"]'}, -1151, "multiple times"),
        ("exchangeInfo", {"symbols": "BTCUSDC"}, -1100, "'symbols'"),
        ("exchangeInfo", {"symbolStatus": "ASLEEP"}, -1122, "Invalid symbolStatus."),
        ("ticker/24hr", {"symbol": "BTCUSDC", "type": "HUGE"}, -1139, "Invalid ticker type."),
    ],
)  # fmt: skip
def test_bad_requests_get_binances_codes(
    get: Callable[..., RestAnswer], path: str, query: dict[str, str], code: int, text: str
) -> None:
    refused = get(path, **query)
    assert refused.status == 400
    assert refused.body["code"] == code
    assert text in refused.body["msg"]


def test_an_unknown_time_unit_is_refused(get: Callable[..., RestAnswer]) -> None:
    assert get("time", unit="NANOSECOND").body["code"] == -1194


def test_the_last_kline_is_unfinished_and_rows_have_twelve_columns(get: Callable[..., RestAnswer]) -> None:
    rows = get("klines", symbol="BTCUSDC", interval="1m", limit=3).body
    assert [row[0] for row in rows] == [MINUTE_OPEN - 120_000, MINUTE_OPEN - 60_000, MINUTE_OPEN]
    assert rows[-1][6] > START_MS > rows[-2][6] == MINUTE_OPEN - 1
    assert {len(row) for row in rows} == {12}
    assert all(
        len(text.partition(".")[2]) == 8 for row in rows for text in (*row[1:6], row[7], row[9], row[10])
    )


def test_a_bar_that_closed_never_changes_again(get: Callable[..., RestAnswer]) -> None:
    before = get("klines", symbol="BTCUSDC", interval="1m", startTime=MINUTE_OPEN, limit=1).body
    closed = get(
        "klines", now_ms=MINUTE_OPEN + 60_000, symbol="BTCUSDC", interval="1m", startTime=MINUTE_OPEN, limit=1
    )
    later = get(
        "klines", now_ms=START_MS + 900_000, symbol="BTCUSDC", interval="1m", startTime=MINUTE_OPEN, limit=1
    )
    assert before != closed.body == later.body


def test_microseconds_are_understood_in_and_given_out(get: Callable[..., RestAnswer]) -> None:
    milli = get("klines", symbol="BTCUSDC", interval="1m", startTime=MINUTE_OPEN - 60_000, limit=1).body[0]
    micro = get(
        "klines",
        unit="MICROSECOND",
        symbol="BTCUSDC",
        interval="1m",
        startTime=(MINUTE_OPEN - 60_000) * 1000,
        limit=1,
    ).body[0]
    assert (micro[0], micro[6]) == (milli[0] * 1000, milli[6] * 1000 + 999)
    assert micro[1:6] == milli[1:6]


def test_a_time_zone_moves_the_borders(get: Callable[..., RestAnswer]) -> None:
    (row,) = get("klines", symbol="BTCUSDC", interval="1d", timeZone="8", limit=1).body
    assert row[0] % 86_400_000 == 16 * 3_600_000


def test_limits_beyond_the_maximum_are_cut(get: Callable[..., RestAnswer]) -> None:
    assert len(get("klines", symbol="BTCUSDC", interval="1m", limit=5000).body) == 1000
    assert len(get("trades", symbol="BTCUSDC", limit=5000).body) == 1000
    assert len(get("klines", symbol="BTCUSDC", interval="1m").body) == 500
    assert len(get("depth", symbol="BTCUSDC").body["bids"]) == 100


def test_history_pages_by_id_without_a_hole_up_to_the_newest(get: Callable[..., RestAnswer]) -> None:
    newest = get("trades", symbol="XRPUSDC", limit=1).body[0]["id"]
    page = get("historicalTrades", symbol="XRPUSDC", fromId=newest - 9, limit=1000).body
    assert [trade["id"] for trade in page] == list(range(newest - 9, newest + 1))
    assert get("historicalTrades", symbol="XRPUSDC", fromId=newest + 1).body == []
    for trade in page:
        assert float(trade["quoteQty"]) == pytest.approx(
            float(trade["price"]) * float(trade["qty"]), rel=1e-12
        )


def test_aggregates_are_selected_by_id_or_by_time(get: Callable[..., RestAnswer]) -> None:
    rows = get("aggTrades", symbol="BTCUSDC", startTime=START_MS - 60_000, endTime=START_MS - 30_000).body
    assert rows and all(START_MS - 60_000 <= row["T"] <= START_MS - 30_000 for row in rows)
    assert get("aggTrades", symbol="BTCUSDC", fromId=rows[3]["a"], limit=2).body == rows[3:5]
    newest = get("aggTrades", symbol="BTCUSDC", endTime=START_MS - 30_000, limit=2).body
    assert newest == rows[-2:]


def test_exchange_info_names_status_and_filters(
    get: Callable[..., RestAnswer], exchange: WorldExchange
) -> None:
    exchange.statuses["XRPUSDC"] = "BREAK"
    (entry,) = get("exchangeInfo", symbol="XRPUSDC").body["symbols"]
    del exchange.statuses["XRPUSDC"]
    assert (entry["status"], entry["baseAsset"], entry["quoteAsset"]) == ("BREAK", "XRP", "USDC")
    assert {f["filterType"]: f for f in entry["filters"]}["PRICE_FILTER"]["tickSize"] == "0.00010000"
    assert len(get("exchangeInfo").body["symbols"]) == 3
    assert get("exchangeInfo", symbol="这是测试币456").status == 200


def test_the_day_ticker_agrees_with_itself(get: Callable[..., RestAnswer]) -> None:
    body = get("ticker/24hr", symbol="XRPUSDC").body
    assert body["count"] == body["lastId"] - body["firstId"] + 1
    assert body["closeTime"] - body["openTime"] == 86_400_000
    assert float(body["weightedAvgPrice"]) == pytest.approx(
        float(body["quoteVolume"]) / float(body["volume"])
    )
    assert body["lastPrice"] == get("ticker/price", symbol="XRPUSDC").body["price"]
    assert len(get("ticker/24hr", type="MINI").body) == 3


def test_the_average_price_is_that_of_the_last_five_minutes(get: Callable[..., RestAnswer]) -> None:
    body = get("avgPrice", symbol="BTCUSDC").body
    trades = [
        (float(t["price"]), float(t["qty"]))
        for from_id in [
            get("aggTrades", symbol="BTCUSDC", startTime=START_MS - 300_000 + 1, limit=1).body[0]["f"]
        ]
        for offset in range(0, 4000, 1000)
        for t in get("historicalTrades", symbol="BTCUSDC", fromId=from_id + offset, limit=1000).body
    ]
    expected = sum(p * q for p, q in trades) / sum(q for _, q in trades)
    assert body["mins"] == 5
    assert float(body["price"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("depth", {}, 5), ("depth", {"limit": "500"}, 25), ("depth", {"limit": "1000"}, 50),
        ("depth", {"limit": "5000"}, 250), ("klines", {}, 2), ("trades", {}, 25),
        ("historicalTrades", {}, 25),
        ("aggTrades", {}, 4), ("exchangeInfo", {}, 20), ("time", {}, 1), ("ping", {}, 1),
        ("ticker/price", {"symbol": "X"}, 2), ("ticker/price", {}, 4), ("ticker/24hr", {}, 80),
        ("ticker/24hr", {"symbols": "[" + ",".join(["X"] * 21) + "]"}, 40),
    ],
)  # fmt: skip
def test_weights_are_todays(path: str, query: dict[str, str], weight: int) -> None:
    assert ENDPOINTS[path].weight(query) == weight
