"""Repair of trades over REST: where they come from, and what aggTrades prove."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from producers.exchanges.binance.rest import BinanceRest
from shared.errors import ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from tests.builders import NOW_MS

TRADE = {"price": "1.0", "qty": "1.0", "time": NOW_MS, "isBuyerMaker": False}
# What a host answers that will not give historicalTrades to us.
REFUSALS = {
    "401": (401, b'{"code":-2014,"msg":"API-key format invalid."}'),
    "400 -2015": (400, b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'),
    "403 by its firewall": (403, b"<html>Request blocked</html>"),
    "403 by itself": (403, b'{"code":-2015,"msg":"no"}'),
    "404": (404, b""),
}


class Host:
    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {"trades": (200, _rows(range(500, 1_500)))}
        self.asked: list[str] = []
        self.now_ms = NOW_MS
        self.bounds_ms: Callable[[int], tuple[int, int]] = lambda said_ms: (said_ms, said_ms)

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        return self.answers.get(path, (404, b""))

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[BinanceRest]:
        """A client whose history has a host of its own, as with the market-data-only one."""

        async def answered(request: web.Request) -> web.Response:
            path = request.match_info["path"]
            self.asked.append(path)
            status, body = self.answer(path, request.query)
            return web.Response(status=status, body=body, content_type="application/json")

        application = web.Application()
        application.router.add_get("/api/v3/{path:.+}", answered)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        rejected: list[Any] = []
        rest = BinanceRest(
            f"http://127.0.0.1:{port}",
            f"http://localhost:{port}",
            lambda: self.now_ms,
            lambda *letter: rejected.append(letter),
        )
        rest.bounds_ms = self.bounds_ms
        try:
            yield rest
        finally:
            await rest.close()
            await runner.cleanup()


def _rows(ids: Any) -> bytes:
    return orjson.dumps([{"id": trade_id, **TRADE} for trade_id in ids])


def run(host: Host, work: Callable[[BinanceRest], Any]) -> Any:
    async def carried() -> Any:
        async with host.rest() as rest:
            return await work(rest)

    return asyncio.run(carried())


def test_history_gives_any_trade() -> None:
    host = Host()
    host.answers["historicalTrades"] = (200, _rows(range(7, 10)))
    rows, oldest = run(host, lambda rest: rest.trades("BTCUSDC", 7, 9, NOW_MS))
    assert ([row["trade_id"] for row in rows], oldest) == ([7, 8, 9], 0)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_where_history_is_refused_the_newest_trades_are_taken_first_and_it_is_tried_again_later(
    refusal: tuple[int, bytes],
) -> None:
    host = Host()
    host.answers["historicalTrades"] = refusal

    async def work(rest: BinanceRest) -> None:
        for _ in range(2):
            rows, oldest = await rest.trades("BTCUSDC", 600, 609, NOW_MS)
            assert (len(rows), oldest) == (1_000, 500)
        host.now_ms += 600_000
        host.answers["historicalTrades"] = (200, _rows([7]))
        rows, oldest = await rest.trades("BTCUSDC", 7, 7, NOW_MS)
        assert ([row["trade_id"] for row in rows], oldest) == ([7], 0)

    run(host, work)
    assert host.asked == ["historicalTrades", "trades", "trades", "historicalTrades"]


def test_what_the_newest_trades_do_not_reach_is_asked_of_history_though_it_was_refused() -> None:
    host = Host()

    async def work(rest: BinanceRest) -> None:
        host.answers["historicalTrades"] = REFUSALS["404"]
        _, oldest = await rest.trades("BTCUSDC", 7, 9, NOW_MS)
        assert oldest == 500
        host.answers["historicalTrades"] = (200, _rows(range(7, 10)))
        rows, oldest = await rest.trades("BTCUSDC", 7, 9, NOW_MS)
        assert ([row["trade_id"] for row in rows], oldest) == ([7, 8, 9], 0)

    run(host, work)
    assert host.asked == ["historicalTrades", "trades", "trades", "historicalTrades"]


def test_a_firewall_of_the_history_host_is_not_asked_again_while_it_blocks() -> None:
    host = Host()
    host.answers["historicalTrades"] = REFUSALS["403 by its firewall"]

    async def work(rest: BinanceRest) -> None:
        for _ in range(2):
            _, oldest = await rest.trades("BTCUSDC", 7, 9, NOW_MS)
            assert oldest == 500

    run(host, work)
    assert host.asked == ["historicalTrades", "trades", "trades"]


def test_too_many_requests_are_no_refusal_and_no_host_is_asked_until_it_is_over() -> None:
    host = Host()
    host.answers["historicalTrades"] = (429, b'{"code":-1003,"msg":"Too many requests"}')

    async def work(rest: BinanceRest) -> None:
        for _ in range(2):
            with pytest.raises(ExchangeUnavailable):
                await rest.trades("BTCUSDC", 7, 9, NOW_MS)
        with pytest.raises(ExchangeUnavailable):
            await rest.time_ms()

    run(host, work)
    assert host.asked == ["historicalTrades"]


def test_neighbouring_aggregates_that_do_not_join_prove_that_nothing_was_issued_between() -> None:
    host = Host()
    ids = [(1, 100, 102), (2, 106, 110), (3, -1, -1), (4, 120, 121), (5, 122, 122)]
    host.answers["aggTrades"] = (200, orjson.dumps([{"a": a, "f": f, "l": last} for a, f, last in ids]))
    issued, never = run(host, lambda rest: rest.issued_trades("BTCUSDC", NOW_MS, NOW_MS + 1))
    assert issued == [(100, 102), (106, 110), (120, 121), (122, 122)]
    # Between 110 and 120 lies an aggregate of which nothing is known.
    assert never == [(103, 105)]


def test_the_first_trade_is_the_first_of_the_first_aggregate() -> None:
    host = Host()
    ids = [(3, -1, -1), (4, 120, 121), (5, 122, 122)]
    host.answers["aggTrades"] = (200, orjson.dumps([{"a": a, "f": f, "l": last} for a, f, last in ids]))
    assert run(host, lambda rest: rest.first_trade("BTCUSDC", NOW_MS, NOW_MS + 1)) == 120
    host.answers["aggTrades"] = (200, b"[]")
    assert run(host, lambda rest: rest.first_trade("BTCUSDC", NOW_MS, NOW_MS + 1)) is None


def test_rows_of_junk_are_no_answer_that_there_is_nothing() -> None:
    host = Host()
    host.answers["historicalTrades"] = (200, b'[["x",null],{"id":"one"},7]')

    async def work(rest: BinanceRest) -> None:
        with pytest.raises(ExchangeUnreadable, match="none of 3 rows"):
            await rest.trades("BTCUSDC", 7, 9, NOW_MS)

    run(host, work)


def test_trades_of_the_future_are_put_aside_by_the_exchanges_own_clock() -> None:
    host = Host()
    late, lie = NOW_MS + 60_000, NOW_MS + 100 * 3_600_000
    rows = [{"id": 7, **TRADE}, {"id": 8, **TRADE, "time": late}, {"id": 9, **TRADE, "time": lie}]
    host.answers["historicalTrades"] = (200, orjson.dumps(rows))
    host.answers["time"] = (200, orjson.dumps({"serverTime": late}))
    found, _ = run(host, lambda rest: rest.trades("BTCUSDC", 7, 9, NOW_MS))
    # Ours was a minute behind, as it is with a simulated exchange that is faster than time.
    assert [row["trade_id"] for row in found] == [7, 8]
    assert host.asked == ["historicalTrades", "time"]


def test_the_newest_trade_is_the_newest_by_time() -> None:
    host = Host()
    rows = [{"id": 5_019, **TRADE}, {"id": 1, **TRADE, "time": NOW_MS + 1}]
    host.answers["trades"] = (200, orjson.dumps(rows))
    newest = run(host, lambda rest: rest.newest_trade("BTCUSDC", NOW_MS))
    assert newest["trade_id"] == 1
    host.answers["trades"] = (200, b"[]")
    assert run(host, lambda rest: rest.newest_trade("BTCUSDC", NOW_MS)) is None


def test_where_its_clock_is_refused_the_date_of_the_refusal_tells_the_time() -> None:
    host = Host()
    host.answers["time"] = (451, b"")
    host.answers["klines"] = (200, b"[]")
    before_s = int(time.time())
    told_ms = run(host, lambda rest: rest.time_ms())
    assert before_s * 1000 <= told_ms <= time.time() * 1000
    assert run(host, lambda rest: rest.klines("BTCUSDC", "1m", 0, 0, NOW_MS)) == []


def test_a_clock_that_is_refused_for_a_symbol_is_no_unknown_symbol() -> None:
    host = Host()
    host.answers["time"] = (400, b'{"code":-1121,"msg":"Invalid symbol."}')
    before_s = int(time.time())
    told_ms = run(host, lambda rest: rest.time_ms())  # of the Date
    assert before_s * 1000 <= told_ms <= time.time() * 1000


def test_nothing_that_was_answered_is_later_than_what_the_exchange_says_then() -> None:
    host = Host()
    late = NOW_MS + 600_000
    host.answers["time"] = (200, orjson.dumps({"serverTime": late}))
    assert late <= run(host, lambda rest: rest.latest_ms()) <= late + 2_000
    host.bounds_ms = lambda said_ms: (said_ms, said_ms + 3_600_000)  # it contradicts itself
    assert run(host, lambda rest: rest.latest_ms()) >= late + 3_600_000


def test_nor_where_its_clock_is_told_to_the_second_only() -> None:
    host = Host()
    host.answers["time"] = (451, b"")
    assert run(host, lambda rest: rest.latest_ms()) >= time.time() * 1000


def test_where_its_clock_cannot_be_asked_ours_has_to_do() -> None:
    host = Host()
    host.answers["time"] = (429, b"")  # to be asked again later
    assert NOW_MS <= run(host, lambda rest: rest.latest_ms()) <= NOW_MS + 2_000


def test_the_newest_trade_id_is_had_for_the_weight_of_a_ticker() -> None:
    host = Host()
    host.answers["ticker/24hr"] = (200, b'{"symbol":"BTCUSDC","firstId":7,"lastId":1499,"count":3}')
    assert run(host, lambda rest: rest.newest_trade_id("BTCUSDC")) == 1_499
    host.answers["ticker/24hr"] = (200, b'{"symbol":"BTCUSDC","firstId":-1,"lastId":-1,"count":0}')
    assert run(host, lambda rest: rest.newest_trade_id("BTCUSDC")) is None
    assert set(host.asked) == {"ticker/24hr"}


def test_an_exchange_without_tickers_is_asked_for_the_newest_trade_itself() -> None:
    assert run(Host(), lambda rest: rest.newest_trade_id("BTCUSDC")) == 1_499


def test_a_ticker_without_an_id_tells_no_trade() -> None:
    host = Host()
    host.answers["ticker/24hr"] = (200, b'{"symbol":"BTCUSDC","lastId":null}')
    with pytest.raises(ExchangeUnreadable, match="lastId is 'None'"):
        run(host, lambda rest: rest.newest_trade_id("BTCUSDC"))


def test_the_newest_trade_ids_of_many_symbols_are_had_for_the_weight_of_one_ticker() -> None:
    host = Host()
    rows = [{"symbol": "BTCUSDC", "lastId": 1_499}, {"symbol": "NEWUSDC", "lastId": -1}]
    host.answers["ticker/24hr"] = (200, orjson.dumps(rows))
    assert run(host, lambda rest: rest.newest_trade_ids(["BTCUSDC", "NEWUSDC"])) == {"BTCUSDC": 1_499}
    host.answers["ticker/24hr"] = (200, b'[{"symbol":"BTCUSDC","lastId":null}]')
    with pytest.raises(ExchangeUnreadable):
        run(host, lambda rest: rest.newest_trade_ids(["BTCUSDC"]))


def _bar_row(open_ms: int) -> list[Any]:
    return [open_ms, "1.0", "2.0", "1.0", "2.0", "5.0", open_ms + 59_999, "7.0", 3, "1.0", "1.5", "0"]


@pytest.mark.parametrize(
    ("bounds", "finished"),
    [((120_000, 120_000), [0, 60_000]), ((30_000, 120_000), [0]), ((-3_600_000, 120_000), [0])],
)
def test_a_bar_that_only_a_contradicted_clock_calls_finished_is_not(
    bounds: tuple[int, int], finished: list[int]
) -> None:
    host = Host()
    host.answers["time"] = (200, b'{"serverTime": %d}' % (NOW_MS + 120_000))
    host.answers["klines"] = (200, orjson.dumps([_bar_row(NOW_MS), _bar_row(NOW_MS + 60_000)]))
    # By one clock the first bar has not ended yet; a later one proves that it has.
    host.bounds_ms = lambda _: (NOW_MS + bounds[0], NOW_MS + bounds[1])
    bars = run(host, lambda rest: rest.klines("BTCUSDC", "1m", 0, 0, NOW_MS))
    assert [bar["open_time_ms"] - NOW_MS for bar in bars] == finished


class Listing(Host):
    """An exchange that lists some symbols, and has many more of which nothing is asked."""

    def __init__(self, *known: str) -> None:
        super().__init__()
        self.known = set(known)
        self.all_of_it = 0

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        if path != "exchangeInfo":
            return super().answer(path, query)
        if "symbols" not in query:
            self.all_of_it += 1
            return 200, orjson.dumps({"symbols": []})
        asked = orjson.loads(query["symbols"])
        if not set(asked) <= self.known:
            return 400, b'{"code":-1121,"msg":"Invalid symbol."}'
        return 200, orjson.dumps({"symbols": [{"symbol": name, "status": "TRADING"} for name in asked]})


def test_a_delisted_symbol_is_found_without_asking_for_all_that_there_are() -> None:
    host = Listing("BTCUSDC", "ETHUSDC", "SOLUSDC")

    async def work(rest: BinanceRest) -> None:
        for _ in range(3):
            found = await rest.listed_statuses(["BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC"])
            assert found.keys() == host.known
        host.known.add("XRPUSDC")
        assert len(await rest.listed_statuses(["BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC"])) == 4

    run(host, work)
    assert host.all_of_it == 0
    assert host.asked.count("exchangeInfo") == 5 + 2 + 2 + 2  # once known, the unlisted one is asked apart


def test_a_misspelt_symbol_is_told_with_those_that_are_spelled_alike() -> None:
    host = Listing("BTCUSDC")
    host.answers["ticker/price"] = (
        200,
        b'[{"symbol":"BTCUSDC","price":"1"},{"symbol":"BTCUSDT","price":"1"}]',
    )
    with pytest.raises(UnknownSymbol, match=r"BTCUSCD.*did you mean BTCUSDT, BTCUSDC"):
        run(host, lambda rest: rest.statuses(["BTCUSDC", "BTCUSCD"]))
    host.answers["ticker/price"] = (404, b"")
    with pytest.raises(UnknownSymbol, match=r"BTCUSCD.*see its exchangeInfo"):
        run(host, lambda rest: rest.statuses(["BTCUSDC", "BTCUSCD"]))
