"""Kraken and Coinbase over real sockets: liveness, deadlines, faults that need a connection, the log."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator.faults.script import parse_script
from simulator.protocols.coinbase.session import CoinbaseSession
from simulator.protocols.registry import EXCHANGES
from simulator.server.app import Simulator, SimulatorOptions
from tests.unit.simulator.protocols import coinbase_client, kraken_client
from tests.unit.simulator.protocols.coinbase_client import CoinbaseBook
from tests.unit.simulator.protocols.kraken_client import KrakenBook

START_MS = 1_785_767_098_000
DEADLINE = 15
KRAKEN, COINBASE = ("BTC/USD", "XRP/USD"), ("BTC-USD", "XRP-USD")
SOCKETS = {"kraken": "/v2", "coinbase": "/"}


@asynccontextmanager
async def running(
    exchange: str, *faults: str, **options: Any
) -> AsyncIterator[tuple[Simulator, aiohttp.ClientSession]]:
    spoken = EXCHANGES[exchange]
    world = spoken.world(KRAKEN if exchange == "kraken" else COINBASE, 7, START_MS, 3.0)
    script = parse_script(None, faults, spoken.dialect.scope).faults
    simulator = Simulator(world, SimulatorOptions(faults=script, far_levels=100, **options))
    await simulator.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{simulator.port}") as http:
            yield simulator, http
    finally:
        await simulator.stop()


def subscription(exchange: str, channel: str, symbol: str) -> str:
    if exchange == "kraken":
        params = {"channel": channel, "symbol": [symbol], "snapshot": True}
        return json.dumps({"method": "subscribe", "params": params})
    return json.dumps({"type": "subscribe", "channel": channel, "product_ids": [symbol]})


async def receive(
    socket: aiohttp.ClientWebSocketResponse, until: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Messages up to the first that `until` accepts."""
    found = []
    async with asyncio.timeout(DEADLINE):
        while True:
            message = kraken_client.read((await socket.receive()).data)
            found.append(message)
            if until(message):
                return found


def on(channel: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message.get("channel") == channel


def test_kraken_sends_a_heartbeat_each_second_in_which_nothing_else_was_sent() -> None:
    async def scenario() -> None:
        async with running("kraken", hold=2) as (_, http), http.ws_connect("/v2") as socket:
            (status,) = await receive(socket, on("status"))
            assert status["data"][0]["system"] == "online"
            # The clock stands still until a second connection has subscribed: nothing else is sent.
            await socket.send_str(subscription("kraken", "trade", "BTC/USD"))
            messages = await receive(socket, on("heartbeat"))
            assert [m.get("method") or m["channel"] for m in messages] == ["subscribe", "trade", "heartbeat"]

    asyncio.run(scenario())


def test_coinbase_closes_who_does_not_subscribe_and_keeps_who_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CoinbaseSession, "deadline_s", 1.0)

    async def scenario() -> None:
        async with (
            running("coinbase") as (_, http),
            http.ws_connect("/") as mute,
            http.ws_connect("/") as talking,
        ):
            await talking.send_str(subscription("coinbase", "heartbeats", "BTC-USD"))
            closed = await mute.receive(timeout=DEADLINE)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)
            messages = await receive(talking, on("heartbeats"))
            assert messages[-1]["events"][0]["heartbeat_counter"] == 1

    asyncio.run(scenario())


def test_the_ninth_message_in_a_second_closes_coinbases_connection() -> None:
    async def scenario() -> None:
        async with running("coinbase") as (_, http), http.ws_connect("/") as socket:
            for _ in range(9):
                await socket.send_str(subscription("coinbase", "status", "BTC-USD"))
            async with asyncio.timeout(DEADLINE):
                while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            assert (message.data, message.extra) == (1008, "Too many requests")

    asyncio.run(scenario())


def told_trades(exchange: str, messages: list[dict[str, Any]]) -> set[int]:
    if exchange == "kraken":
        return {e["trade_id"] for m in messages if on("trade")(m) for e in m["data"]}
    return {int(e["trade_id"]) for m in messages if on("market_trades")(m) for e in m["events"][0]["trades"]}


