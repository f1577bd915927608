"""Frames of a market, changed ones among them, through lanes and the long way."""

from __future__ import annotations

import gzip
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from producers.exchanges.wire_text import RULES
from tests.lanes.changes import changed
from tests.lanes.market import BEGIN_MS, INTERVALS, SYMBOL, Market
from tests.lanes.pair import Pair

# REST answers after so many frames, a second passes after so many, and all that both hold is compared.
_ANSWER: Final = 20
_SECOND: Final = 500
_WHOLLY: Final = 2_500
# A run's series are begun anew, so that a day's troubles do not add up.
_SERIES: Final = 10_000
_AHEAD_MS: Final = 10_000
# A recording is read so many times faster: at its own pace most deliveries are followed, the long way.
_FASTER: Final = 50
# Receive time, the latest time that an event can have, whether the exchange has sent it so, the frame.
Sent = tuple[int, int, bool, bytes]

RECORDED: Final = ("hft_btcusdt_20240808.gz", "hft_btcusdt_20240809.gz")


def run(seed: int, count: int, rules: Mapping[str, str] = RULES, *, wholly: bool = False) -> Counter[str]:
    """So many frames; how many of each kind lanes took, and of all.

    Args:
        wholly: compare all that both hold after each frame.

    Raises:
        Different: a lane did something else than the long way.
    """
    counts: Counter[str] = Counter()
    for number, begun in enumerate(range(0, count, _SERIES)):
        of = min(_SERIES, count - begun)
        counts.update(_series(seed * 1_000_003 + number, of, rules, wholly=wholly))
    return counts


def _series(seed: int, count: int, rules: Mapping[str, str], *, wholly: bool) -> Counter[str]:
    market, chance = Market(seed), random.Random(seed)

    def frames() -> Iterator[Sent]:
        for genuine, frame in _among_changed(market.frames(), chance):
            now_ms = market.now_ms + chance.choice((0, 3, 50))
            yield now_ms, now_ms + _AHEAD_MS, genuine, frame

    return _through(Pair(SYMBOL, INTERVALS, BEGIN_MS, rules), islice(frames(), count), wholly=wholly)


def _through(pair: Pair, frames: Iterable[Sent], *, wholly: bool = False) -> Counter[str]:
    now_ms = number = 0
    for number, (now_ms, latest_ms, genuine, frame) in enumerate(frames, start=1):
        pair.take(frame, now_ms, latest_ms, genuine=genuine, wholly=wholly)
        if number % _ANSWER == 0:
            pair.answer(now_ms, number / _SECOND)
        if number % _SECOND == 0:
            pair.second(now_ms, number / _SECOND, wholly=number % _WHOLLY == 0)
    pair.second(now_ms, number / _SECOND + 1, wholly=True)
    return Counter(pair.taken | {"all": pair.read})


def _among_changed(frames: Iterator[bytes], chance: random.Random) -> Iterator[tuple[bool, bytes]]:
    """Each frame, and before it some of it changed, which would be the next one of its series as well."""
    for frame in frames:
        if chance.random() < 0.4:
            yield False, changed(frame, chance)
        yield True, frame


def run_recorded(folder: Path, share: float, seed: int, most: int) -> Counter[str]:
    """As `run`, of the first frames of each recording, a share of them changed before they come."""
    counts: Counter[str] = Counter()
    for name in RECORDED:
        with gzip.open(folder / name, "rb") as lines:
            begin_ms = int(next(lines).partition(b" ")[0]) // 1_000_000
            frames = _recorded(islice(lines, most), begin_ms, share, random.Random(seed))
            counts += _through(Pair("BTCUSDT", INTERVALS, begin_ms), frames)
    return counts


def _recorded(lines: Iterable[bytes], begin_ms: int, share: float, chance: random.Random) -> Iterator[Sent]:
    for line in lines:
        time_ns, _, frame = line.rstrip(b"\n").partition(b" ")
        recorded_ms = int(time_ns) // 1_000_000
        # The recorder's clock was some seconds behind.
        times = begin_ms + (recorded_ms - begin_ms) // _FASTER, recorded_ms + _AHEAD_MS
        if chance.random() < share:
            yield *times, False, changed(frame, chance)
        yield *times, True, frame


def recordings() -> Path:
    """Where they are, as their README says."""
    return Path(os.environ.get("CRYPTOSTREAM_DATA", "../shared/data")) / "binance_spot_ws"
