"""What a token that is meant for points alone gets out of InfluxDB: nothing of this machine."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cryptostream.processes.server import EngineUnavailable
from tests.deployment import READER, WRITER, Deployment

pytestmark = pytest.mark.integration

TOKENS = (pytest.param(READER, id="read-only"), pytest.param(WRITER, id="write-only"))
ROWS = 'array.from(rows: [{_time: now(), _measurement: "m", _field: "f", _value: 1.0}])'
# Every way that Flux knows to a server of one's choice, AT its host and port.
REACHING = {
    "requests.get": """import "http/requests"
import "array"
answer = requests.get(url: "http://AT/secret")
array.from(rows: [{status: answer.statusCode, body: string(v: answer.body)}])""",
    "requests.post": """import "http/requests"
import "array"
answer = requests.post(url: "http://AT/change", body: bytes(v: "x"))
array.from(rows: [{status: answer.statusCode}])""",
    "http.post": """import "http"
import "array"
array.from(rows: [{status: http.post(url: "http://AT/change", data: bytes(v: "x"))}])""",
    "experimental http.get": """import "experimental/http"
import "array"
array.from(rows: [{status: http.get(url: "http://AT/secret").statusCode}])""",
    "from(host:)": """from(bucket: "market", host: "http://AT", org: "crypto", token: "t")
  |> range(start: -1h)""",
    "to(host:)": f"""import "array"
{ROWS} |> to(bucket: "market", host: "http://AT", org: "crypto", token: "t")""",
    "prometheus.scrape": """import "experimental/prometheus"
prometheus.scrape(url: "http://AT/metrics")""",
    "socket.from": """import "socket"
socket.from(url: "tcp://AT", decoder: "line")""",
    "csv.from(url:)": """import "experimental/csv"
csv.from(url: "http://AT/points.csv")""",
    "postgres": """import "sql"
dsn = "postgresql://u:p@AT/d?sslmode=disable"
sql.from(driverName: "postgres", dataSourceName: dsn, query: "SELECT 1")""",
    "mysql": """import "sql"
sql.from(driverName: "mysql", dataSourceName: "u:p@tcp(AT)/d", query: "SELECT 1")""",
}


class Listener:
    """A server beside InfluxDB, as another container or program of this machine is one.

    Attributes:
        reached: how many connections it was given.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.reached = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            self.reached += 1
            with closing(connection):
                connection.settimeout(1)
                try:
                    connection.recv(4096)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret"
                    )
                except OSError:
                    continue

    def close(self) -> None:
        # `shutdown` wakes the thread that accepts.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The project's own start of InfluxDB, with the tokens that its init service makes."""
    try:
        found = Deployment(tmp_path_factory.mktemp("influxdb"))
    except EngineUnavailable as error:
        pytest.skip(str(error))
    found.init()
    yield found
    found.server.stop()


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


