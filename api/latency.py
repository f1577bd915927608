"""How old rows are when they leave for a page (`pushed`), and when it has painted them (`painted`).

Both count from the exchange's time of the row. Negative ones are kept: they show a wrong clock.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Final, NamedTuple

WINDOW_MS: Final = 60_000
_SLICE_MS: Final = 1_000
# Quantiles are right within half of it.
_STEP: Final = math.log(1.05)
_LARGEST_MS: Final = 1e9
# Exchanges × kinds × hops; beyond it new ones are not counted.
_MOST_KEYS: Final = 1_000

Key = tuple[str, str, str]


class Quantiles(NamedTuple):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float


class Latency:
    """Latencies of the last minute by exchange, stream and hop, in bounded memory."""

    def __init__(self) -> None:
        self._slices: dict[Key, deque[tuple[int, Counter[int]]]] = {}

    def add(self, exchange: str, stream: str, hop: str, latency_ms: float, now_ms: float) -> None:
        """Count one."""
        key = (exchange, stream, hop)
        slices = self._slices.get(key)
        if slices is None:
            if len(self._slices) >= _MOST_KEYS:
                return
            slices = self._slices[key] = deque(maxlen=WINDOW_MS // _SLICE_MS)
        second = int(now_ms) // _SLICE_MS
        if not slices or second > slices[-1][0]:
            slices.append((second, Counter()))
        slices[-1][1][_bucket(latency_ms)] += 1

    def quantiles(self, now_ms: float) -> dict[Key, Quantiles]:
        """Of the last minute; hops without any in it are left out."""
        oldest = (int(now_ms) - WINDOW_MS) // _SLICE_MS
        found = {}
        for key, slices in list(self._slices.items()):
            while slices and slices[0][0] <= oldest:
                slices.popleft()
            if not slices:
                del self._slices[key]
                continue
            total: Counter[int] = Counter()
            for _, counts in slices:
                total.update(counts)
            found[key] = _quantiles(total)
        return found


def _quantiles(counts: Counter[int]) -> Quantiles:
    ordered = sorted(counts.items())
    whole = counts.total()
    found = []
    for share in (0.5, 0.95, 0.99):
        passed = 0
        for bucket, count in ordered:
            passed += count
            if passed >= share * whole:
                found.append(_middle(bucket))
                break
    return Quantiles(*found)


def _bucket(latency_ms: float) -> int:
    bounded = min(max(latency_ms, -_LARGEST_MS), _LARGEST_MS)
    size = round(math.log1p(abs(bounded)) / _STEP)
    return size if bounded >= 0 else -size


def _middle(bucket: int) -> float:
    size = math.expm1(abs(bucket) * _STEP)
    return round(size if bucket >= 0 else -size, 1)
