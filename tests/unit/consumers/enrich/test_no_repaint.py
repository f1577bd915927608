"""A confirmed value, once stored, is the one that any later computation gives (DESIGN §4.3)."""

from __future__ import annotations

import random
import struct
from typing import Any

from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Known, Record
from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from shared.messages import KlineMessage
from tests.builders import NOW_MS, kline
from tests.unit.consumers.indicators.series import made_up

MINUTE_MS = 60_000
BARS = [bar._replace(open_time_ms=NOW_MS + number * MINUTE_MS) for number, bar in enumerate(made_up(200))]


def message(bar: Bar, **fields: Any) -> KlineMessage:
    texts = {
        name: f"{value:.8f}"
        for name, value in zip(("open", "high", "low", "close", "base_volume"), bar[1:6], strict=True)
    }
    return kline(open_time_ms=bar.open_time_ms, **texts, **fields)


def updates(bar: Bar, draw: random.Random) -> list[Record]:
    """The open bar on its way: prices and volumes that the closed bar does not have, a second apart."""
    made = []
    for second in range(draw.randint(0, 4)):
        shift = draw.randint(-30, 30) / 100.0
        high, close = bar.high + abs(shift), bar.close + shift
        on_the_way = bar._replace(
            high=max(high, close), low=min(bar.low, close), close=close, volume=bar.volume * draw.random()
        )
        received_ms = bar.open_time_ms + second * 1000
        made.append((0, 0, message(on_the_way, closed=False, received_time_ms=received_ms)))
    return made


def bits(values: tuple[Any, ...]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def test_what_was_stored_equals_a_later_recomputation_bit_for_bit() -> None:
    draw = random.Random(5)
    enricher = KlineEnricher("1m", indicator_set(), live_interval_ms=1000)
    enricher.assign(0, Known(0, 0))
    stored: dict[int, list[bytes]] = {}
    live: dict[int, list[bytes]] = {}
    for offset, bar in enumerate(BARS):
        closed: Record = (0, offset, message(bar))
        for batch in ([update] for update in updates(bar, draw)):
            _record(enricher.receive(batch, 0).points, stored, live)
        # A restart in the middle, and one bar delivered twice: what is stored stays as it was.
        _record(enricher.receive([closed, closed] if offset % 50 == 7 else [closed], 0).points, stored, live)
        if offset == 120:
            enricher = _restarted(enricher)
    indicators = indicator_set()
    state = indicators.initial()
    for bar in BARS:
        text = [float(f"{value:.8f}") for value in bar[1:6]]
        state, values = indicators.step(state, Bar(bar.open_time_ms, *text))
        assert stored[bar.open_time_ms] == [bits(values)]
    # The open bars had values of their own, or this would prove nothing.
    differing = [time_ms for time_ms, rows in live.items() if any(row not in stored[time_ms] for row in rows)]
    assert len(differing) > 100


def _record(points: Any, stored: dict[int, list[bytes]], live: dict[int, list[bytes]]) -> None:
    for point in points:
        kind = {"indicator": stored, "indicator_live": live}.get(point.series.measurement.name)
        if kind is not None:
            kind.setdefault(point.time_ns // 10**6, []).append(bits(point.values))


def _restarted(enricher: KlineEnricher) -> KlineEnricher:
    (record,) = enricher.state_due(0, everything=True)
    after = KlineEnricher("1m", indicator_set(), live_interval_ms=1000)
    after.assign(0, Known(0, len(BARS), 121, snapshots={record.key: record.value}))
    return after
