"""The store that the settings name.

InfluxDB's client is imported where it is used: it takes each process of a run 20 MB and a fifth of a second.
"""

from __future__ import annotations

from pathlib import Path

from consumers.stores.port import Reader, Store
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from consumers.stores.storable import TICKS_EXPIRY_NS
from shared.errors import SettingsError
from shared.settings import Settings


def open_store(settings: Settings, *, ticks_expiry_ns: int | None = TICKS_EXPIRY_NS) -> Store:
    """The store to write to; an InfluxDB is checked at once.

    Args:
        ticks_expiry_ns: how long `ticks` keeps points, None for ever (a replay of old recordings).

    Raises:
        SettingsError: SQLITE_PATH is not set.
        StoreUnavailable, StoreMisconfigured: the store cannot be used.
    """
    if settings.influx_bucket_market == settings.influx_bucket_ticks:
        ticks_expiry_ns = None  # one bucket for both has no expiry, whatever the store
    if settings.store == "sqlite":
        return SqliteStore(
            _sqlite_path(settings), ticks_expiry_ns=ticks_expiry_ns, synchronous=settings.sqlite_synchronous
        )
    from consumers.stores.influxdb import InfluxStore  # noqa: PLC0415

    store = InfluxStore(settings, ticks_expiry_ns=ticks_expiry_ns)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def open_reader(settings: Settings) -> Reader:
    """The store to read from.

    Raises:
        SettingsError: SQLITE_PATH is not set.
        StoreUnavailable, StoreMisconfigured: the store cannot be used.
    """
    if settings.store == "sqlite":
        return SqliteReader(_sqlite_path(settings))
    from consumers.stores.influxdb_reader import InfluxReader  # noqa: PLC0415

    return InfluxReader(settings)


def _sqlite_path(settings: Settings) -> Path:
    if settings.sqlite_path is None:
        raise SettingsError("SQLITE_PATH: not set; name the file of the store, or set STORE=influxdb")
    return settings.sqlite_path
