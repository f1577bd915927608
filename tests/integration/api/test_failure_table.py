"""What viewers are told of each failure, and that they miss nothing by it, on one whole stack.

The tests go on with the stack that the one before has left; those that end parts of it for good come last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from confluent_kafka.admin import NewTopic

from chaos.servers import Servers
from consumers.tap.kafka import admin_of, incarnations_of
from shared.topics import TRADES
from tests.builders import trade
from tests.conftest import real_influx, real_kafka
from tests.integration.api.viewer import Row, Viewer, Viewers
from tests.integration.browser.world import World
from tests.integration.consumer_harness import publish

BARS, TAPE = 1, 2
BTC: Final = {"exchange": "binance", "symbol": "BTCUSDC"}
KEY: Final = b"binance:BTCUSDC"
AWAY_WITHIN_S: Final = 60.0
FENCED_S: Final = 12.0
ROWS: Final = "/api/v1/rows/kline?exchange=binance&symbol=BTCUSDC&interval=1s&last=1500"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("stack")
    with Servers(real_kafka(directory / "kafka"), real_influx(directory / "influx")) as servers:
        world = World(servers, directory / "world")
        try:
            world.start()
            yield world
        finally:
            world.close()


def viewer_of(world: World) -> Viewer:
    """A viewer of closed bars and of trades; those of before it do not count."""
    wishes = [
        {"id": BARS, "series": "kline", **BTC, "interval": "1s", "last": 1500},
        {"id": TAPE, "series": "trade", **BTC, "last": 10},
    ]
    return Viewer(f"{world.url.replace('http', 'ws', 1)}/api/v1/stream", wishes)


@pytest.fixture
def viewer(world: World) -> Iterator[Viewer]:
    """Connected, and live."""
    viewer = viewer_of(world)
    with Viewers([viewer]):
        world.until("rows", lambda: viewer.rows[BARS] and viewer.rows[TAPE])
        yield viewer
    assert viewer.problems == []


def state(viewer: Viewer, number: int) -> str:
    return str(viewer.states.get(number, ("",))[0])


def goes_on(world: World, viewer: Viewer, number: int, within_s: float = 120.0) -> None:
    """Wait for three rows that are newer than all so far."""
    newest = max(viewer.rows[number])
    world.until("newer rows", lambda: sum(at > newest for at in viewer.rows[number]) >= 3, within_s)


def ready(world: World) -> bool:
    """Whether it says so; a service that is being started again is not."""
    try:
        answer = httpx.get(f"{world.metrics_url}/readyz", timeout=60, trust_env=False)
    except httpx.TransportError:
        return False
    return bool(answer.is_success)


def figure(world: World, name: str) -> float:
    text = httpx.get(f"{world.metrics_url}/metrics", timeout=60, trust_env=False).text
    lines = [line for line in text.splitlines() if line.startswith(f"cryptostream_{name}{{")]
    return float(lines[0].split()[-1])


def stored(world: World) -> dict[int, Row]:
    rows = httpx.get(f"{world.url}{ROWS}", timeout=60, trust_env=False).raise_for_status().json()["rows"]
    return {row[0]: row for row in rows}


def none_missing(world: World, viewer: Viewer, since_ms: int) -> None:
    """The viewer holds every closed second since then, as it is stored."""
    held = {at: row for at, row in viewer.rows[BARS].items() if at >= since_ms}
    assert sorted(held) == list(range(min(held), max(held) + 1, 1_000))
    world.until("the same bars in the store", lambda: held.keys() <= stored(world).keys(), 60)
    found = stored(world)
    assert {at: found[at] for at in held} == held


def test_a_bad_record_is_passed_and_counted(world: World, viewer: Viewer) -> None:
    assert figure(world, "bad_records") == 0
    publish(world.servers.kafka.bootstrap_servers, [(TRADES, KEY, b"not JSON")])
    world.until("its count", lambda: figure(world, "bad_records") == 1)
    goes_on(world, viewer, TAPE)
    world.until("live", lambda: state(viewer, TAPE) == "live")
    assert figure(world, "clients") == 1


def test_without_a_store_history_is_away_and_what_is_live_goes_on(world: World, viewer: Viewer) -> None:
    world.servers.influx.kill()
    try:
        answer = httpx.get(f"{world.url}{ROWS}", timeout=60, trust_env=False)
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        goes_on(world, viewer, BARS)
        # Somebody who comes now has the rows so far, too.
        with Viewers([later := viewer_of(world)]):
            world.until("rows of before", lambda: len(later.rows[BARS]) > 10)
        world.until("the figure", lambda: figure(world, "history_away") == 1)
        assert ready(world)
        world.until("live", lambda: state(viewer, BARS) == state(viewer, TAPE) == "live")
    finally:
        world.servers.influx.restart()
    world.until("history", lambda: httpx.get(f"{world.url}{ROWS}", trust_env=False, timeout=60).is_success)
    world.until("the figure", lambda: figure(world, "history_away") == 0)


def test_without_kafka_it_is_not_ready_and_says_so_then_resumes_without_a_hole(
    world: World, viewer: Viewer
) -> None:
    assert ready(world)
    since_ms = max(viewer.rows[BARS])
    world.servers.kafka.kill()
    began_s = time.monotonic()
    world.until("the state", lambda: state(viewer, BARS) == state(viewer, TAPE) == "away", AWAY_WITHIN_S)
    print(f"away was told after {time.monotonic() - began_s:.1f} s")
    world.until("not ready", lambda: not ready(world))
    world.servers.kafka.restart()
    world.until("ready", lambda: ready(world))
    world.until("live", lambda: state(viewer, BARS) == state(viewer, TAPE) == "live", 60)
    goes_on(world, viewer, BARS, 60)
    assert viewer.restarts == {}
    # More than once where librdkafka ends the process as its broker comes back (its issue 5280): it is
    # started again, and the cursor holds.
    print(f"connected {viewer.connections} times")
    none_missing(world, viewer, since_ms)


def test_a_kafka_that_was_frozen_and_knows_no_broker_for_a_moment_is_away_and_comes_back(
    world: World, viewer: Viewer
) -> None:
    since_ms = max(viewer.rows[BARS])
    world.servers.freeze("kafka")
    try:
        began_s = time.monotonic()
        world.until("the state", lambda: state(viewer, BARS) == "away", AWAY_WITHIN_S)
        # Longer than its controller waits for its broker's heartbeat.
        world.until("the end of its session", lambda: time.monotonic() > began_s + FENCED_S)
    finally:
        world.servers.thaw("kafka")
    world.until("ready", lambda: ready(world))
    world.until("live", lambda: state(viewer, BARS) == state(viewer, TAPE) == "live", 60)
    goes_on(world, viewer, BARS, 60)
    # The service has lived through it.
    assert viewer.restarts == {}
    none_missing(world, viewer, since_ms)


def test_without_a_producer_who_is_there_and_who_comes_is_told(world: World, viewer: Viewer) -> None:
    world.end_producer()
    both_stale(world, viewer)
    with Viewers([later := viewer_of(world)]):
        world.until("rows of before", lambda: later.rows[BARS])
        both_stale(world, later)
    assert ready(world)


def both_stale(world: World, viewer: Viewer) -> None:
    world.until("stale", lambda: state(viewer, BARS) == state(viewer, TAPE) == "stale")
    assert "nothing newer" in viewer.states[TAPE][2]


def test_a_topic_that_was_made_anew_is_a_restart_with_its_reason(world: World, viewer: Viewer) -> None:
    with Viewers([former := viewer_of(world)]):
        world.until("rows", lambda: former.rows[BARS] and former.rows[TAPE])
    assert viewer.restarts == former.restarts == {}
    made_anew(world)
    address, now_ms = world.servers.kafka.bootstrap_servers, int(time.time() * 1000)
    told = [
        trade(trade_id=number, trade_time_ms=now_ms + number, event_time_ms=now_ms, received_time_ms=now_ms)
        for number in range(5)
    ]
    publish(address, [(TRADES, KEY, each) for each in told])
    world.until("the restart", lambda: TAPE in viewer.restarts)
    assert viewer.restarts == {TAPE: ["the topic was made anew"]}
    world.until("the new rows", holds(viewer, now_ms))
    with Viewers([former]):
        world.until("the restart", lambda: TAPE in former.restarts)
        assert former.restarts == {TAPE: ["the topic was made anew since the cursor was given"]}
        world.until("the new rows", holds(former, now_ms))


def holds(viewer: Viewer, first_ms: int) -> Callable[[], Any]:
    return lambda: set(range(first_ms, first_ms + 5)) <= viewer.rows[TAPE].keys()


def made_anew(world: World) -> None:
    world.end_consumers()
    address = world.servers.kafka.bootstrap_servers
    admin = admin_of(address)
    admin.delete_topics([TRADES])[TRADES].result(30)
    world.until("its end", lambda: not incarnations_of(address, [TRADES], memory_broker=False))
    admin.create_topics([NewTopic(TRADES, 6, 1)])[TRADES].result(30)
