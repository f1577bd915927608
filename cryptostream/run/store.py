"""The store of a run, a SQLite file or an InfluxDB of its own or of the settings; and the readers of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from consumers.stores.port import Reader, Row
from cryptostream.processes.server import EngineUnavailable, require_engines
from shared.errors import StoreMisconfigured, StoreUnavailable
from shared.settings import Settings

if TYPE_CHECKING:
    from cryptostream.engines.influxdb import InfluxServer

# A frozen InfluxDB takes half a minute per query to time out, and the end of a run has dozens of queries.
_SILENT_S: Final = 60.0


@dataclass(slots=True)
class RunStore:
    """A store that is ready.

    Attributes:
        environment: its settings for the services.
        server: the InfluxDB, if this run started it.
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
    """Choose the store; start an InfluxDB if the settings name none.

    Args:
        keep_all: the times are those of old recordings and must not expire: second data go to the bucket
            without expiry too.

    Raises:
        StoreMisconfigured: the store is InfluxDB, none is named and none can be started.
    """
    environment: dict[str, str] = {"STORE": settings.store}
    if keep_all:
        environment["INFLUX_BUCKET_TICKS"] = settings.influx_bucket_market
    if settings.store == "sqlite":
        path = settings.sqlite_path or sqlite_path
        return RunStore(f"SQLite {_shortest(path)}", {**environment, "SQLITE_PATH": str(path)})
    if settings.influx_token.get_secret_value():
        return RunStore(f"InfluxDB {settings.influx_url}, as INFLUX_TOKEN is set", environment)
    try:
        require_engines()
        from cryptostream.engines.fetch import find_influxd  # noqa: PLC0415 - not part of the image
        from cryptostream.engines.influxdb import InfluxServer  # noqa: PLC0415

        if find_influxd() is None:
            raise StoreMisconfigured(
                "INFLUX_TOKEN: not set, and no InfluxDB is here to start; set INFLUX_URL and INFLUX_TOKEN, "
                "get one by `make engines`, or take --store sqlite"
            )
        server = InfluxServer(influx_dir)
    except EngineUnavailable as error:
        raise StoreMisconfigured(
            f"--store influxdb: {error}; set INFLUX_URL and INFLUX_TOKEN, or take --store sqlite"
        ) from None
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


class Readers:
    """Opens readers that share one time-out: for a minute after no answer they all fail at once.

    Args:
        open_reader: opens one; each has its own connection.
        clock_s: seconds of a monotonic clock.
    """

    def __init__(
        self, open_reader: Callable[[], Reader], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open_reader
        self._clock_s = clock_s
        self._silent: tuple[float, StoreUnavailable] | None = None

    def __call__(self) -> Reader:
        """Raises: StoreUnavailable, StoreMisconfigured, as `open_reader`."""
        self.require_answering()
        try:
            return _SharedTimeout(self._open(), self)
        except StoreUnavailable as error:
            self.note_silence(error)
            raise

    def require_answering(self) -> None:
        """Raises: StoreUnavailable: the store did not answer within the last minute."""
        if self._silent is not None and self._clock_s() - self._silent[0] < _SILENT_S:
            raise StoreUnavailable(str(self._silent[1]))

    def note_silence(self, error: StoreUnavailable) -> None:
        self._silent = self._clock_s(), error


class _SharedTimeout:
    """A reader that reports time-outs to its owner."""

    def __init__(self, reader: Reader, owner: Readers) -> None:
        self._reader = reader
        self._owner = owner

    def read(self, measurement: str, tags: Mapping[str, str], **limits: Any) -> Iterator[Row]:
        self._owner.require_answering()
        try:
            yield from self._reader.read(measurement, tags, **limits)
        except StoreUnavailable as error:
            self._owner.note_silence(error)
            raise

    def close(self) -> None:
        self._reader.close()
