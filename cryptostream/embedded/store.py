"""The store of a run: a SQLite file, an InfluxDB named by the settings, or one of our own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptostream.engines.fetch import EngineUnavailable, find_influxd
from cryptostream.engines.influxdb import InfluxServer
from shared.errors import StoreMisconfigured
from shared.settings import Settings


@dataclass(slots=True)
class RunStore:
    """A store that is ready.

    Attributes:
        environment: the settings that name it, for the services.
        server: an InfluxDB that this run started.
    """

    title: str
    environment: dict[str, str]
    server: InfluxServer | None = None

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()

    def kill(self) -> None:
        if self.server is not None:
            self.server.kill()


def start_store(settings: Settings, sqlite_path: Path, influx_dir: Path, *, keep_all: bool) -> RunStore:
    """Settle where points go, and start an InfluxDB if none is named.

    Args:
        keep_all: nothing may expire, since the times are those of old recordings: second data go to the
            bucket without expiry too.

    Raises:
        StoreMisconfigured: InfluxDB is asked for, but none is named and none can be started.
    """
    environment: dict[str, str] = {"STORE": settings.store}
    if keep_all:
        environment["INFLUX_BUCKET_TICKS"] = settings.influx_bucket_market
    if settings.store == "sqlite":
        path = settings.sqlite_path or sqlite_path
        return RunStore(f"SQLite {_shortest(path)}", {**environment, "SQLITE_PATH": str(path)})
    if settings.influx_token.get_secret_value():
        return RunStore(f"InfluxDB {settings.influx_url}, as INFLUX_TOKEN is set", environment)
    if find_influxd() is None:
        raise StoreMisconfigured(
            "INFLUX_TOKEN: not set, and no InfluxDB is here to start; set INFLUX_URL and INFLUX_TOKEN, "
            "get one by `make engines`, or take --store sqlite"
        )
    try:
        server = InfluxServer(influx_dir)
    except EngineUnavailable as error:
        raise StoreMisconfigured(f"--store influxdb: {error}; take --store sqlite") from None
    environment |= {
        "INFLUX_URL": server.url,
        "INFLUX_ORG": server.org,
        "INFLUX_TOKEN": server.token,
        "INFLUX_TOKEN_FILE": "",  # it would win over the token
        "INFLUX_BUCKET_MARKET": "market",
        "INFLUX_BUCKET_TICKS": "market" if keep_all else "ticks",
    }
    return RunStore(
        f"InfluxDB {server.url}, started here (data: {_shortest(influx_dir)})", environment, server
    )


def _shortest(path: Path) -> str:
    return min(str(path), os.path.relpath(path), key=len)
