"""One server with one history for all tests of dashboards and alert rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import urllib3

from consumers.stores.influxdb import InfluxStore
from grafana.model import Dashboard
from grafana.render import dashboard
from shared.settings import Settings
from tests.conftest import Influx, real_influx
from tests.integration.grafana.asking import Asking, Choice, opened
from tests.integration.grafana.history import recent_end_ms, write_history

SPAN_MS = {"now-15m": 900_000, "now-1h": 3_600_000, "now-3h": 10_800_000}


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """A server of this folder's own, with the stack's buckets."""
    with real_influx(tmp_path_factory.mktemp("grafana-influx")) as started:
        yield Influx(started.url, started.org, started.token)


def api(server: Influx, method: str, path: str, body: object = None) -> Any:
    answer = urllib3.request(
        method,
        f"{server.url}/api/v2/{path}",
        headers={"Authorization": f"Token {server.token}", "Content-Type": "application/json"},
        timeout=60,
        body=None if body is None else orjson.dumps(body),
    )
    assert answer.status < 300, answer.data
    return orjson.loads(answer.data or b"null")


def store_of(server: Influx, **buckets: Any) -> InfluxStore:
    return InfluxStore(
        Settings(
            _env_file=None,
            store="influxdb",
            influx_url=server.url,
            influx_org=server.org,
            influx_token=server.token,
            **buckets,
        )
    )


@dataclass(frozen=True)
class History:
    """The written history, and how viewers see it."""

    server: Influx
    end_ms: int

    def opened(self, board: Dashboard, *, before_ms: int = 0, **choices: Choice) -> Asking:
        """A dashboard as it is opened at the end of the history, or some time before it."""
        stop_ms = self.end_ms - before_ms
        viewer = Asking(self.server, stop_ms - SPAN_MS[board.span], stop_ms, {})
        return opened(viewer, dashboard(board), **choices)

    def over(self, seconds: int) -> Asking:
        """The last `seconds`, without choices."""
        return Asking(self.server, self.end_ms - seconds * 1000, self.end_ms, {})


@pytest.fixture(scope="package")
def history(server: Influx) -> History:
    end_ms = recent_end_ms()
    write_history(store_of(server), end_ms)
    return History(server, end_ms)
