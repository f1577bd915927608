"""What goes wrong on the simulated exchange while the sides listen."""

from __future__ import annotations

from typing import Final

# World seconds before the first fault: every side has its books by then.
CLEAN_S: Final = 8
_BOTH: Final = "streams=trade+depth"
# One message in fifty of trades and books.
_EVENTS: Final = f"{_BOTH},probability=0.02,from={CLEAN_S}"

_EVERYWHERE: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "skip": (f"skip:{_EVENTS}",),
    "duplicate": (f"duplicate:{_EVENTS}",),
    "reorder": (f"reorder:{_EVENTS}",),
    "cut": (f"drop:every=15,from={CLEAN_S}",),
}
_OF_ONE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "kraken": {"bad_checksum": (f"bad_checksum:every=10,from={CLEAN_S}",)},
    "coinbase": {"counter_jump": (f"counter_jump:every=10,from={CLEAN_S},streams=depth",)},
}


def scenarios(exchange: str) -> dict[str, tuple[str, ...]]:
    """Arguments of the simulator's `--fault` by the name of a scenario; the last one has all of them."""
    single = {**_EVERYWHERE, **_OF_ONE[exchange]}
    return {**single, "all": tuple(fault for faults in single.values() for fault in faults)}
