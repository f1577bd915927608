"""All that others have made and benchmarks run beside ours: versions, licences, and how each is had.

None of them is in our packages or images; each is got when a benchmark first needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pin:
    """One peer.

    Attributes:
        licence: as its package says.
        got: how, and what it needs.
        used: by the parts of `make bench` that have it.
    """

    name: str
    version: str
    licence: str
    got: str
    used: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


QUIX: Final = Pin(
    "Quix Streams", "3.28.1", "Apache-2.0", "pip, bench/peers/quix.txt, Python 3.11 or newer", ("quix",)
)
CRYPTOFEED: Final = Pin(
    "cryptofeed",
    "2.5.0",
    "XFree86-1.1",
    "pip, bench/peers/lock.txt, Python 3.12 or newer",
    ("cryptofeed", "peers"),
)
TELEGRAF: Final = Pin(
    "Telegraf",
    "1.37.2",
    "MIT",
    "compiled from its Go module into the cache of engines; Go, as its go.mod asks for",
    ("trades",),
)
PINS: Final = (
    QUIX,
    CRYPTOFEED,
    TELEGRAF,
    Pin("ccxt", "4.5.90", "MIT", "pip, bench/peers/lock.txt, Python 3.12 or newer", ("peers",)),
)
