"""hftbacktest's format: `<receive time, ns> <json>`, a combined frame or a bare REST depth body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from shared.errors import RecordingError
from simulator.recordings.items import Item, snapshot, spot_frame


def read(path: Path, lines: Iterable[str]) -> Iterator[Item]:
    """Frames and snapshots; a snapshot's symbol is that of the file name, since the body has none."""
    symbol_in_name = re.search(r"hft_(?:[a-z]+_)?([a-z0-9]+)_\d{8}", path.name)
    for number, line in enumerate(lines, 1):
        received_ns, _, text = line.partition(" ")
        message = orjson.loads(text)
        received_us = int(received_ns) // 1000
        if "lastUpdateId" not in message:
            yield spot_frame(received_us, text, message, path, number)
            continue
        if "T" in message:
            raise RecordingError(
                f"{path}, line {number}: an order book of Binance USD-M futures; "
                "only Binance spot can be replayed"
            )
        if symbol_in_name is None:
            raise RecordingError(
                f"{path}: the order book's symbol must stand in the name, as in hft_btcusdt_20240808.gz"
            )
        yield snapshot(symbol_in_name[1].upper(), received_us, message)
