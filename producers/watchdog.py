"""Notices streams that have fallen silent though the connection lives (BINANCE_SPOT.md §13, trap 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

# A bar of one second ends each second while the market is open (BINANCE_SPOT.md §4.5).
KLINE_1S_SILENCE_S: Final = 10.0
# All other intervals: a bar of one minute has at least one event a minute; the rest follow its trades.
KLINE_SILENCE_S: Final = 130.0
QUIET_SILENCE_S: Final = 60.0
# Once one stream is found silent: others that have said nothing for so long have most likely ended with it.
SUSPECT_SILENCE_S: Final = 5.0
# So long a new connection is given to bring what the one before did not.
CHANCE_S: Final = 10.0
_PACES: Final = 20
_LEARNING: Final = 0.05  # weight of the newest gap in the usual one


class Reconnect(NamedTuple):
    """Open the next connection."""

    reason: str


@dataclass(slots=True)
class _Pace:
    heard_at_s: float
    heard: int = 0
    usual_gap_s: float = 0.0


class Watchdog:
    """Watches the streams of one connection, in seconds of a clock that only goes forward.

    Streams of bars have fixed bounds. Trades, depth and quotes may be thin: each is measured by its own usual
    gap, and never found guilty by that while the same symbol's bars arrive, which show that the connection
    works and the market is quiet. Longer intervals than a minute speak only when there are trades; they count
    as silent together with the shorter ones. What the exchange is proved to have (`producers.lookout`) and
    the connection does not bring makes it guilty whatever else arrives.
    """

    def __init__(self, streams: Iterable[tuple[str, str, str | None]], now_s: float) -> None:
        """`streams`: (symbol, kind, interval or None) of all that the connection carries."""
        self._paces: dict[tuple[str, str, str | None], _Pace] = {stream: _Pace(now_s) for stream in streams}
        self._replay = False
        self._begun_s = now_s

    def heard(self, stream: tuple[str, str, str | None], now_s: float) -> None:
        """An event of this stream came."""
        pace = self._paces.get(stream)
        if pace is None:
            return
        if pace.heard:
            gap_s = now_s - pace.heard_at_s
            pace.usual_gap_s += (gap_s - pace.usual_gap_s) * (_LEARNING if pace.heard > 1 else 1.0)
        pace.heard += 1
        pace.heard_at_s = now_s

    def replaying(self) -> None:
        """The source is a recording: it may pause and end as it likes."""
        self._replay = True

    def judge(
        self,
        now_s: float,
        halted: frozenset[str] = frozenset(),
        uncarried: Mapping[tuple[str, str, str | None], str] = MappingProxyType({}),
    ) -> Reconnect | None:
        """Say whether a stream is silent for too long.

        Args:
            halted: symbols that may be silent.
            uncarried: streams that are proved not to be carried, and why.
        """
        if self._replay:
            return None
        if now_s - self._begun_s >= CHANCE_S:
            for stream, why in uncarried.items():
                pace = self._paces.get(stream)
                if pace is not None and now_s - pace.heard_at_s >= SUSPECT_SILENCE_S:
                    return Reconnect(f"{_named(stream)} is not carried: {why}")
        watched = {stream: pace for stream, pace in self._paces.items() if stream[0] not in halted}
        barred: set[str] = set()  # symbols whose bars show that the connection works
        for (symbol, kind, interval), pace in watched.items():
            silence_s = now_s - pace.heard_at_s
            if kind == "kline" and interval in ("1s", "1m"):
                bound_s = KLINE_1S_SILENCE_S if interval == "1s" else KLINE_SILENCE_S
                if silence_s > bound_s:
                    return Reconnect(f"{symbol} kline_{interval}: silent for {silence_s:.0f} s")
                barred.add(symbol)
        for (symbol, kind, interval), pace in watched.items():
            silence_s = now_s - pace.heard_at_s
            if symbol in barred or not pace.heard:
                continue
            bound_s = KLINE_SILENCE_S if kind == "kline" else QUIET_SILENCE_S
            if silence_s > max(bound_s, _PACES * pace.usual_gap_s):
                return Reconnect(f"{_named((symbol, kind, interval))}: silent for {silence_s:.0f} s")
        return None

    def mute(self, now_s: float) -> bool:
        """Whether the connection says nothing at all any more."""
        return len(self.silent(now_s)) == len(self._paces)

    def silent(self, now_s: float) -> frozenset[tuple[str, str, str | None]]:
        """The streams of a connection already found guilty that should not be waited for."""
        return frozenset(
            stream for stream, pace in self._paces.items() if now_s - pace.heard_at_s >= SUSPECT_SILENCE_S
        )

    def ages_ms(self, now_s: float) -> dict[str, float]:
        """Age of the newest event of each kind of stream, the oldest symbol's counting."""
        ages: dict[str, float] = {}
        for (_, kind, interval), pace in self._paces.items():
            name = f"{kind}_{interval}" if interval else kind
            if pace.heard:
                ages[name] = max(ages.get(name, 0.0), (now_s - pace.heard_at_s) * 1000)
        return ages


def _named(stream: tuple[str, str, str | None]) -> str:
    symbol, kind, interval = stream
    return f"{symbol} kline_{interval}" if interval else f"{symbol} {kind}"
