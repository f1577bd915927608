"""Every answer that a server may give, decided (STYLE §3); the real server is in tests/integration."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from pydantic import SecretStr

from consumers.measurements import Point
from consumers.stores.influxdb import MAX_BYTES, MAX_LINES, InfluxStore
from consumers.stores.influxdb_reader import InfluxReader
from shared.errors import PointsRejected, StoreMisconfigured, StoreUnavailable
from shared.settings import Settings
from tests.store_contract import BASE_NS, DAY_NS, bar, hour_of_bars, trade

# Lines of one request → status, headers, body.
Answering = Callable[[list[str]], tuple[int, dict[str, str], bytes]]
NO_CONTENT: tuple[int, dict[str, str], bytes] = (204, {}, b"")


def said(
    status: int, message: str, code: str = "invalid", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """An answer in InfluxDB's form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, orjson.dumps({"code": code, "message": message})


class Exchange:
    """A server that answers as told and remembers what it was sent."""

    def __init__(self) -> None:
        self.answer: Answering = lambda _: NO_CONTENT
        self.requests: list[tuple[str, list[str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                query = parse_qs(urlsplit(self.path).query)
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                lines = body.decode().split("\n")
                outer.requests.append((query.get("bucket", [""])[0], lines))
                status, headers, answer = outer.answer(lines)
                if status == 0:  # cut
                    self.wfile.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\npart")
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stored(self) -> list[str]:
        """Lines of the requests that were answered by 204."""
        return [line for _, lines in self.requests if self.answer(lines)[0] == 204 for line in lines]


@pytest.fixture
def server() -> Iterator[Exchange]:
    server = Exchange()
    yield server
    server.close()


def settings_for(url: str) -> Settings:
    return Settings(_env_file=None, influx_url=url, influx_token=SecretStr("t"))


@pytest.fixture
def store(server: Exchange) -> Iterator[InfluxStore]:
    store = InfluxStore(settings_for(server.url))
    yield store
    store.close()


def trades(count: int) -> list[Point]:
    return [trade("A", number) for number in range(count)]


def ids(lines: list[str]) -> list[int]:
    return sorted(int(line.partition("trade_id=")[2].partition("i,")[0]) for line in lines)


def test_points_go_to_the_bucket_of_their_role(server: Exchange, store: InfluxStore) -> None:
    store.write([trade("A", 1), bar("A", "1s", 0), bar("A", "1m", 0)])
    sent = {bucket: [line.split(" ")[0] for line in lines] for bucket, lines in server.requests}
    assert sent == {
        "market": ["kline,exchange=binance,symbol=A,interval=1m"],
        "ticks": ["trade,exchange=binance,symbol=A", "kline,exchange=binance,symbol=A,interval=1s"],
    }


def test_requests_are_bounded_in_lines_and_bytes(server: Exchange, store: InfluxStore) -> None:
    store.write(trades(MAX_LINES + 1))
    assert [len(lines) for _, lines in server.requests] == [MAX_LINES, 1]
    server.requests.clear()
    store.write([trade("A" * 1000, number) for number in range(2000)])
    assert len(server.requests) == 3
    assert all(len("\n".join(lines)) <= MAX_BYTES for _, lines in server.requests)


def test_requests_go_one_after_another_and_a_failure_ends_the_call(
    server: Exchange, store: InfluxStore
) -> None:
    at_once: list[int] = []
    inside = 0

    def slow(_lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        time.sleep(0.05)
        inside -= 1
        return (503, {}, b"") if len(at_once) == 2 else NO_CONTENT

    server.answer = slow
    with pytest.raises(StoreUnavailable):
        store.write(trades(4 * MAX_LINES))
    assert at_once == [1, 1], "the third and fourth request went out all the same, or two at a time"
    store.write(trades(2 * MAX_LINES))
    assert at_once == [1, 1, 1, 1]


def test_nothing_is_sent_for_nothing(server: Exchange, store: InfluxStore) -> None:
    store.write([])
    store.write([trade("A", 1)._replace(values=(None,) * 4)])
    assert server.requests == []


def test_413_is_sent_again_in_halves(server: Exchange, store: InfluxStore) -> None:
    server.answer = lambda lines: (413, {}, b"too large") if len(lines) > 3 else NO_CONTENT
    store.write(trades(10))
    assert ids(server.stored()) == list(range(10))


def test_a_single_line_that_is_too_large_is_rejected(server: Exchange, store: InfluxStore) -> None:
    server.answer = lambda lines: (413, {}, b"") if any("=7i" in line for line in lines) else NO_CONTENT
    with pytest.raises(PointsRejected, match="413") as caught:
        store.write(trades(10))
    assert [point.values[0] for point, _ in caught.value.rejected] == [7]
    assert set(range(10)) - {7} <= set(ids(server.stored()))


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_batch_is_halved_until_each_line_is_decided(
    server: Exchange, store: InfluxStore, status: int
) -> None:
    bad = {3, 4, 700, 999}

    def answer(lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        if bad & set(ids(lines)):
            return said(status, "partial write: field type conflict dropped=1")
        return NO_CONTENT

    server.answer = answer
    with pytest.raises(PointsRejected, match=f"{status} partial write") as caught:
        store.write(trades(1000))
    assert [point.values[0] for point, _ in caught.value.rejected] == sorted(bad)
    assert set(ids(server.stored())) == set(range(1000)) - bad
    assert len(server.requests) < 100


def test_points_beyond_retention_are_expired_not_rejected_and_found_quickly(
    server: Exchange, store: InfluxStore
) -> None:
    def answer(lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        if min(ids(lines)) < 3000:
            return said(422, "partial write: dropped 5 points outside retention policy of duration 24h0m0s")
        return NO_CONTENT

    server.answer = answer
    assert sorted(cast(int, point.values[0]) for point in store.write(trades(4000))) == list(range(3000))
    assert store.expired == 3000
    assert set(ids(server.stored())) == set(range(3000, 4000))
    assert len(server.requests) < 40


def test_a_call_that_fails_counts_nothing_as_expired(server: Exchange, store: InfluxStore) -> None:
    store.write(hour_of_bars("A"))
    old = trade("A", 1, at_ns=BASE_NS - 8 * DAY_NS)
    server.answer = lambda _: (503, {}, b"")
    with pytest.raises(StoreUnavailable):
        store.write([old, trade("A", 2)])
    server.answer = lambda _: NO_CONTENT
    store.write([old, trade("A", 2)])
    assert store.expired == 1


@pytest.mark.parametrize(
    ("answer", "retry_after"),
    [
        (said(429, "too many requests", Retry_After="12"), 12.0),
        (said(503, "starting", Retry_After="0.5"), 0.5),
        (said(503, "starting", Retry_After="99999999"), 300.0),
        (said(503, "starting", Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (said(500, "internal error"), None),
        ((502, {}, b"<html>Bad Gateway</html>"), None),
        ((503, {}, b"\xff\xfe"), None),
        ((200, {}, b"<html>some other server</html>"), None),
        ((302, {"Location": "/login"}, b""), None),
        ((400, {}, b"<html>a proxy that knows no gzip</html>"), None),
    ],
)
def test_what_time_may_change_is_unavailable(
    server: Exchange,
    store: InfluxStore,
    answer: tuple[int, dict[str, str], bytes],
    retry_after: float | None,
) -> None:
    server.answer = lambda _: answer
    with pytest.raises(StoreUnavailable, match=rf"^INFLUX_URL: {server.url} answers {answer[0]}") as caught:
        store.write(trades(2))
    assert caught.value.retry_after == retry_after
    assert len(server.requests) == 1, "retrying is the caller's"


@pytest.mark.parametrize(
    ("answer", "setting"),
    [
        (said(401, "unauthorized access", "unauthorized"), "INFLUX_TOKEN"),
        (said(403, "insufficient permissions for write", "forbidden"), "INFLUX_TOKEN"),
        (said(404, 'organization name "x" not found', "not found"), "INFLUX_ORG"),
        (said(404, 'bucket "ticks" not found', "not found"), "INFLUX_BUCKET_TICKS"),
        ((404, {}, b"<html>nginx</html>"), "INFLUX_URL"),
        ((403, {}, b""), "INFLUX_URL"),
    ],
)
def test_a_wrong_set_up_names_the_setting_to_blame(
    server: Exchange, store: InfluxStore, answer: tuple[int, dict[str, str], bytes], setting: str
) -> None:
    server.answer = lambda _: answer
    with pytest.raises(StoreMisconfigured, match=rf"^{setting}: [^\n]*$"):
        store.write(trades(2))


def test_a_cut_answer_is_unavailable(server: Exchange, store: InfluxStore) -> None:
    server.answer = lambda _: (0, {}, b"")
    with pytest.raises(StoreUnavailable, match=r"^INFLUX_URL: no answer from"):
        store.write(trades(2))


def test_a_refused_connection_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for work in (
            InfluxStore(settings_for(url)).check,
            lambda: InfluxStore(settings_for(url)).write(trades(1)),
            lambda: list(InfluxReader(settings_for(url)).read("trade", {})),
        ):
            with pytest.raises(StoreUnavailable, match=rf"^INFLUX_URL: no answer from {url} \([^\n]*\)"):
                work()


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "ftp://127.0.0.1"])
def test_a_url_that_cannot_be_used_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(StoreMisconfigured, match=r"^INFLUX_URL: "):
        InfluxStore(settings_for("http://x").model_copy(update={"influx_url": url})).check()


@pytest.mark.parametrize("token", ["", "abc\ndef", "tökén"])
def test_a_token_that_cannot_be_sent_is_a_wrong_setting_and_stays_secret(token: str) -> None:
    settings = settings_for("http://127.0.0.1:1").model_copy(update={"influx_token": SecretStr(token)})
    with pytest.raises(StoreMisconfigured, match=r"^INFLUX_TOKEN: ") as caught:
        InfluxStore(settings)
    assert not token or token not in str(caught.value)


def test_a_query_that_breaks_off_is_unavailable(server: Exchange) -> None:
    reader = InfluxReader(settings_for(server.url))
    for body in (b"error,reference\r\nout of memory,897\r\n", b"<html>\r\n", b",result,table\r\n,a\r\n"):

        def answer(_lines: list[str], body: bytes = body) -> tuple[int, dict[str, str], bytes]:
            return 200, {"Content-Type": "text/csv"}, body

        server.answer = answer
        with pytest.raises(StoreUnavailable, match=r"^INFLUX_URL: "):
            list(reader.read("trade", {}))


@pytest.mark.parametrize("work", ["write", "read"])
def test_a_tls_failure_is_told_as_one(server: Exchange, work: str) -> None:
    """A server without TLS at an https address; a false certificate comes the same way."""
    url = server.url.replace("http://", "https://user:s3cret@")
    with pytest.raises(StoreUnavailable) as caught:
        if work == "write":
            InfluxStore(settings_for(url)).write(trades(1))
        else:
            list(InfluxReader(settings_for(url)).read("trade", {}))
    said = str(caught.value)
    assert said.startswith("INFLUX_URL: no TLS with https://***@127.0.0.1")
    assert "wrong version number" in said.lower().replace("_", " ")
    assert "answers 0" not in said
    assert "s3cret" not in said


SPANS = (
    b",result,table,_time,exchange,symbol\r\n"
    b",first,0,2026-08-03T14:25:00Z,binance,A\r\n,last,0,2026-08-03T14:25:00Z,binance,A\r\n"
)
FOREIGN = (
    b",result,table,_time,exchange,symbol,price,trade_id,note,buyer_is_maker\r\n"
    b",,0,2026-08-03T14:25:00Z,binance,A,1.5,7.5,hello,true\r\n"
)


def test_what_another_program_wrote_is_left_out_and_said(
    server: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter((SPANS, FOREIGN))
    server.answer = lambda _: (200, {"Content-Type": "text/csv"}, next(answers))
    (row,) = InfluxReader(settings_for(server.url)).read("trade", {})
    assert {name: row.get(name) for name in ("price", "trade_id", "note", "buyer_is_maker")} == {
        "price": 1.5,
        "trade_id": None,
        "note": None,
        "buyer_is_maker": True,
    }
    ticks = "INFLUX_BUCKET_TICKS: bucket ticks: field"
    assert [record.getMessage() for record in caplog.records] == [
        f"{ticks} trade_id of trade has a value of another program ('7.5'); left out",
        f"{ticks} note of trade has a value of another program ('hello'); left out",
    ]


def test_a_query_that_foreign_fields_break_names_the_bucket(server: Exchange) -> None:
    server.answer = lambda _: said(400, 'runtime error: pivot: value "x" appears in a column key column')
    with pytest.raises(StoreMisconfigured, match=r"^INFLUX_BUCKET_TICKS: bucket ticks holds data of another"):
        list(InfluxReader(settings_for(server.url)).read("trade", {}))
