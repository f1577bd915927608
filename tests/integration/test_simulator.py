"""The simulator over real sockets, in this process and as a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from simulator.protocols.binance.exchange import WorldExchange
from simulator.recordings.files import open_recordings
from simulator.recordings.player import Player
from simulator.server import connection
from simulator.server.app import Simulator, SimulatorOptions
from simulator.server.connection import ConnectionRules

START_MS = 1_785_767_158_000
DEADLINE = 15


def world(rate: float = 1.0) -> WorldExchange:
    return WorldExchange(("BTCUSDC", "XRPUSDC"), 7, START_MS, rate)


@asynccontextmanager
async def running(
    exchange: WorldExchange | Player | None = None,
    finished: Callable[[int], None] = lambda _frames: None,
    **options: Any,
) -> AsyncIterator[tuple[Simulator, aiohttp.ClientSession]]:
    simulator = Simulator(exchange or world(), SimulatorOptions(**options), finished)
    await simulator.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{simulator.port}") as http:
            yield simulator, http
    finally:
        await simulator.stop()


def connect(simulator: Simulator, path: str, **options: Any) -> websockets.connect:
    return websockets.connect(f"ws://127.0.0.1:{simulator.port}{path}", max_queue=None, **options)


async def receive(
    socket: websockets.ClientConnection, *, until: Callable[[Any], bool] = lambda _message: True
) -> Any:
    """The first message that `until` accepts, within the deadline."""
    async with asyncio.timeout(DEADLINE):
        while True:
            message = json.loads(await socket.recv())
            if until(message):
                return message


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ask(socket: websockets.ClientConnection, **request: Any) -> Any:
    await socket.send(json.dumps(request))
    return await receive(socket, until=lambda message: "id" in message)


def test_raw_and_combined_connections_and_control_messages() -> None:
    async def scenario() -> None:
        async with running(speed=5.0) as (simulator, _):
            async with connect(simulator, "/ws/btcusdc@trade") as raw:
                assert (await receive(raw))["e"] == "trade"
                assert await ask(raw, method="SET_PROPERTY", params=["combined", True], id=1) == {
                    "result": None, "id": 1,
                }  # fmt: skip
                await receive(raw, until=lambda message: message.get("stream") == "btcusdc@trade")
            async with connect(simulator, "/ws") as empty:
                assert await ask(empty, method="LIST_SUBSCRIPTIONS", id=2) == {"result": [], "id": 2}
                assert (await ask(empty, method="SUBSCRIBE", params=["btcusdc@aggTrade"], id=3))[
                    "result"
                ] is None
                assert (await receive(empty))["e"] == "aggTrade"
                assert (await ask(empty, method="NONSENSE", id=4))["error"]["code"] == 2
            async with connect(simulator, "/stream?streams=btcusdc@trade&timeUnit=MICROSECOND") as combined:
                message = await receive(combined)
                assert message["stream"] == "btcusdc@trade"
                assert message["data"]["T"] > START_MS * 1000
            async with connect(simulator, "/stream?streams=btcusdc@kline_1d@+08:00") as eastern:
                message = await receive(eastern)
                assert message["stream"] == "btcusdc@kline_1d@+08:00"
                assert message["data"]["k"]["t"] % 86_400_000 == 16 * 3_600_000
            async with connect(simulator, "/ws/btcusdc%40trade/xrpusdc@trade") as several:
                assert await ask(several, method="LIST_SUBSCRIPTIONS", id=5) == {
                    "result": ["btcusdc@trade", "xrpusdc@trade"], "id": 5,
                }  # fmt: skip

    asyncio.run(scenario())


def test_unknown_paths_and_time_units_are_refused_at_the_handshake() -> None:
    async def scenario() -> None:
        async with running() as (_, http):
            statuses = []
            for path in ("/nowhere", "/ws?timeUnit=DAY", "/ws/nonsense"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await http.ws_connect(path)
                statuses.append(refused.value.status)
            assert statuses == [404, 400, 400]

    asyncio.run(scenario())


def test_pings_carry_a_payload_and_who_does_not_answer_is_closed() -> None:
    async def scenario() -> None:
        rules = ConnectionRules(ping_interval=0.1, pong_timeout=0.4)
        async with running(rules=rules) as (_, http), http.ws_connect("/ws", autoping=False) as socket:
            first = await socket.receive(timeout=DEADLINE)
            assert first.type is aiohttp.WSMsgType.PING and first.data.isdigit()
            await socket.pong(b"something else")
            while (message := await socket.receive(timeout=DEADLINE)).type is aiohttp.WSMsgType.PING:
                pass
            assert (message.data, message.extra) == (1008, "Pong timeout")

    asyncio.run(scenario())


def test_who_answers_pings_stays_connected() -> None:
    async def scenario() -> None:
        rules = ConnectionRules(ping_interval=0.3, pong_timeout=0.4)
        async with running(rules=rules) as (_, http), http.ws_connect("/ws", autoping=False) as socket:
            for _ in range(6):
                message = await socket.receive(timeout=DEADLINE)
                assert message.type is aiohttp.WSMsgType.PING
                await socket.pong(message.data)

    asyncio.run(scenario())


def trades(symbol: str, ids: Iterable[int], of: int) -> bytes:
    """Lines of a recording: of one second, however many they are."""
    return b"".join(
        b'{"stream":"%s@trade","data":{"e":"trade","E":%d,"s":"%s","t":%d,"p":"1.50","q":"0.25","T":%d,"m":true}}\n'
        % (symbol.lower().encode(), START_MS + 1_000 * number // of, symbol.encode(), number, START_MS)
        for number in ids
    )


def test_who_does_not_read_is_dropped_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Fewer bytes than the frames with which a recording waits for its listeners: it goes on only if who does
    # not read is dropped, however slow the machine is.
    monkeypatch.setattr(connection, "_MOST_WAITING_BYTES", 100_000)
    of, each = 60_000, 1_000  # 8 MB for who does not read: more than lies in a socket
    recording = tmp_path / "trades.jsonl"
    recording.write_bytes(
        b"".join(
            trades("BTCUSDC", range(begin, begin + each), of) + trades("XRPUSDC", [begin + each], of)
            for begin in range(0, of, each)
        )
    )
    finished: list[int] = []

    async def scenario() -> list[int]:
        player = Player(open_recordings([recording]))
        async with running(player, finished.append, speed=0.0, hold=2) as (simulator, _):
            _, stuck = await asyncio.open_connection("127.0.0.1", simulator.port, limit=1024)
            stuck.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
            stuck.write(
                b"GET /ws/btcusdc@trade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            async with connect(simulator, "/ws/xrpusdc@trade") as reader, asyncio.timeout(60):
                received = [json.loads(await reader.recv())["t"] for _ in range(of // each)]
                await eventually(lambda: finished)
            stuck.close()
        return received

    assert asyncio.run(scenario()) == list(range(each, of + 1, each))
    assert finished == [of + of // each]


def test_the_sixth_frame_in_a_second_closes_the_connection() -> None:
    async def scenario() -> None:
        async with running() as (simulator, _), connect(simulator, "/ws") as socket:
            for _ in range(6):
                await socket.ping()
            with pytest.raises(ConnectionClosed) as closed:
                await receive(socket)
            said = closed.value.rcvd
            assert said is not None and (said.code, said.reason) == (1008, "Too many requests")

    asyncio.run(scenario())


def test_a_connection_ends_of_age_after_it_was_announced() -> None:
    async def scenario() -> None:
        rules = ConnectionRules(age=0.2, announce_shutdown=True)
        async with running(rules=rules) as (simulator, _), connect(simulator, "/stream") as socket:
            assert (await receive(socket))["data"]["e"] == "serverShutdown"
            with pytest.raises(ConnectionClosed) as closed:
                await receive(socket)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001

    asyncio.run(scenario())


def test_weights_are_counted_and_refused_then_banned() -> None:
    async def scenario() -> None:
        async with running() as (_, http):
            async with http.get("/api/v3/depth?symbol=BTCUSDC&limit=5000") as answer:
                used = int(answer.headers["X-MBX-USED-WEIGHT-1M"])
                assert answer.status == 200 and used == int(answer.headers["X-MBX-USED-WEIGHT"]) == 250
            statuses = []
            for _ in range(40):  # the minute may turn once in between
                async with http.get("/api/v3/depth?limit=5000") as answer:
                    statuses.append(answer.status)
                    body = await answer.json()
                    if answer.status == 429:
                        assert 1 <= int(answer.headers["Retry-After"]) <= 60
                        assert body["code"] == -1003 and body["msg"].startswith(
                            "Too much request weight used;"
                        )
                    if answer.status == 418:
                        assert "IP banned until" in body["msg"]
                        break
            assert set(statuses) >= {400, 429}

    asyncio.run(scenario())


def test_the_market_data_host_lacks_historical_trades() -> None:
    async def scenario() -> None:
        async with running(market_data_only=True) as (_, http):
            statuses = {}
            for path in ("historicalTrades?symbol=BTCUSDC", "trades?symbol=BTCUSDC", "nothing"):
                async with http.get(f"/api/v3/{path}") as answer:
                    statuses[path.partition("?")[0]] = answer.status
            assert statuses == {"historicalTrades": 404, "trades": 200, "nothing": 404}

    asyncio.run(scenario())


def test_after_a_freeze_the_log_holds_exactly_what_clients_received(tmp_path: Path) -> None:
    streams = "btcusdc@trade/btcusdc@depth@100ms/btcusdc@kline_1s/xrpusdc@trade/xrpusdc@kline_1m"

    async def listen(socket: websockets.ClientConnection, received: list[dict[str, Any]]) -> None:
        async for text in socket:
            received.append(json.loads(text)["data"])

    async def scenario() -> None:
        log = tmp_path / "truth.jsonl"
        received: list[list[dict[str, Any]]] = [[], []]
        async with running(world(rate=20.0), log=log, speed=4.0) as (simulator, http):
            sockets = [await connect(simulator, f"/stream?streams={streams}") for _ in range(2)]
            listeners = [asyncio.create_task(listen(*pair)) for pair in zip(sockets, received, strict=True)]
            await eventually(lambda: len(received[0]) >= 1_500)
            async with http.get("/simulator/freeze") as answer:
                frozen = (await answer.json())["frozen_at_ms"]
            async with http.get("/api/v3/time") as answer:
                assert (await answer.json())["serverTime"] == frozen
            async with http.get("/api/v3/historicalTrades?symbol=BTCUSDC&limit=1") as answer:
                (newest,) = await answer.json()
            entries = [json.loads(line) for line in log.read_text().splitlines()]
            for socket in sockets:
                await socket.close()
            await asyncio.gather(*listeners)
            async with http.get("/simulator/freeze") as answer:
                assert (await answer.json())["frozen_at_ms"] == frozen
        events, later = received
        # The second connection joined a little later and then got the same.
        assert events[-len(later) :] == later
        trades = {(e["s"], e["t"]): (e["p"], e["q"], e["T"], e["m"]) for e in events if e["e"] == "trade"}
        assert max(key for key in trades if key[0] == "BTCUSDC")[1] == newest["id"]
        assert trades == {
            (e["symbol"], e["trade_id"]): (e["price"], e["quantity"], e["trade_time_ms"], e["buyer_is_maker"])
            for e in entries
            if e["kind"] == "trade"
        }
        finals = [e["k"] for e in events if e["e"] == "kline" and e["k"]["x"]]
        assert len(finals) > 3
        assert [(k["s"], k["i"], k["t"], k["c"], k["q"], k["n"]) for k in finals] == [
            (
                e["symbol"],
                e["interval"],
                e["open_time_ms"],
                e["close"],
                e["quote_volume"],
                e["trade_count"],
            )
            for e in entries
            if e["kind"] == "kline"
        ]
        assert [(e["U"], e["u"], e["E"]) for e in events if e["e"] == "depthUpdate"] == [
            (e["first_update_id"], e["final_update_id"], e["event_time_ms"])
            for e in entries
            if e["kind"] == "depth"
        ]

    asyncio.run(scenario())


def test_the_log_names_what_rest_has_shown_once(tmp_path: Path) -> None:
    async def scenario() -> tuple[Any, Any, list[dict[str, Any]]]:
        log = tmp_path / "truth.jsonl"
        async with running(log=log) as (_, http):
            for _ in range(2):
                async with http.get("/api/v3/klines?symbol=BTCUSDC&interval=1h&limit=3") as answer:
                    rows = await answer.json()
                async with http.get("/api/v3/trades?symbol=XRPUSDC&limit=4") as answer:
                    trades = await answer.json()
        return rows, trades, [json.loads(line) for line in log.read_text().splitlines()]

    rows, trades, entries = asyncio.run(scenario())
    closed = [row[0] for row in rows[:2]]
    assert [e["open_time_ms"] for e in entries if e["kind"] == "kline"] == closed
    assert {t["id"] for t in trades} <= {e["trade_id"] for e in entries if e["kind"] == "trade"}
    assert len({json.dumps(e) for e in entries}) == len(entries)


def test_a_recording_is_played_through_the_same_protocol(recordings: Path) -> None:
    files = [recordings / "binance_spot_ws" / "cf_20210404_BINANCE-ee25be.txt.gz"]
    finished: list[int] = []

    async def scenario() -> tuple[list[dict[str, Any]], Any, int]:
        player = Player(open_recordings(files))
        async with running(player, finished.append, speed=0.0) as (simulator, http):
            async with http.get("/api/v3/time") as answer:
                assert (await answer.json())["serverTime"] == 1617566591326
            async with http.get("/api/v3/depth?symbol=BTCUSDT&limit=1000") as answer:
                assert (await answer.json())["lastUpdateId"] == 9893033066
            received: list[dict[str, Any]] = []
            names = "btcusdt@aggTrade/btcusdt@depth@100ms/dotusdt@kline_1m"
            async with connect(simulator, f"/stream?streams={names}") as socket, asyncio.timeout(DEADLINE):
                while len(received) < 1_227 + 899 + 34:
                    received.append(json.loads(await socket.recv()))
                await eventually(lambda: finished)
            async with http.get("/api/v3/klines?symbol=DOTUSDT&interval=1m") as answer:
                rows = await answer.json()
            async with http.get("/api/v3/time") as answer:
                end_ms = (await answer.json())["serverTime"]
        return received, rows, end_ms

    received, rows, end_ms = asyncio.run(scenario())
    assert finished == [4_716]
    assert Counter(message["stream"] for message in received) == {
        "btcusdt@aggTrade": 1_227, "btcusdt@depth@100ms": 899, "dotusdt@kline_1m": 34,
    }  # fmt: skip
    times = [message["receivedTime"] for message in received]
    assert times == sorted(times) and times[-1] <= end_ms == 1617566682365
    (final,) = (m["data"]["k"] for m in received if m["data"]["e"] == "kline" and m["data"]["k"]["x"])
    assert rows == [[
        final["t"], final["o"], final["h"], final["l"], final["c"], final["v"], final["T"],
        final["q"], final["n"], final["V"], final["Q"], "0",
    ]]  # fmt: skip


def spawn(*arguments: str, module: str = "simulator") -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )


def test_the_command_says_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    process = spawn(
        "simulate", "--symbols", "dogeusdt", "--seed", "5", "--log", str(log), module="cryptostream.cli"
    )
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        assert said["event"] == "listening" and said["rest_url"] == f"http://127.0.0.1:{said['port']}"
        second = spawn("--port", str(said["port"]))
        _, errors = second.communicate(timeout=DEADLINE)
        assert second.returncode == 2
        assert errors.count("\n") == 1 and str(said["port"]) in errors and "0 for a free one" in errors
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) == (0, "")
    assert log.exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--replay", "pyproject.toml"), "pyproject.toml"),
        (("--replay", "nowhere.gz"), "nowhere.gz"),
        (("--rate", "0"), "--rate 0"),
        (("--speed", "0"), "--speed 0"),
        (("--port", "70000"), "--port 70000"),
        (("--start", "12"), "--start 12"),
        (("--symbols", "A B"), "SYMBOLS"),
        (("--shift-now",), "--shift-now"),
        (("--log", "no/such/directory/file"), "--log"),
        (("--hold", "-1"), "--hold -1"),
        (("--freeze-at", "0"), "--freeze-at 0"),
        (("--shutdown-lead", "9", "--connection-age", "5"), "--shutdown-lead 9"),
        (("--fault", "explode"), "explode"),
        (("--fault", "skip:symbols=NOPEUSDC"), "NOPEUSDC"),
        (("--faults", "pyproject.toml"), "--faults pyproject.toml"),
    ],
)
def test_wrong_arguments_give_one_line_and_exit_2(arguments: tuple[str, ...], what: str) -> None:
    process = spawn(*arguments)
    output, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (2, "")
    assert errors.count("\n") == 1 and what in errors and "Traceback" not in errors
