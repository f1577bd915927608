"""The stream over a WebSocket, as a browser opens it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import anyio
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from api.limits import Limits
from api.live import Live, limits_of
from api.protocol import SUBPROTOCOL
from api.socket import DRAIN_S, PATH, stream_router
from consumers.tap.series import LiveSeries
from shared.settings import Settings
from tests.live_topics import KINDS, KLINE, START_MS, TRADE, FakeTaps, Page, Topic, subscribe
from tests.unit.api.api_parts import client as api_client
from tests.virtual_time import run_virtually

LIMITS: Final = Limits(frame_ms=10, credits=2)
HOST: Final = "127.0.0.1:8000"
ORIGIN: Final = {"host": HOST, "origin": f"http://{HOST}"}


SCOPE: Final = {
    "type": "websocket",
    "path": PATH,
    "query_string": b"",
    "headers": [(b"host", HOST.encode()), (b"sec-websocket-protocol", SUBPROTOCOL.encode())],
}
FRESHNESS: Final = LiveSeries("freshness", ("", "", "", ""))


class Service:
    """The stream behind a test client, over topics that the test appends to."""

    def __init__(self, *, most_clients: int = 3, **settings: Any) -> None:
        self.topics = {series: Topic(series) for series in (KLINE, TRADE, FRESHNESS)}
        self.taps: FakeTaps | None = None
        self.live = Live(self._make_taps, KINDS, LIMITS, most_clients=most_clients)
        self.app = FastAPI(lifespan=self._lifespan)
        self.app.include_router(stream_router(self.live, Settings(**settings)))

    def _make_taps(self, on_events: Any) -> FakeTaps:
        self.taps = FakeTaps(on_events, list(self.topics.values()))
        return self.taps

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> Any:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.live.run)
            yield
            tasks.cancel_scope.cancel()

    def append_bars(self, count: int) -> None:
        topic = self.topics[KLINE]
        for _ in range(count):
            number = len(topic.records)
            topic.append(START_MS + 60_000 * number, 1.0, float(number))
        assert self.taps is not None
        self.taps.read()


@contextmanager
def served(**options: Any) -> Iterator[tuple[Service, TestClient]]:
    service = Service(**options)
    with TestClient(service.app, base_url=f"http://{HOST}") as client:
        yield service, client


def connect(client: TestClient, *protocols: str, headers: dict[str, str] = ORIGIN) -> WebSocketTestSession:
    return client.websocket_connect(PATH, subprotocols=[SUBPROTOCOL, *protocols], headers=dict(headers))


def read_until(session: WebSocketTestSession, page: Page, done: Any) -> None:
    """Read and acknowledge until the page has what is waited for; the test's own timeout ends it."""
    while not done():
        message = session.receive_text()
        page.read(message)
        if message.startswith('{"frame"'):
            session.send_text(json.dumps({"ack": page.frames[-1]["frame"]}))


def closed(session: WebSocketTestSession) -> tuple[int, str]:
    with pytest.raises(WebSocketDisconnect) as caught:
        while True:
            session.receive_text()
    return caught.value.code, caught.value.reason


def bars_of(page: Page) -> list[float]:
    return [row[2] for row in page.series[1].came] if 1 in page.series else []


def test_a_plain_request_is_told_that_this_is_a_websocket() -> None:
    service = Service()
    router = stream_router(service.live, Settings())
    answer = api_client(stream=router).get(PATH)
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json()["detail"] == f"{PATH}: is a WebSocket; open it with the sub-protocol {SUBPROTOCOL}"


def test_bars_come_as_they_are_read_and_a_page_resumes_where_it_was() -> None:
    with served() as (service, client):
        service.append_bars(3)
        page = Page()
        with connect(client) as session:
            assert session.accepted_subprotocol == SUBPROTOCOL
            session.send_text(subscribe(KLINE))
            read_until(session, page, lambda: bars_of(page) == [0, 1, 2])
            service.append_bars(2)
            read_until(session, page, lambda: bars_of(page) == [0, 1, 2, 3, 4])
        service.append_bars(2)
        with connect(client) as session:
            session.send_text(subscribe(KLINE, since=page.series[1].cursor))
            read_until(session, page, lambda: bars_of(page) == [0, 1, 2, 3, 4, 5, 6])
        assert page.series[1].restarts == []
    assert service.taps is not None and service.taps.started and service.taps.closed


