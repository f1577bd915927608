"""An InfluxDB for a run to write to, set up by its HTTP API."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

from oracle.processes import OPENER, OracleError, Program, environment
from oracle.stores import Stored, read_influxdb

_UP_S: Final = 60.0
_ORG: Final = "crypto"
_TOKEN: Final = "token-of-the-oracle"
# (bucket, retention in seconds; 0: for ever)
_BUCKETS: Final = (("market", 0), ("ticks", 7 * 86_400))


class InfluxDB:
    """A running influxd, empty at first.

    Attributes:
        settings: its address and token, for the command under test.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        command = [str(influxd()), f"--http-bind-address=127.0.0.1:{port}"]
        command += ["--reporting-disabled", "--hardening-enabled", "--pprof-disabled"]
        for name in ("bolt", "engine", "sqlite"):
            command.append(f"--{name}-path={directory / name}")
        self._program = Program(command, directory, environment(), say_to=directory / "influxd.log")
        self._await()
        account = {"username": "oracle", "password": _TOKEN, "org": _ORG, "token": _TOKEN}
        made = self._post("/api/v2/setup", {**account, "bucket": _BUCKETS[0][0]})
        for name, keeps_s in _BUCKETS[1:]:
            rule = {"type": "expire", "everySeconds": keeps_s}
            body = {"orgID": made["org"]["id"], "name": name, "retentionRules": [rule]}
            self._post("/api/v2/buckets", body)
        self.settings = {"INFLUX_URL": self._url, "INFLUX_ORG": _ORG, "INFLUX_TOKEN": _TOKEN}

    def read(self) -> Stored:
        return read_influxdb(self._url, _ORG, _TOKEN, [name for name, _ in _BUCKETS])

    def freeze(self) -> None:
        """Stop answering until `thaw`."""
        self._program.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._program.send(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()

    def _await(self) -> None:
        give_up_s = time.monotonic() + _UP_S
        while time.monotonic() < give_up_s and self._program.process.poll() is None:
            try:
                with OPENER.open(f"{self._url}/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        self._program.kill()
        raise OracleError(f"InfluxDB does not start: {self._program.lines[-3:]}")

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Token {_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), headers)
        try:
            with OPENER.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise OracleError(f"InfluxDB {path}: {error.code} {error.read()[:200]!r}") from None


def influxd() -> Path:
    """The server's executable, from the cache that `make engines` fills; OracleError if there is none."""
    known = environment()
    cache = Path(known.get("XDG_CACHE_HOME") or Path(known["HOME"]) / ".cache") / "cryptostream" / "engines"
    engines = Path(known.get("CRYPTOSTREAM_ENGINES") or cache)
    found = sorted(engines.glob("influxdb-*/bin/influxd"))
    if not found:
        raise OracleError(f"no influxd in {engines}; get one by: make engines")
    return found[-1]