def ask(deployment: Deployment, token: str, flux: str) -> tuple[int, str]:
    return deployment.call(
        "POST", "/api/v2/query?org=crypto", deployment.token(token), flux, "application/vnd.flux"
    )


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
@pytest.mark.parametrize("way", REACHING)
def test_flux_reaches_no_server_of_this_machine(
    deployment: Deployment, listener: Listener, token: str, host: str, way: str
) -> None:
    status, answer = ask(deployment, token, REACHING[way].replace("AT", f"{host}:{listener.port}"))
    assert listener.reached == 0, answer
    # It was understood, and refused for what it asks.
    assert status >= 400, answer
    assert "undefined identifier" not in answer and "invalid import" not in answer, answer


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's database, which influxd's user may read and write."""
    path = tmp_path / "victim.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE kept (word TEXT)")
        connection.execute("INSERT INTO kept VALUES ('secret')")
    return path


def words(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM kept")]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("name", ["{path}", "file:{path}", "file:{path}?mode=rwc", "file://localhost{path}"])
def test_flux_neither_reads_nor_changes_nor_makes_a_file(
    deployment: Deployment, victim: Path, token: str, name: str
) -> None:
    def sql(path: Path, query: str) -> str:
        return (
            f'import "sql"\nsql.from(driverName: "sqlite3", dataSourceName: "{name.format(path=path)}", '
            f'query: "{query}")'
        )

    status, answer = ask(deployment, token, sql(victim, "SELECT word FROM kept"))
    assert status >= 400 and "secret" not in answer
    for change in ("INSERT INTO kept VALUES ('changed')", "DELETE FROM kept"):
        assert ask(deployment, token, sql(victim, change))[0] >= 400
    fresh = victim.with_name("fresh.db")
    assert ask(deployment, token, sql(fresh, "CREATE TABLE made (word TEXT)"))[0] >= 400
    insert = (
        'import "array"\nimport "sql"\narray.from(rows: [{word: "changed"}]) '
        f'|> sql.to(driverName: "sqlite3", dataSourceName: "{name.format(path=victim)}", table: "kept")'
    )
    assert ask(deployment, token, insert)[0] >= 400
    assert words(victim) == ["secret"]
    assert not fresh.exists()


@pytest.mark.parametrize("token", TOKENS)
def test_flux_reads_no_file_as_text(deployment: Deployment, victim: Path, token: str) -> None:
    status, answer = ask(deployment, token, f'import "csv"\ncsv.from(file: "{victim}", mode: "raw")')
    assert status >= 400 and "secret" not in answer


def test_the_server_has_no_file_that_sqlite_would_open(deployment: Deployment) -> None:
    """The check of `sql.from` is one of addresses: a path that begins with one of the internet passes it."""
    files = [path for path in deployment.directory.rglob("*") if path.is_file()]
    assert any(path.name == "bolt" for path in files)
    assert [path for path in files if path.read_bytes()[:15] == b"SQLite format 3"] == []


def test_what_the_hardening_of_this_version_does_not_see(deployment: Deployment, victim: Path) -> None:
    """A limit that docs/security.md states: once this fails, InfluxDB has closed it and the page is wrong."""
    flux = 'import "sql"\nsql.from(driverName: "sqlite3", dataSourceName: "//8.8.8.8/..{}", query: "{}")'
    status, answer = ask(deployment, READER, flux.format(victim, "SELECT word FROM kept"))
    assert status == 200 and "secret" in answer
    # Of the server's own files none is one that it would open.
    own = [path for path in deployment.directory.rglob("*") if path.is_file() and path.stat().st_size > 0]
    for path in own:
        for query in ("SELECT * FROM sqlite_master", "CREATE TABLE theirs (word TEXT)"):
            before = path.read_bytes() if path.name == "bolt" else b""
            assert ask(deployment, READER, flux.format(path, query))[0] >= 400, path
            assert not before or path.read_bytes() == before
    assert deployment.write(deployment.token(WRITER), "ticks") == 204


def test_tokens_do_what_they_are_for(deployment: Deployment) -> None:
    assert deployment.write(deployment.token(WRITER), "ticks") == 204
    assert deployment.write(deployment.token(READER), "ticks") == 403
    status, answer = deployment.query(deployment.token(READER), "ticks")
    assert status == 200 and answer.split()[-1].endswith(",1")
    # A column of what is to come, as dashboards make it.
    flux = """import "array"
import "date"
import "influxdata/influxdb/schema"
a = schema.tagValues(bucket: "ticks", tag: "_measurement")
b = array.from(rows: [{_value: string(v: date.year(t: 2026-01-01T00:00:00Z))}])
union(tables: [a, b])"""
    status, answer = ask(deployment, READER, flux)
    assert status == 200 and "probe" in answer and "2026" in answer


@pytest.mark.parametrize("name", ["cmdline", "all", "goroutine?debug=2", "heap?debug=1", "profile?seconds=1"])
def test_its_process_is_shown_to_nobody(deployment: Deployment, name: str) -> None:
    status, answer = deployment.call("GET", f"/debug/pprof/{name}", token="")
    assert status == 403, answer[:200]
