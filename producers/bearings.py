"""Where each series of an instrument stands when a producer starts (DESIGN §5.5)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import UsageError


@dataclass(slots=True)
class SeriesBearings:
    """What is on the topic of one series already.

    Attributes:
        last_id: up to here nothing is missing; a trade id, or a bar's open time in ms.
        later: (id, event time in ms) of the records above it, in topic order.
    """

    last_id: int
    later: list[tuple[int, int]] = field(default_factory=list)


def trades_series(exchange: str, symbol: str) -> str:
    """Name of a series of trades, as on `pipeline.progress`."""
    return f"{exchange}:{symbol}:trades"


def klines_series(exchange: str, symbol: str, interval: str) -> str:
    """Name of a series of bars, as on `pipeline.progress`."""
    return f"{exchange}:{symbol}:klines:{interval}"


def read_bearings_file(path: Path) -> dict[str, SeriesBearings]:
    """Bearings of the embedded mode: a JSON object, series → last id.

    Raises:
        UsageError: the file cannot be read or is no such object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--bearings: {path} cannot be read ({error.strerror}); name a file that exists"
        ) from None
    except ValueError as error:
        raise UsageError(
            f"--bearings: {path} is not JSON ({error}); write series names and last ids"
        ) from None
    if not isinstance(content, dict) or not all(type(last_id) is int for last_id in content.values()):
        raise UsageError(
            f'--bearings: {path} must be a JSON object like {{"binance:BTCUSDC:trades": 4711}}, integers only'
        )
    return {series: SeriesBearings(last_id) for series, last_id in content.items()}