def test_without_acknowledgements_only_the_credits_are_sent() -> None:
    with served() as (service, client), connect(client) as session:
        session.send_text(subscribe(KLINE))
        service.append_bars(1)
        page = Page()
        while len(page.frames) < LIMITS.credits:
            page.read(session.receive_text())
            service.append_bars(1)
        session.send_text('{"time": 1}')
        assert json.loads(session.receive_text())["time"] == 1  # and no third frame before it
        session.send_text('{"ack": 2}')
        read_until(session, page, lambda: len(bars_of(page)) == len(service.topics[KLINE].records))
        assert service.live.clients()[0]["subscriptions"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HOST, "origin": "http://evil.example"},
        {"host": HOST, "origin": "null"},
        {"host": HOST, "origin": f"http://{HOST}.evil.example"},
        {"host": "rebound.example:8000", "origin": "http://rebound.example:8000"},
    ],
    ids=lambda headers: headers["origin"],
)
def test_pages_of_other_sites_are_refused_before_the_handshake(headers: dict[str, str]) -> None:
    with served() as (service, client):
        with pytest.raises(WebSocketDisconnect), connect(client, headers=headers):
            pytest.fail("accepted")
        assert service.live.clients() == []


def test_a_program_without_origin_is_served() -> None:
    with served() as (_, client), connect(client, headers={"host": HOST}) as session:
        session.send_text('{"time": 1}')
        assert json.loads(session.receive_text())["time"] == 1


@pytest.mark.parametrize("protocol", [None, "bearer.", "bearer.d3Jvbmc", "bearer.!!!", "bearer.c2VjcmV"])
def test_a_wrong_token_is_closed_with_a_reason(protocol: str | None) -> None:
    with (
        served(api_token="secret") as (service, client),
        connect(client, *([protocol] if protocol else [])) as session,
    ):
        code, reason = closed(session)
        assert code == 1008 and "API_TOKEN" in reason
        assert service.live.clients() == []


def test_the_token_is_a_sub_protocol() -> None:
    token = base64.urlsafe_b64encode("gehéim".encode()).decode().rstrip("=")
    with served(api_token="gehéim") as (_, client), connect(client, f"bearer.{token}") as session:
        assert session.accepted_subprotocol == SUBPROTOCOL
        session.send_text('{"time": 1}')
        assert json.loads(session.receive_text())["time"] == 1


def test_another_sub_protocol_is_closed_with_a_reason() -> None:
    with (
        served() as (_, client),
        client.websocket_connect(PATH, subprotocols=["cryptostream.v0"], headers=dict(ORIGIN)) as session,
    ):
        assert closed(session) == (1002, "ask for the sub-protocol cryptostream.v1")


def test_one_client_too_many_is_asked_to_come_later() -> None:
    with served(most_clients=1) as (_, client), connect(client), connect(client) as second:
        assert closed(second) == (1013, "1 clients are served already; try again later")


@pytest.mark.parametrize(
    ("message", "code"),
    [("[]", 1007), ("no json", 1007), ('{"time": 1}' + " " * 65_536, 1009)],
    ids=["1", "2", "3"],
)
def test_what_is_no_request_ends_the_connection(message: str, code: int) -> None:
    with served() as (service, client):
        with connect(client) as session:
            session.send_text(message)
            assert closed(session)[0] == code
        with connect(client) as session:  # and nothing else
            session.send_text('{"time": 1}')
            assert json.loads(session.receive_text())["time"] == 1
        assert len(service.live.hub.clients) <= 1


def test_bytes_that_are_a_request_are_one() -> None:
    with served() as (_, client), connect(client) as session:
        session.send_bytes(b'{"time": 1}')
        assert json.loads(session.receive_text())["time"] == 1
        session.send_bytes(b"\xff")
        assert closed(session)[0] == 1007


def test_a_series_that_is_not_read_is_refused_in_words() -> None:
    with served() as (_, client), connect(client) as session:
        session.send_text(subscribe(KLINE._replace(tags=("binance", "BTCUSDC", "5m"))))
        page = Page()
        read_until(session, page, lambda: page.errors)
        assert page.errors[0]["detail"] == "kline: binance/BTCUSDC/5m is not read; choose another"


@pytest.mark.thorough
def test_many_unread_answers_do_not_pile_up() -> None:
    with served() as (service, client), connect(client) as session:
        for number in range(3_000):
            session.send_text(f'{{"time": {number}}}')
        for number in range(3_000):
            assert json.loads(session.receive_text())["time"] == number
        assert all(not each.answers for each in service.live.hub.clients)


