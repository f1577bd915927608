"""An InfluxDB without a user, set up as the stack's init services do it; for tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptostream.engines.influxdb import start_influxd
from cryptostream.processes.server import ServerProcess, free_port
from influxdb.provision import secrets as secret_files
from influxdb.provision.declaration import Declaration, Task, read_declaration
from influxdb.provision.influxdb import Provisioning
from influxdb.provision.secrets import Given, prepare, read_secret
from tests.conftest import ROOT

TASK = """option task = {name: "hourly", every: 1h}
from(bucket: "market") |> range(start: -1h) |> to(bucket: "market")
"""
WRITER, READER = "writer/influx-writer-token", "grafana/influx-reader-token"


class Deployment:
    """An InfluxDB without a user, and the volumes of secrets beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secrets = directory / "secrets"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        declared = read_declaration(ROOT / "influxdb")
        self.declared = Declaration(
            declared.organization, declared.buckets, declared.tokens, (Task("hourly", "hourly.flux", TASK),)
        )
        self.given = Given(None, None)
        self.server = self.start("data")
        self.new_secrets()

    def start(self, data: str) -> ServerProcess:
        return start_influxd(self.directory / data, self.port)

    def lose_data(self, data: str) -> None:
        """Another volume in the place of the old one."""
        self.server.stop()
        self.server = self.start(data)

    def new_secrets(self) -> None:
        """An empty volume of secrets."""
        for name in ("operator", "writer", "grafana", "prefect", "prefect-api"):
            (self.secrets / name).mkdir(parents=True, exist_ok=True)
            for path in (self.secrets / name).iterdir():
                path.unlink()

    def init(self) -> list[str]:
        """A start of the stack: secrets-init, then influx-init; what the second one says."""
        said: list[str] = []
        prepare(self.secrets, self.given)
        Provisioning(self.url, self.declared, self.secrets, self.given, said.append).run()
        return said

    def token(self, name: str) -> str:
        value = read_secret(self.secrets, name)
        assert value
        return value

    def call(
        self, method: str, path: str, token: str, body: str = "", kind: str = "text/plain"
    ) -> tuple[int, str]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=body.encode() or None,
            headers={"Authorization": f"Token {token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def write(self, token: str, bucket: str, line: str = "probe value=1") -> int:
        return self.call("POST", f"/api/v2/write?org=crypto&bucket={bucket}", token, line)[0]

    def query(self, token: str, bucket: str) -> tuple[int, str]:
        flux = f'from(bucket: "{bucket}") |> range(start: 0) |> keep(columns: ["_value"])'
        return self.call("POST", "/api/v2/query?org=crypto", token, flux, "application/vnd.flux")

    def listed(self, what: str) -> list[dict[str, Any]]:
        _, text = self.call("GET", f"/api/v2/{what}", self.token(secret_files.OPERATOR_TOKEN))
        found: list[dict[str, Any]] = json.loads(text)[what]
        return found
