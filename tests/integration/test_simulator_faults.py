"""Scripted faults over real sockets: what clients see, what is counted, what the log says."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import websockets
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from shared.id_ranges import IdRanges
from simulator.exchange import Depth
from simulator.faults.script import parse_script
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange import WorldExchange
from simulator.server.app import Simulator, SimulatorOptions
from simulator.server.connection import ConnectionRules

START_MS = 1_785_767_158_000
DEADLINE = 20
STREAMS = "btcusdc@trade/btcusdc@depth@100ms/btcusdc@kline_1s/btcusdc@bookTicker"


@asynccontextmanager
async def running(
    *flags: str, rate: float = 5.0, **options: Any
) -> AsyncIterator[tuple[Simulator, aiohttp.ClientSession]]:
    options = {"speed": 5.0, "hold": 1} | options
    world = WorldExchange(("BTCUSDC", "ETHUSDC"), 7, START_MS, rate)
    script = parse_script(None, flags, BINANCE.scope)
    simulator = Simulator(world, SimulatorOptions(faults=script.faults, **options))
    await simulator.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{simulator.port}") as http:
            yield simulator, http
    finally:
        await simulator.stop()


def connect(simulator: Simulator, streams: str = STREAMS, **options: Any) -> websockets.connect:
    url = f"ws://127.0.0.1:{simulator.port}/stream?streams={streams}"
    return websockets.connect(url, max_queue=None, close_timeout=1, **options)


async def listen(socket: websockets.ClientConnection, received: list[Any]) -> None:
    with suppress(ConnectionClosed):
        async for text in socket:
            received.append(text)


async def until(http: aiohttp.ClientSession, path: str, accepted: Callable[[Any], Any]) -> Any:
    """What the simulator says there, once it is acceptable."""
    async with asyncio.timeout(DEADLINE):
        while True:
            said = await get(http, path)
            if accepted(said):
                return said
            await asyncio.sleep(0.02)


async def until_frozen(http: aiohttp.ClientSession) -> dict[str, Any]:
    state: dict[str, Any] = await until(http, "/simulator/state", lambda state: state["frozen_at_ms"])
    return state


async def get(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(path) as answer:
        return await answer.json()


async def whole_run(
    *flags: str, log: Path | None = None, **options: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """Listen on one connection to a whole market of a fixed length; frames, faults."""
    received: list[str] = []
    async with running(*flags, freeze_at=12.0, log=log, **options) as (simulator, http):
        socket = await connect(simulator)
        listener = asyncio.create_task(listen(socket, received))
        await until_frozen(http)
        faults = await get(http, "/simulator/faults")
        await socket.close()
        await listener
    return received, faults


def events(frames: list[str]) -> list[dict[str, Any]]:
    return [json.loads(frame)["data"] for frame in frames]


def entries_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_with_a_held_clock_and_a_fixed_end_two_runs_see_the_very_same_market() -> None:
    async def scenario() -> tuple[list[int], dict[str, Any], list[str], list[str]]:
        async with running(freeze_at=3.0) as (_, http):
            times = []
            for _ in range(2):
                times.append((await get(http, "/api/v3/time"))["serverTime"])
                await asyncio.sleep(0.05)
            state = await get(http, "/simulator/state")
        first, second = await whole_run(), await whole_run(speed=9.0)
        return times, state, first[0], second[0]

    times, state, first, second = asyncio.run(scenario())
    assert times == [START_MS, START_MS]
    assert state["held"] and state["world_elapsed_s"] == 0 and state["frozen_at_ms"] is None
    assert first == second and len(first) > 300


def test_the_clock_is_held_until_so_many_connections_have_subscribed() -> None:
    async def scenario() -> tuple[bool, bool]:
        async with running(hold=2) as (simulator, http), connect(simulator), connect(simulator, ""):
            held = (await until(http, "/simulator/state", lambda state: state["connections"] == 2))["held"]
            async with connect(simulator, "ethusdc@trade") as other, asyncio.timeout(DEADLINE):
                await other.recv()
                return held, (await get(http, "/simulator/state"))["held"]

    assert asyncio.run(scenario()) == (True, False)


def test_faults_are_added_to_a_market_that_runs_and_strike_from_then_on() -> None:
    received: list[str] = []

    async def post(http: aiohttp.ClientSession, faults: list[dict[str, Any]]) -> tuple[int, Any]:
        async with http.post("/simulator/faults", json={"faults": faults}) as answer:
            return answer.status, await answer.json()

    async def scenario() -> tuple[tuple[int, Any], int, int, list[Any]]:
        async with running("skip:streams=trade,at=0") as (simulator, http):
            async with connect(simulator, "btcusdc@trade/btcusdc@depth@100ms") as socket:
                listener = asyncio.create_task(listen(socket, received))
                await until(http, "/simulator/faults", lambda listed: listed[0]["fired"])
                refused = await post(http, [{"kind": "halt", "at": 1}])
                before = len(received)
                status, listed = await post(
                    http, [{"kind": "malformed", "streams": ["trade"], "at": 0}, {"kind": "drop", "at": 0.5}]
                )
                listed = [listed, await until(http, "/simulator/faults", lambda all_: all_[-1]["fired"])]
                await listener
            return refused, before, status, listed

    refused, before, status, (at_once, after) = asyncio.run(scenario())
    assert refused[0] == 400
    assert "fault halt belongs to the market" in refused[1]["error"]
    assert status == 200
    assert [(fault["kind"], fault["fired"]) for fault in at_once] == [
        ("skip", 1),
        ("malformed", 0),
        ("drop", 0),
    ]
    assert [fault["fired"] for fault in after] == [1, 1, 1]
    broken = []
    for number, frame in enumerate(received):
        try:
            json.loads(frame)
        except ValueError:
            broken.append(number)
    assert len(broken) == 1
    assert broken[0] >= before


def test_equal_seeds_give_equal_frames_under_faults_and_the_counts_are_those_of_the_frames() -> None:
    flags = (
        "skip:probability=0.05,streams=trade", "malformed:every=2", "duplicate:probability=0.05",
        "missing_kline:every=3", "late_kline:every=3", "unknown_field:probability=0.1",
    )  # fmt: skip

    async def scenario() -> tuple[tuple[list[str], list[dict[str, Any]]], ...]:
        return (
            await whole_run(),
            await whole_run(*flags),
            await whole_run(*flags),
            await whole_run(*flags, fault_seed=2),
        )

    (true, _), (first, faults), (second, again), (other, _) = asyncio.run(scenario())
    assert first == second != other

    def counts(listed: list[dict[str, Any]]) -> list[tuple[str, int, Any]]:
        return [(fault["kind"], fault["fired"], fault["records"]) for fault in listed]

    assert counts(faults) == counts(again)
    by_kind = {fault["kind"]: fault for fault in faults}
    assert all(fault["fired"] and fault["last_fired_wall_ms"] for fault in faults)
    plain = [frame.replace(',"zz"', "") for frame in first]
    assert len(set(true) - set(first)) == (
        by_kind["skip"]["fired"] + by_kind["malformed"]["fired"] + by_kind["missing_kline"]["fired"]
        + by_kind["unknown_field"]["fired"]
    )  # fmt: skip
    assert sum(1 for frame in plain if '"draw":' in frame) == by_kind["unknown_field"]["fired"]
    assert sum(count - 1 for count in Counter(first).values()) == by_kind["duplicate"]["fired"]


def test_the_log_holds_what_was_issued_and_what_was_withheld(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    flags = ("skip:probability=0.05", "missing_kline:every=3", "late_kline:at=5")
    received, faults = asyncio.run(whole_run(*flags, log=log))
    entries = entries_of(log)
    issued = {e["trade_id"] for e in entries if e["kind"] == "trade"}
    withheld = IdRanges(
        (e["first"], e["last"]) for e in entries if e["kind"] == "withheld" and e["stream"] == "trade"
    )
    seen = {e["t"] for e in events(received) if e.get("e") == "trade"}
    assert seen and withheld and issued == set(range(min(issued), max(issued) + 1))
    assert issued - seen == {trade_id for trade_id in issued if trade_id in withheld}
    bars = {e["open_time_ms"] for e in entries if e["kind"] == "kline"}
    closed = {e["k"]["t"] for e in events(received) if e.get("e") == "kline" and e["k"]["x"]}
    missing = {
        open_ms
        for e in entries
        if e["kind"] == "withheld" and e["stream"] == "kline" and e["interval"] == "1s"
        for open_ms in range(e["first"], e["last"] + 1, 1_000)
    }
    assert bars - closed == missing and len(bars) == 13  # one was pending at the start
    late = [e for e in entries if e["kind"] == "altered"]
    assert [(e["fault"], e["first"] in closed) for e in late] == [("late_kline", True)]
    assert entries[-1] == {"kind": "faults", "faults": faults}
    assert faults[0]["records"]["trade"] == withheld.id_count() == len(issued - seen)
    assert faults[1]["records"]["kline"] == len(missing) == 5


def test_what_is_issued_while_nobody_is_connected_is_logged_as_issued_and_disconnected(
    tmp_path: Path,
) -> None:
    log = tmp_path / "truth.jsonl"

    async def scenario() -> tuple[int | None, list[str], Any]:
        received: list[str] = []
        async with running("early_close:at=3", freeze_at=12.0, log=log) as (simulator, http):
            async with connect(simulator) as socket:
                await listen(socket, received)
                code = socket.close_code
            await until(http, "/simulator/state", lambda state: state["world_elapsed_s"] >= 7)
            async with connect(simulator) as socket:
                listener = asyncio.create_task(listen(socket, received))
                await until_frozen(http)
            await listener
            return code, received, await get(http, "/simulator/faults")

    code, received, (fault,) = asyncio.run(scenario())
    entries = entries_of(log)
    assert code == 1001
    seen = {e["t"] for e in events(received) if e.get("e") == "trade"}
    issued = {e["trade_id"] for e in entries if e["kind"] == "trade"}
    assert issued == set(range(min(issued), max(issued) + 1))
    gone = IdRanges(
        (e["first"], e["last"]) for e in entries if e["kind"] == "withheld" and e["stream"] == "trade"
    )
    assert issued - seen == {trade_id for trade_id in issued if trade_id in gone} != set()
    assert {e["fault"] for e in entries if e["kind"] == "withheld"} <= {"disconnected", "early_close"}
    assert len([e for e in entries if e["kind"] == "kline"]) == 13  # one was pending at the start
    # What is missed because of a fault is counted as hit by it.
    assert (fault["fired"], fault["records"]["trade"]) == (1, gone.id_count())


def test_a_drop_resets_the_connection_without_a_close_frame() -> None:
    async def scenario() -> tuple[tuple[int | None, Close | None], Any]:
        async with running("drop:at=2,symbols=BTCUSDC") as (simulator, http):
            spared = await connect(simulator, "ethusdc@trade")
            async with connect(simulator) as socket:
                await listen(socket, [])
                struck = (socket.close_code, socket.protocol.close_rcvd)
            async with asyncio.timeout(DEADLINE):
                await spared.recv()
            await spared.close()
            return struck, await get(http, "/simulator/faults")

    struck, (fault,) = asyncio.run(scenario())
    assert struck == (1006, None) and fault["fired"] == 1


def test_a_silent_connection_stays_open_says_nothing_and_answers_nothing() -> None:
    async def scenario() -> tuple[tuple[int, bool, int | None], int, Any]:
        received: list[str] = []
        flags = "silent:at=2,duration=1.2"
        async with running(flags, freeze_at=30.0, rules=ConnectionRules(ping_interval=0.2)) as (
            simulator,
            http,
        ):
            socket = await connect(simulator)
            listener = asyncio.create_task(listen(socket, received))
            await until(http, "/simulator/faults", lambda faults: faults[0]["fired"])
            await asyncio.sleep(0.1)
            count = len(received)
            ponged = cast("asyncio.Future[float]", await socket.ping())
            await asyncio.sleep(0.5)
            during = (len(received) - count, ponged.done(), socket.close_code)
            await until_frozen(http)
            after = len(received) - count
            await socket.close()
            await listener
            return during, after, await get(http, "/simulator/faults")

    during, after, (fault,) = asyncio.run(scenario())
    assert during == (0, False, None) and after > 0
    assert fault["records"]["trade"] > 0 and fault["records"]["depth"] > 0


def test_a_slow_link_delays_and_loses_nothing() -> None:
    async def scenario() -> tuple[tuple[list[str], list[dict[str, Any]]], ...]:
        flags = "slow:at=2,duration=1,bytes_per_s=20000"
        return await whole_run(), await whole_run(flags)

    (true, _), (slowed, (fault,)) = asyncio.run(scenario())
    assert slowed == true
    assert fault["fired"] == 1 and sum(fault["records"].values()) > 3


def test_a_shutdown_is_announced_then_closed_and_what_two_connections_get_is_counted() -> None:
    async def scenario() -> tuple[int | None, list[str], Any]:
        received: list[str] = []
        async with running("shutdown:at=2,lead=0.5") as (simulator, http):
            async with connect(simulator) as other, connect(simulator, STREAMS) as socket:
                spare = asyncio.create_task(listen(other, []))
                await listen(socket, received)
                code = socket.close_code
                await spare
            return code, received, await get(http, "/simulator/faults")

    code, received, (fault,) = asyncio.run(scenario())
    kinds = [event.get("e") for event in events(received)]
    assert code == 1001 and kinds.count("serverShutdown") == 1
    assert len(kinds) - kinds.index("serverShutdown") > 5
    assert fault["fired"] == 1 and fault["records"]["trade"] > 0


def test_serverShutdown_of_age_comes_its_lead_before_the_end() -> None:  # noqa: N802
    async def scenario() -> tuple[int | None, list[str | None]]:
        rules = ConnectionRules(age=1.2, announce_shutdown=True, shutdown_lead=0.8)
        received: list[str] = []
        async with running(rules=rules) as (simulator, _), connect(simulator) as socket:
            await listen(socket, received)
            return socket.close_code, [event.get("e") for event in events(received)]

    code, kinds = asyncio.run(scenario())
    assert code == 1001 and len(kinds) - kinds.index("serverShutdown") > 10


@pytest.mark.parametrize(
    ("flag", "status", "header"),
    [
        ("rest_429:retry_after=4", 429, "4"),
        ("rest_418", 418, "5"),
        ("rest_5xx:status=502", 502, None),
        ("historical_trades_refused", 404, None),
    ],
)
def test_refused_requests(flag: str, status: int, header: str | None) -> None:
    async def scenario() -> tuple[tuple[int, str | None, bool], Any]:
        async with running(flag) as (_, http):
            async with http.get("/api/v3/historicalTrades?symbol=BTCUSDC") as answer:
                said = (
                    answer.status,
                    answer.headers.get("Retry-After"),
                    "X-MBX-USED-WEIGHT-1M" in answer.headers,
                )
            return said, await get(http, "/simulator/faults")

    said, (fault,) = asyncio.run(scenario())
    assert said == (status, header, True)
    assert (fault["fired"], fault["records"]["rest"]) == (1, 1)


def test_answers_that_are_held_cut_old_or_garbage() -> None:
    flags = (
        "rest_timeout:duration=0.4,paths=time", "rest_cut:paths=klines", "rest_old_snapshot:age=3",
        "rest_garbage:paths=exchangeInfo,shape=html",
    )  # fmt: skip

    async def scenario() -> tuple[Any, float, Any, Depth, tuple[int, str], Any]:
        loop = asyncio.get_running_loop()
        async with running(*flags) as (simulator, http):
            begun = loop.time()
            held = await get(http, "/api/v3/time")
            waited = loop.time() - begun
            with pytest.raises(aiohttp.ClientPayloadError):
                await get(http, "/api/v3/klines?symbol=BTCUSDC&interval=1m")
            snapshot = await get(http, "/api/v3/depth?symbol=BTCUSDC&limit=50")
            assert isinstance(simulator.exchange, WorldExchange)
            true = simulator.exchange.depth("BTCUSDC", 50, START_MS - 3_000)
            async with http.get("/api/v3/exchangeInfo") as answer:
                garbage = answer.status, answer.content_type
            return held, waited, snapshot, true, garbage, await get(http, "/simulator/faults")

    held, waited, snapshot, true, garbage, faults = asyncio.run(scenario())
    assert held == {"serverTime": START_MS} and waited >= 0.4
    assert snapshot == {"lastUpdateId": true.last_update_id, "bids": true.bids, "asks": true.asks}
    assert garbage == (200, "text/html")
    assert [fault["records"]["rest"] for fault in faults] == [1, 1, 1, 1]


def test_a_refused_stream_does_not_open_while_rest_answers_and_open_ones_go_on() -> None:
    async def run() -> None:
        async with running("stream_refused:from=6,to=600,status=451", speed=2.0) as (simulator, http):
            received: list[str] = []
            socket = await connect(simulator)
            listener = asyncio.create_task(listen(socket, received))
            await until(http, "/simulator/state", lambda state: state["world_elapsed_s"] > 6)
            with pytest.raises(websockets.exceptions.InvalidStatus, match="451"):
                await connect(simulator)
            before = len(received)
            await until(http, "/simulator/state", lambda state: state["world_elapsed_s"] > 9)
            assert len(received) > before
            async with http.get("/api/v3/trades", params={"symbol": "BTCUSDC"}) as answer:
                assert answer.status == 200
            (fault,) = await get(http, "/simulator/faults")
            assert fault["fired"] == 1
            listener.cancel()

    asyncio.run(run())


def test_a_mute_stream_is_silent_on_its_connection_alone_and_the_others_of_it_go_on() -> None:
    async def run() -> None:
        async with running("mute:at=3,streams=trade", freeze_at=12.0) as (simulator, http):
            received: list[str] = []
            listener = asyncio.create_task(listen(await connect(simulator), received))
            await until(http, "/simulator/state", lambda state: state["world_elapsed_s"] > 3.5)
            later: list[str] = []
            second = asyncio.create_task(listen(await connect(simulator), later))
            await until_frozen(http)
            trades = [json.loads(text)["data"] for text in received if "@trade" in text]
            assert trades and max(trade["T"] for trade in trades) < START_MS + 3_100
            bars = [json.loads(text)["data"] for text in received if "@kline_1s" in text]
            assert max(bar["E"] for bar in bars) > START_MS + 10_000
            assert any("@trade" in text for text in later)
            listener.cancel()
            second.cancel()

    asyncio.run(run())


def test_a_dead_rest_breaks_the_connection_and_a_log_may_follow_from_the_start(tmp_path: Path) -> None:
    async def run() -> None:
        log = tmp_path / "log.jsonl"
        options: dict[str, Any] = {"hold": 0, "log": log, "log_intervals": ("1s",), "freeze_at": 8.0}
        async with running("rest_dead:paths=klines", "rest_behind:age=2,paths=trades", **options) as (
            _,
            http,
        ):
            with pytest.raises(aiohttp.ClientConnectionError):
                await get(http, "/api/v3/klines?symbol=BTCUSDC&interval=1m")
            state = await until_frozen(http)
            assert state["first_asked_ms"] is not None
            newest = await get(http, "/api/v3/trades?symbol=BTCUSDC&limit=1")
            assert newest[0]["time"] <= state["frozen_at_ms"] - 2_000
            assert (await get(http, "/api/v3/time"))["serverTime"] == state["frozen_at_ms"]
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        kinds = Counter((entry["kind"], entry.get("symbol")) for entry in entries)
        # Nobody has subscribed to anything; one bar's end was still to be said as it began.
        for symbol in ("BTCUSDC", "ETHUSDC"):
            assert kinds["trade", symbol] > 10 and 8 <= kinds["kline", symbol] <= 9

    asyncio.run(run())