def test_rows_of_an_id_that_is_in_use_again_do_not_come_after_its_new_confirmation() -> None:
    service = Service()
    service.append_bars(2)
    blocked, unblock = asyncio.Event(), asyncio.Event()
    requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[str] = []

    def ask(*texts: str) -> None:
        for text in texts:
            requests.put_nowait({"type": "websocket.receive", "text": text})

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            sent.append(message["text"])
            if sent[-1].startswith('{"time"'):
                blocked.set()  # the network is slow, and rows are behind this answer
                await unblock.wait()

    async def conversation() -> None:
        loop = asyncio.get_running_loop()
        service.live.now_ms = lambda: loop.time() * 1000
        running = asyncio.create_task(service.live.run())
        requests.put_nowait({"type": "websocket.connect"})
        ask(subscribe(KLINE))
        connection = asyncio.create_task(service.app(SCOPE, requests.get, send))
        for _ in range(LIMITS.credits + 1):
            await asyncio.sleep(1)
            service.append_bars(1)
        await asyncio.sleep(1)
        ask(f'{{"ack": {LIMITS.credits}}}', '{"time": 1}')
        await blocked.wait()
        ask('{"unsubscribe": [1]}', subscribe(TRADE, 1))
        await asyncio.sleep(1)
        unblock.set()
        await asyncio.sleep(1)
        requests.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await connection
        running.cancel()
        await asyncio.wait([running])

    run_virtually(conversation())
    order = [next(iter(json.loads(text))) for text in sent]
    assert order[order.index("time") :][:3] == ["time", "frame", "subscribed"]
    assert not any('"rows":[[1,' in text for text in sent[order.index("time") + 2 :])


def test_a_socket_that_takes_nothing_is_closed_and_holds_nobody_up() -> None:
    service = Service()
    service.append_bars(1)

    async def connection(*, drains: bool) -> list[dict[str, Any]]:
        incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": subscribe(KLINE)}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not incoming:
                await asyncio.sleep(120)
                return {"type": "websocket.disconnect", "code": 1000}
            return incoming.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "websocket.send" and not drains:
                await asyncio.Event().wait()

        await service.app(SCOPE, receive, send)
        return sent

    async def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
        running = asyncio.create_task(service.live.run())
        slow = asyncio.create_task(connection(drains=False))
        quick = asyncio.create_task(connection(drains=True))
        await asyncio.sleep(DRAIN_S + 5)
        left = len(service.live.clients())
        ends = await slow, await quick
        running.cancel()
        await asyncio.wait([running])
        return *ends, left

    slow, quick, left = run_virtually(both())
    assert [each["type"] for each in slow] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert slow[-1]["code"] == 1008 and "nothing was taken for 30 s" in slow[-1]["reason"]
    assert any('"rows":[[1,' in each.get("text", "") for each in quick)
    assert left == 1


def test_latencies_become_rows_of_freshness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.live._FRESHNESS_S", 0.05)
    with served() as (service, client), connect(client) as session:
        session.send_text('{"subscribe": [{"id": 9, "series": "freshness"}]}')
        session.send_text(subscribe(KLINE))
        page = Page()
        service.append_bars(1)
        read_until(session, page, lambda: bars_of(page))
        service.append_bars(1)
        read_until(session, page, lambda: page.series[9].rows)
        [[_, exchange, stream, hop, instance, *_]] = list(page.series[9].rows.values())
        assert (exchange, stream, hop, instance) == ("binance", "kline", "pushed", "0")
        assert ("binance", "kline", "pushed") in service.live.freshness()
        assert [each.tags for each in service.live.snapshot("kline", (None, None, "1m"), 1)] == [KLINE.tags]


def test_limits_are_those_of_the_settings() -> None:
    settings = Settings(api_frame_ms=20, api_credits=3, api_trades_per_frame=7, api_backlog_rows=2_000)
    limits = limits_of(settings)
    assert (limits.frame_ms, limits.credits, limits.trades_per_frame, limits.backlog_rows) == (
        20,
        3,
        7,
        2_000,
    )


def test_a_client_who_is_gone_is_forgotten() -> None:
    with served() as (service, client):
        with suppress(WebSocketDisconnect), connect(client) as session:
            session.send_text(subscribe(KLINE))
            session.receive_text()
        with connect(client) as session:
            session.send_text('{"time": 1}')
            session.receive_text()
            assert len(service.live.clients()) == 1
