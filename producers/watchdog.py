"""Notices streams that have fallen silent though the connection lives (BINANCE_SPOT.md §13, trap 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from producers.exchanges.port import Liveness

# When one stream is silent, others without a message for this long have most likely ended with it.
SUSPECT_SILENCE_S: Final = 5.0
# A new connection has this long to carry what the former one did not.
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

    Streams of bars that the exchange sends even without trades have fixed bounds. Other streams are measured
    by their own usual gap, but not while such bars of the symbol arrive: these show that the connection works
    and the market is quiet.
    A stream that is proved not to be carried (`producers.silence_probe`) is always a reason to reconnect.
    """

    def __init__(
        self,
        streams: Iterable[tuple[str, str, str | None]],
        now_s: float,
        liveness: Liveness,
    ) -> None:
        """`streams`: (symbol, kind, interval or None) of all that the connection carries."""
        self._liveness = liveness
        self._frame_s = now_s  # the newest frame of any kind
        self._paces: dict[tuple[str, str, str | None], _Pace] = {stream: _Pace(now_s) for stream in streams}
        self._replay = False
        self._begun_s = now_s

    def heard(self, stream: tuple[str, str, str | None], now_s: float) -> None:
        """An event of this stream arrived."""
        self._frame_s = now_s
        pace = self._paces.get(stream)
        if pace is None:
            return
        if pace.heard:
            gap_s = now_s - pace.heard_at_s
            pace.usual_gap_s += (gap_s - pace.usual_gap_s) * (_LEARNING if pace.heard > 1 else 1.0)
        pace.heard += 1
        pace.heard_at_s = now_s

    @property
    def frame_s(self) -> float:
        """When the newest frame of any kind arrived."""
        return self._frame_s

    def heard_frame(self, now_s: float) -> None:
        """A frame without an event arrived."""
        self._frame_s = now_s

    def replaying(self) -> None:
        """The source is a recording, which may pause and end at any time."""
        self._replay = True

    def check(
        self,
        now_s: float,
        halted: frozenset[str] = frozenset(),
        uncarried: Mapping[tuple[str, str, str | None], str] = MappingProxyType({}),
    ) -> Reconnect | None:
        """Check whether a stream has been silent for too long.

        Args:
            halted: symbols that may be silent.
            uncarried: streams that are proved not to be carried, and why.
        """
        if self._replay:
            return None
        liveness = self._liveness
        if liveness.frame_s is not None and now_s - self._frame_s > liveness.frame_s:
            return Reconnect(f"no frame for {now_s - self._frame_s:.0f} s")
        if now_s - self._begun_s >= CHANCE_S:
            for stream, why in uncarried.items():
                pace = self._paces.get(stream)
                if pace is not None and now_s - pace.heard_at_s >= SUSPECT_SILENCE_S:
                    return Reconnect(f"{_named(stream)} is not carried: {why}")
        watched = {stream: pace for stream, pace in self._paces.items() if stream[0] not in halted}
        barred: set[str] = set()  # symbols whose bars show that the connection works
        for (symbol, kind, interval), pace in watched.items():
            silence_s = now_s - pace.heard_at_s
            fixed_s = liveness.bars_s.get(interval or "") if kind == "kline" else None
            if fixed_s is not None:
                if silence_s > fixed_s:
                    return Reconnect(f"{symbol} kline_{interval}: silent for {silence_s:.0f} s")
                barred.add(symbol)
        for (symbol, kind, interval), pace in watched.items():
            silence_s = now_s - pace.heard_at_s
            if symbol in barred or not pace.heard:
                continue
            bound_s = liveness.other_bars_s if kind == "kline" else liveness.quiet_s
            if silence_s > max(bound_s, _PACES * pace.usual_gap_s):
                return Reconnect(f"{_named((symbol, kind, interval))}: silent for {silence_s:.0f} s")
        return None

    def mute(self, now_s: float) -> bool:
        """Whether all streams of the connection are silent."""
        return len(self.silent(now_s)) == len(self._paces)

    def silent(self, now_s: float) -> frozenset[tuple[str, str, str | None]]:
        """The streams that a rollover should not wait for."""
        return frozenset(
            stream for stream, pace in self._paces.items() if now_s - pace.heard_at_s >= SUSPECT_SILENCE_S
        )

    def ages_ms(self, now_s: float) -> dict[str, float]:
        """Age of the newest event of each kind of stream: of all symbols, the greatest."""
        ages: dict[str, float] = {}
        for (_, kind, interval), pace in self._paces.items():
            name = f"{kind}_{interval}" if interval else kind
            if pace.heard:
                ages[name] = max(ages.get(name, 0.0), (now_s - pace.heard_at_s) * 1000)
        return ages


def _named(stream: tuple[str, str, str | None]) -> str:
    symbol, kind, interval = stream
    return f"{symbol} kline_{interval}" if interval else f"{symbol} {kind}"
