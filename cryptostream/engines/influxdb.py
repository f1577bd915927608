"""A real InfluxDB 2 on this machine, set up with organisation, buckets and a token (STACK.md §4.2)."""

from __future__ import annotations

import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import orjson

from cryptostream.engines.fetch import fetch_influxd
from cryptostream.processes.server import EngineUnavailable, LocalServer, ServerProcess
from shared.proxies import direct

ORG: Final = "crypto"
_TICKS_EXPIRY_S: Final = 7 * 86_400
_FOUR_WEEKS_S: Final = 28 * 86_400


def start_influxd(directory: Path, port: int) -> ServerProcess:
    """A server that answers on 127.0.0.1, with its data in the directory; not set up yet.

    Raises:
        EngineUnavailable: it can neither be found nor built, or does not come up.
    """
    program = fetch_influxd()
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        str(program),
        f"--bolt-path={directory / 'bolt'}",
        f"--engine-path={directory / 'engine'}",
        # It keeps notebooks and the like, which are not used; Flux could open a file of it.
        "--sqlite-path=:memory:",
        f"--http-bind-address=127.0.0.1:{port}",
        "--reporting-disabled",
        # Without it any token's Flux reaches this machine's other servers and files (docs/security.md).
        "--hardening-enabled",
        # Profiles show stacks, command line and memory samples without a token.
        "--pprof-disabled",
        "--log-level=error",
    ]
    return ServerProcess("InfluxDB", command, directory / "influxd.log", lambda: _answers(port))


def _answers(port: int) -> bool:
    try:
        with direct().open(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class InfluxServer(LocalServer):
    """A running influxd with the buckets `market` (no expiry) and `ticks` (7 days).

    Attributes:
        url, org, token: what a client needs; the token may do everything.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        """Build influxd if need be, start it, set it up if the directory is new.

        Raises:
            EngineUnavailable: it can neither be found nor built, or does not come up.
        """
        super().__init__(directory, port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.org = ORG
        self.token = ""
        self._set_up()

    def _start(self) -> ServerProcess:
        return start_influxd(self.directory, self.port)

    def create_bucket(self, name: str, expiry_s: int = 0, shard_s: int = _FOUR_WEEKS_S) -> None:
        """Create a bucket; `expiry_s` 0 keeps points for ever."""
        organisations = self._call("GET", f"/api/v2/orgs?org={self.org}")
        rule = {"type": "expire", "everySeconds": expiry_s, "shardGroupDurationSeconds": shard_s}
        bucket = {"orgID": organisations["orgs"][0]["id"], "name": name, "retentionRules": [rule]}
        self._call("POST", "/api/v2/buckets", bucket)

    def _set_up(self) -> None:
        token_file = self.directory / "token"
        if token_file.exists():
            self.token = token_file.read_text(encoding="utf-8")
            return
        self.token = secrets.token_urlsafe(32)
        account = {"username": "admin", "password": secrets.token_urlsafe(24), "org": self.org}
        self._call("POST", "/api/v2/setup", {**account, "bucket": "market", "token": self.token})
        self.create_bucket("ticks", _TICKS_EXPIRY_S, 86_400)
        token_file.touch(mode=0o600)
        token_file.write_text(self.token, encoding="utf-8")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with direct().open(request, timeout=30) as answer:
                return orjson.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise EngineUnavailable(
                f"InfluxDB {method} {path}: {error.code} {error.read()[:200]!r}"
            ) from None
