"""What the stream itself has stored, where there is a store: the other witness of a price."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing

from consumers.stores.factory import open_reader
from pipelines.snapshots.observation import EXCHANGE
from shared.errors import SettingsError, StoreError
from shared.intervals import INTERVAL_MS
from shared.settings import load_settings

_LOG = logging.getLogger(__name__)


def stream_closes(symbols: Sequence[str], slot_ms: int) -> Mapping[str, float]:
    """Closes of the stream's own 1m bars that end at a slot, by symbol; of those that the store has.

    A store that is away is no fault of the pipeline: then there is nothing to compare with.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        # What the stream is told wrongly costs the pipeline a comparison, not what it has just observed.
        _LOG.warning("prices are not compared with the stream's: %s", error)
        return {}
    if settings.store == "sqlite" and (settings.sqlite_path is None or not settings.sqlite_path.exists()):
        return {}
    open_ns = (slot_ms - INTERVAL_MS["1m"]) * 1_000_000
    found: dict[str, float] = {}
    try:
        with closing(open_reader(settings)) as reader:
            for symbol in symbols:
                tags = {"exchange": EXCHANGE, "symbol": symbol, "interval": "1m"}
                for row in reader.read("kline", tags, from_ns=open_ns, to_ns=open_ns + 1):
                    if row.get("close") is not None:
                        found[symbol] = float(row["close"])  # type: ignore[arg-type]  # a number by its declaration
    except StoreError as error:
        _LOG.info("prices are not compared with the stream's: %s", error)
        return {}
    return found