@pytest.mark.parametrize("exchange", SOCKETS)
def test_what_clients_have_at_a_freeze_is_what_the_log_says(exchange: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    trades, book, symbol = (
        ("trade", "book", "BTC/USD") if exchange == "kraken" else ("market_trades", "level2", "BTC-USD")
    )

    async def client(http: aiohttp.ClientSession, count: int, frozen: asyncio.Event) -> list[dict[str, Any]]:
        async with http.ws_connect(SOCKETS[exchange], max_msg_size=0) as socket:
            for channel in (trades, book):
                await socket.send_str(subscription(exchange, channel, symbol))
            found: list[dict[str, Any]] = []
            async with asyncio.timeout(DEADLINE):
                while len(found) < count:
                    found.append(kraken_client.read((await socket.receive()).data))
                if not frozen.is_set():
                    frozen.set()
                    await http.get("/simulator/freeze")
                while True:
                    try:
                        found.append(kraken_client.read((await socket.receive(timeout=0.5)).data))
                    except TimeoutError:
                        return found

    async def scenario() -> list[list[dict[str, Any]]]:
        options = {"speed": 5.0, "log": log, "log_intervals": ("1s",)}
        async with running(exchange, **options) as (_, http):
            frozen, stays = asyncio.Event(), asyncio.Event()
            stays.set()
            return list(await asyncio.gather(client(http, 150, frozen), client(http, 20, stays)))

    both = asyncio.run(scenario())
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    logged = {e["trade_id"] for e in entries if e["kind"] == "trade" and e["symbol"] == symbol}
    for messages in both:
        ids = told_trades(exchange, messages)
        assert ids <= logged and len(ids) > 50
        if exchange == "kraken":
            kraken_book = KrakenBook(10)
            for message in messages:
                kraken_client.check(message)
                if on("book")(message):
                    kraken_book.apply(message)
            assert kraken_book.mismatches == 0 < kraken_book.messages
        else:
            coinbase_book = CoinbaseBook()
            for message in messages:
                coinbase_client.check(message)
                if on("l2_data")(message):
                    coinbase_book.apply(message["events"][0])
            assert [message["sequence_num"] for message in messages] == list(range(len(messages)))
    assert max(told_trades(exchange, both[0])) == max(told_trades(exchange, both[1])) == max(logged)
    bars = [e for e in entries if e["kind"] == "kline" and e["symbol"] == symbol]
    rows = [e for e in entries if e["kind"] == "trade" and e["symbol"] == symbol]
    for bar in bars:
        of_bar = [e for e in rows if bar["open_time_ms"] <= e["trade_time_ms"] <= bar["close_time_ms"]]
        if bar["open_time_ms"] >= START_MS:
            assert bar["trade_count"] == len(of_bar)
    assert any(bar["open_time_ms"] >= START_MS for bar in bars)


@pytest.mark.parametrize("exchange", SOCKETS)
def test_connections_break_by_script_and_faults_can_be_posted(exchange: str) -> None:
    trades, symbol = ("trade", "BTC/USD") if exchange == "kraken" else ("market_trades", "BTC-USD")

    async def scenario() -> None:
        async with running(exchange, "drop:at=3", speed=5.0) as (_, http):
            async with http.ws_connect(SOCKETS[exchange]) as socket:
                await socket.send_str(subscription(exchange, trades, symbol))
                async with asyncio.timeout(DEADLINE):
                    while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                        pass
            wrong = await http.post("/simulator/faults", json={"faults": [{"kind": "late_kline", "at": 0}]})
            assert wrong.status == 400 and "cannot happen on" in (await wrong.json())["error"]
            posted = await http.post("/simulator/faults", json={"faults": [{"kind": "wrong_ack", "at": 0}]})
            assert posted.status == 200
            async with http.ws_connect(SOCKETS[exchange]) as socket:
                await socket.send_str(subscription(exchange, trades, symbol))
                told = on("subscriptions") if exchange == "coinbase" else lambda m: "method" in m
                reply = json.dumps((await receive(socket, told))[-1])
                assert "XRP" in reply and "BTC" not in reply
            listed = await (await http.get("/simulator/faults")).json()
            assert [(entry["kind"], entry["fired"]) for entry in listed] == [("drop", 1), ("wrong_ack", 1)]
            assert listed[1]["records"]["reply"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("exchange", "fault", "path", "status"),
    [
        ("kraken", "rest_429", "/0/public/Time", 200),
        ("kraken", "rest_5xx:status=502,paths=Trades", "/0/public/Trades?pair=XBTUSD", 502),
        ("kraken", "rest_5xx:status=503,symbols=BTC/USD", "/0/public/Trades?pair=XBTUSD", 200),
        ("coinbase", "rest_429", "/products/BTC-USD/trades", 429),
        ("coinbase", "rest_4xx:symbols=BTC-USD", "/api/v3/brokerage/market/products/BTC-USD/ticker", 404),
    ],
)
def test_rest_fails_as_the_exchange_fails(exchange: str, fault: str, path: str, status: int) -> None:
    async def scenario() -> None:
        async with running(exchange, fault + (",at=0" if ":" in fault else ":at=0")) as (_, http):
            failed = await http.get(path)
            assert failed.status == status
            text = await failed.text()
            assert "error" in text.lower() or "limit" in text or "<h1>" in text
            assert (await http.get(path)).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exchange", "kraken", "--symbols", "XBT/USD"], "--symbols XBT/USD: is a name of Kraken's v1"),
        (["--exchange", "kraken", "--symbols", "BTCUSD"], "Kraken names pairs like BTC/USD"),
        (["--exchange", "coinbase", "--symbols", "BTCUSD"], "Coinbase names products like BTC-USD"),
        (["--exchange", "kraken", "--fault", "counter_jump"], "counter_jump cannot happen on kraken"),
        (["--exchange", "coinbase", "--replay", __file__], "--exchange coinbase has no recordings"),
        (["--exchange", "kraken", "--market-data-only"], "--market-data-only is a host of Binance"),
        (["--far-levels", "5"], "--far-levels belongs to the books of --exchange coinbase"),
        (["--exchange", "coinbase", "--far-levels", "9999999"], "--far-levels 9999999 is not between"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "simulator", *arguments]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2 and said in refused.stderr and refused.stderr.count("\n") == 1


def test_a_stream_that_falls_silent_leaves_no_hole_in_coinbases_count() -> None:
    async def scenario() -> None:
        async with (
            running("coinbase", "mute:at=2,streams=trade", speed=5.0) as (_, http),
            http.ws_connect("/") as socket,
        ):
            for channel in ("market_trades", "level2"):
                await socket.send_str(subscription("coinbase", channel, "BTC-USD"))
            messages = await receive(socket, lambda message: message["sequence_num"] == 120)
            assert [message["sequence_num"] for message in messages] == list(range(121))
            newest = [message["timestamp"] for message in messages if on("market_trades")(message)][-1]
            assert newest < messages[-1]["timestamp"][:-9]

    asyncio.run(scenario())
