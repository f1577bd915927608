"""Frames of Kraken and Coinbase for a feed that is never the bottleneck: the simulated market's, retimed.

The market makes a hundred messages a second; sent at once they would lie minutes ahead of any clock. Their
times are pressed into a few seconds, and nothing else is changed: checksums, ids and books stay exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from simulator.outgoing import Outgoing
from simulator.protocols.coinbase.wire import encode
from simulator.protocols.instants import ms_of, rfc3339
from simulator.protocols.kraken.wire import frame_of
from simulator.protocols.port import Face, Surroundings, Verbatim
from simulator.protocols.registry import EXCHANGES
from simulator.world.world import World

SYMBOL: Final = {"kraken": "BTC/USD", "coinbase": "BTC-USD"}
STREAMS: Final = {
    "kraken": ("trade@BTC/USD@", "book@BTC/USD@10", "ticker@BTC/USD@bbo"),
    "coinbase": ("market_trades@BTC-USD", "level2@BTC-USD"),
}
PATH: Final = {"kraken": "/v2", "coinbase": "/"}
# A book of 1,000 further levels a side: the whole one of 5 MB would be all that is measured.
FAR_LEVELS: Final = 1_000
_SEED: Final = 1
_TIMES: Final = re.compile(rb'("(?:timestamp|time|event_time)":")([^"]+)Z"')
_NS_A_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """Records that the frames become: each trade, each change of the book, each quote."""

    trades: int
    books: int
    quotes: int


def world_of(exchange: str, start_ms: int) -> World:
    """The market whose frames these are; its state at `start_ms` comes before the first one."""
    return EXCHANGES[exchange].world((SYMBOL[exchange],), _SEED, start_ms, 1.0)


def face_of(world: World, start_ms: int) -> Face:
    """The market as a client sees it at its start."""
    return world.face(Surroundings(lambda: start_ms, lambda _symbol, _rows: None, far_levels=FAR_LEVELS))


def frames(exchange: str, start_ms: int, count: int) -> Iterator[bytes]:
    """Frames that follow the state at `start_ms`, of Coinbase without their numbers."""
    world = world_of(exchange, start_ms)
    wanted = frozenset(STREAMS[exchange])

    def events() -> Iterator[Outgoing]:
        while True:
            yield from world.feed.due(2**53, wanted)

    for event in islice(events(), count):
        yield _body(exchange, event)


def _body(exchange: str, event: Outgoing) -> bytes:
    # A connection of Coinbase counts for itself.
    return encode(event.event) if exchange == "coinbase" else frame_of(event)


def kraken_snapshot(start_ms: int) -> bytes:
    """The whole book that Kraken's frames follow, as its channel begins."""
    session = face_of(world_of("kraken", start_ms), start_ms).session(PATH["kraken"], "")
    if session is None or isinstance(session, Verbatim):
        raise AssertionError("the simulated Kraken refuses its own path")
    params = {"channel": "book", "symbol": [SYMBOL["kraken"]], "depth": 10, "snapshot": True}
    replies = session.replies(orjson.dumps({"method": "subscribe", "params": params}).decode())
    return replies[-1]


def counts(frames_: Iterable[bytes]) -> Counts:
    """What a producer makes of frames."""
    trades = books = quotes = 0
    for frame in frames_:
        message = orjson.loads(frame)
        match message["channel"]:
            case "trade":
                trades += len(message["data"])
            case "market_trades":
                trades += sum(len(event["trades"]) for event in message["events"])
            case "book" | "l2_data":
                books += 1
            case _:
                quotes += 1
    return Counts(trades, books, quotes)


def retimed(frames_: Sequence[bytes], start_ms: int, begin_ms: int, seconds: float) -> Iterator[bytes]:
    """The frames with their times pressed into `seconds` from `begin_ms` on.

    Args:
        start_ms: of the market: all times are after it.
    """
    last = max((_ns(found[2]) for found in _TIMES.finditer(frames_[-1])), default=start_ms * 1_000_000)
    span_ns = max(1, last - start_ms * 1_000_000)
    share = min(1.0, seconds * _NS_A_S / span_ns)

    def moved(found: re.Match[bytes]) -> bytes:
        return found[1] + _moved(found[2], start_ms, begin_ms, share) + b'"'

    for frame in frames_:
        yield _TIMES.sub(moved, frame)


def write(path: Path, frames_: Iterable[bytes]) -> None:
    """A file of frames, one a line."""
    with path.open("wb") as file:
        file.writelines(frame + b"\n" for frame in frames_)


def read(path: Path) -> list[bytes]:
    """The frames of a file."""
    return path.read_bytes().splitlines()


# Most levels of a message share their time.
@lru_cache(maxsize=64)
def _moved(text: bytes, start_ms: int, begin_ms: int, share: float) -> bytes:
    passed_ns = _ns(text) - start_ms * 1_000_000
    places = len(text.partition(b".")[2])
    return rfc3339(begin_ms * 1_000_000 + round(passed_ns * share), places).encode()


def _ns(text: bytes) -> int:
    whole, _, fraction = text.decode().partition(".")
    return ms_of(f"{whole}.Z") * 1_000_000 + int(f"{fraction:0<9}"[:9])
