"""What Coinbase has issued, as questions with readers of their answers."""

from __future__ import annotations

import pytest

from producers.exchanges.coinbase.audit import CoinbaseAudit
from producers.exchanges.rest_port import Issued
from tests.builders import NOW_MS
from tests.unit.producers.exchanges.coinbase.host import BTC, Host

AUDIT = CoinbaseAudit()
TICKER = f"http://host/api/v3/brokerage/market/products/{BTC}/ticker"


def at(offset_ms: int) -> dict[str, str]:
    seconds, ms = divmod(NOW_MS + offset_ms, 1_000)
    minute, second = divmod(seconds % 3_600, 60)
    assert NOW_MS == 1_785_767_100_000
    return {"trade_id": "1", "time": f"2026-08-03T14:{minute:02d}:{second:02d}.{ms:03d}Z"}


def test_the_clock_is_said_in_milliseconds() -> None:
    query = AUDIT.clock("http://host")
    assert query.url == AUDIT.reachable("http://host") == "http://host/api/v3/brokerage/time"
    assert query.read({"epochMillis": str(NOW_MS)}) == NOW_MS


def test_one_question_has_the_newest_trade_and_the_best_prices() -> None:
    (query, other) = AUDIT.newest("http://host", (BTC, "XRP-USD"))
    assert query.url == f"{TICKER}?limit=1" and "XRP-USD" in other.url
    body = {"trades": [{"trade_id": "77"}], "best_bid": "10", "best_ask": "11.5"}
    assert query.read(body) == [Issued(BTC, 77, (10.0, 11.5))]
    assert query.read({"trades": [], "best_bid": "", "best_ask": ""}) == [Issued(BTC, -1, None)]


def test_trades_are_counted_as_far_as_the_page_is_whole() -> None:
    query = AUDIT.trade_counts("http://host", BTC, "1s", NOW_MS, NOW_MS + 5_000)
    assert query.url == f"{TICKER}?limit=1000&start={NOW_MS // 1000}&end={NOW_MS // 1000 + 6}"
    rows = [at(offset_ms) for offset_ms in (5_999, 2_100, 700, 200)]
    assert query.read({"trades": rows}) == {NOW_MS: 2, NOW_MS + 2_000: 1, NOW_MS + 5_000: 1}
    # Of a full page the oldest bar may have more.
    full = [at(2_500)] * 500 + [at(700)] * 500
    assert query.read({"trades": full}) == {NOW_MS + 2_000: 500}
    with pytest.raises(ValueError, match="time"):
        query.read({"trades": [{"time": 5}]})


def test_the_simulated_exchange_answers_all_of_them() -> None:
    host = Host()

    def ask(url: str) -> object:
        path, _, query = url.removeprefix("http://host").partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        return host.market.ask(path, **pairs).body

    assert AUDIT.clock("").read(ask(AUDIT.clock("http://host").url)) == host.now_ms
    (query,) = AUDIT.newest("http://host", (BTC,))
    ((_, newest, best),) = query.read(ask(query.url))
    assert newest == host.run(lambda rest: rest.newest_trade_id(BTC)) and best is not None
    first_ms = (host.now_ms // 1_000 - 20) * 1_000
    counts = AUDIT.trade_counts("http://host", BTC, "1s", first_ms, first_ms + 9_000)
    counted = counts.read(ask(counts.url))
    rows = host.run(lambda rest: rest.newest_trades(BTC, 1_000, host.now_ms))
    inside = [row for row in rows if first_ms <= row["trade_time_ms"] < first_ms + 10_000]
    assert sum(counted.values()) == len(inside) > 0
