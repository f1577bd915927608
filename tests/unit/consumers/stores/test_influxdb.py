"""Every answer that a server may give, decided (STYLE §3); the real server is in tests/integration."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from pydantic import SecretStr

from consumers.measurements import QUOTE, Point, Series
from consumers.stores.influxdb import FEW, InfluxStore
from consumers.stores.influxdb_reader import InfluxReader
from consumers.stores.influxdb_requests import MAX_BYTES, MAX_LINES
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
        self.encodings: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body of an answer are two writes: the second would wait 40 ms for an acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                query = parse_qs(urlsplit(self.path).query)
                outer.encodings.append(self.headers.get("Content-Encoding"))
                if outer.encodings[-1] == "gzip":
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


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "requests"), [(FEW, 1), (FEW + 1, 1), (MAX_LINES, 1), (MAX_LINES + 1, 2), (2 * MAX_LINES, 2)]
)
def test_threads_send_only_where_there_is_something_to_encode_meanwhile(
    server: Exchange, store: InfluxStore, count: int, requests: int
) -> None:
    before = set(threading.enumerate())
    store.write(trades(count))
    senders = [each for each in threading.enumerate() if each.name.startswith("InfluxDB sender")]
    assert bool(set(senders) - before) == (count > FEW)
    assert [ids(lines) for _, lines in server.requests] == [
        list(range(begin, min(begin + MAX_LINES, count))) for begin in range(0, count, MAX_LINES)
    ]
    assert len(server.requests) == requests


class AtOnce:
    """Remembers which requests were inside at the same time: the first one waits there for a second.

    Attributes:
        most: the most requests at once.
        meetings: the symbols of each request, with those of the requests that were inside when it came.
        left: when each was answered.
    """

    def __init__(self, *, patience_s: float = 10.0, failing: int | None = None) -> None:
        self.most = 0
        self.meetings: list[tuple[set[str], list[set[str]]]] = []
        self.left: list[float] = []
        self._inside: list[set[str]] = []
        self._patience_s = patience_s
        self._failing = failing
        self._changed = threading.Condition()

    def __call__(self, lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        symbols = {line.partition("symbol=")[2].partition(" ")[0].partition(",")[0] for line in lines}
        with self._changed:
            number = len(self.meetings)
            self.meetings.append((symbols, list(self._inside)))
            self._inside.append(symbols)
            self.most = max(self.most, len(self._inside))
            self._changed.notify_all()
            if number == 0:
                self._changed.wait_for(lambda: self.most == 2, self._patience_s)
        if number != self._failing:
            time.sleep(0.1)  # the failing one is answered first, while others are on their way
        with self._changed:
            self._inside.remove(symbols)
            self.left.append(time.monotonic())
        return (503, {}, b"") if number == self._failing else NO_CONTENT


def of_symbols(symbols: str, count: int) -> list[Point]:
    """Trades, one of each symbol after another."""
    return [trade(symbols[number % len(symbols)], number) for number in range(count)]


def test_two_requests_are_on_their_way_at_once_and_never_two_of_a_series(
    server: Exchange, store: InfluxStore
) -> None:
    server.answer = seen = AtOnce()
    store.write(of_symbols("ABCD", 4 * MAX_LINES))
    assert seen.most == 2
    assert len(server.requests) == 4
    for symbols, others in seen.meetings:
        assert all(not symbols & other for other in others)
    lines = [line for _, lines in server.requests for line in lines]
    assert sorted(ids(lines)) == list(range(4 * MAX_LINES))
    for symbol in "ABCD":
        of_symbol = [line for line in lines if f"symbol={symbol} " in line]
        assert ids(of_symbol) == [ids([line])[0] for line in of_symbol], "in their order"


def test_requests_of_a_series_go_one_after_another_and_a_failure_ends_the_call(
    server: Exchange, store: InfluxStore
) -> None:
    server.answer = seen = AtOnce(patience_s=0.1, failing=1)
    with pytest.raises(StoreUnavailable):
        store.write(trades(4 * MAX_LINES))
    assert len(seen.meetings) == 2, "the third and fourth request went out all the same"
    store.write(trades(2 * MAX_LINES))
    assert seen.most == 1


def test_a_call_that_fails_ends_when_nothing_is_on_its_way_any_more(
    server: Exchange, store: InfluxStore
) -> None:
    """A late request would overwrite what another owner of the partitions writes next."""
    server.answer = seen = AtOnce(failing=1)
    with pytest.raises(StoreUnavailable):
        store.write(of_symbols("AB", 4 * MAX_LINES))
    ended_s = time.monotonic()
    assert seen.most == 2
    time.sleep(0.15)
    assert len(seen.left) == len(seen.meetings) < 4
    assert all(left_s <= ended_s for left_s in seen.left)


@pytest.mark.thorough
def test_points_refused_by_two_requests_at_once_are_told_in_their_order(
    server: Exchange, store: InfluxStore
) -> None:
    bad = {3, 4, 7_001, 9_998}

    def answer(lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        return said(400, "partial write: dropped=1") if bad & set(ids(lines)) else NO_CONTENT

    server.answer = answer
    with pytest.raises(PointsRejected) as caught:
        store.write(of_symbols("AB", 2 * MAX_LINES))
    assert [point.values[0] for point, _ in caught.value.rejected] == sorted(bad)
    assert set(ids(server.stored())) == set(range(2 * MAX_LINES)) - bad


def test_nothing_is_compressed_for_this_machine(server: Exchange, store: InfluxStore) -> None:
    store.write(trades(2))
    assert server.encodings == ["identity"]


def test_what_leaves_the_machine_is_compressed(server: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    port = urlsplit(server.url).port
    resolve = socket.getaddrinfo

    def elsewhere(host: str, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == "influxdb.test" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    store = InfluxStore(settings_for(f"http://influxdb.test:{port}"))
    store.check()
    store.write(trades(2))
    store.close()
    assert server.encodings == ["gzip", "gzip", "gzip"]
    assert ids(server.requests[-1][1]) == [0, 1]


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


def test_points_of_one_time_expire_together_each_once(server: Exchange, store: InfluxStore) -> None:
    def answer(lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        if min(int(line.rsplit(" ", 1)[1]) for line in lines) <= BASE_NS:
            return said(422, "partial write: dropped 5 points outside retention policy of duration 24h0m0s")
        return NO_CONTENT

    server.answer = answer
    old = [trade(f"S{number}", number, at_ns=BASE_NS) for number in range(9)]
    young = [trade("A", number, at_ns=BASE_NS + 1) for number in range(100, 103)]
    expired = store.write([*old, *young])
    assert sorted(point.series.tags for point in expired) == [point.series.tags for point in old]
    assert store.expired == 9
    assert set(ids(server.stored())) == {100, 101, 102}


def test_a_point_as_old_as_its_bucket_keeps_is_sent(server: Exchange, store: InfluxStore) -> None:
    store.write(hour_of_bars("A"))
    oldest_ns = store.oldest_kept_ns
    assert oldest_ns is not None
    assert store.write([trade("A", 1, at_ns=oldest_ns), trade("A", 2, at_ns=oldest_ns - 1)]) == [
        trade("A", 2, at_ns=oldest_ns - 1)
    ]
    assert ids(server.requests[-1][1]) == [1]


def test_what_is_known_to_be_too_old_is_not_sent_again_with_the_next_request(
    server: Exchange, store: InfluxStore
) -> None:
    def answer(lines: list[str]) -> tuple[int, dict[str, str], bytes]:
        if {7, 8} & set(ids(lines)):
            return said(422, "partial write: dropped 1 points outside retention policy of duration 24h0m0s")
        return NO_CONTENT

    server.answer = answer
    first, second = trade("A", 7, at_ns=BASE_NS - 1), trade("A", 8, at_ns=BASE_NS - 1)
    others = [trade("A", number) for number in range(10, 10 + MAX_LINES)]
    expired = store.write([first, *others[:-1], second, others[-1]])
    assert list(expired) == [first, second]
    assert ids(server.requests[-1][1]) == [10 + MAX_LINES - 1]


def test_points_that_nobody_could_read_back_are_refused_before_they_are_sent(
    server: Exchange, store: InfluxStore
) -> None:
    wrong = [trade("A", number, price="1") for number in (2, 4)]
    with pytest.raises(PointsRejected) as caught:
        store.write([trade("A", 1), wrong[0], trade("A", 3), wrong[1]])
    assert [point for point, _ in caught.value.rejected] == wrong
    assert ids(server.stored()) == [1, 3]


def test_times_of_this_host_say_nothing_of_the_exchanges(store: InfluxStore) -> None:
    quotes = Series(QUOTE, ("binance", "A"))
    store.write(
        [Point(quotes, BASE_NS + minute * 60 * 10**9, (1.0, 1.0, 1.0, 1.0, 1)) for minute in range(90)]
    )
    assert store.oldest_kept_ns is None
    store.write(hour_of_bars("A"))
    assert store.oldest_kept_ns == BASE_NS - 7 * DAY_NS


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
