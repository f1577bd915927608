"""Records of the topics, changed, against the consumers' reading of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from consumers.arrival import TimeAhead
from consumers.enrich.port import Enricher, Known
from consumers.indicators.registry import indicator_set
from consumers.stores.line_protocol import encode
from consumers.stores.storable import storable_values
from consumers.streams import STREAMS, enricher_of, streams
from shared.dead_letters import Origin, dead_letter
from shared.errors import InvalidMessage, PointsRejected
from tests import builders
from tests.frames.generator import Generator

# Lies among the records must not pile up in an enricher's windows: a new one as often as this.
_FRESH: Final = 500
_METRICS: Final = {
    "schema": 1,
    "service": "producer",
    "instance": "0",
    "time_ms": builders.NOW_MS,
    "up": True,
    "messages": 5,
    **dict.fromkeys(("messages_per_s", "lag_messages", "lag_seconds", "dead_letters", "restarts"), 1),
    "gauges": {},
    "freshness": [
        {"exchange": "binance", "stream": "trades", "hop": "kafka", "p50": 1.0, "p95": 2.0, "p99": 3.0}
    ],
}


class Records:
    """As `consumers.service` takes them: decode, put aside or enrich, and make points for a store."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self._indicators = indicator_set(("momentum_rsi", "volatility_atr"))
        self._streams = [
            (stream, topic)
            for stream in streams(STREAMS, ("1m",), memory_broker=True)
            for topic in (*stream.topics, *filter(None, (stream.live_topic,)))
        ]
        self._enrichers: dict[str, Enricher] = {}
        self._taken = 0
        self._offset = 0

    def one(self) -> str:
        """What became of one record."""
        if self._taken % _FRESH == 0:
            for stream, _ in self._streams:
                made = enricher_of(stream, self._indicators, live_interval_ms=1_000, rebuilt_from_store=False)
                made.assign(0, Known(low=0, high=2**40))
                self._enrichers[stream.label] = made
        self._taken += 1
        stream, topic = self.generator.chance.choice(self._streams)
        whole = _RIGHT[next(name for name in _RIGHT if name in topic)]()
        value: bytes | None = self.generator.broken(orjson.loads(orjson.dumps(whole)))
        if self.generator.chance.random() < 0.01:
            value = None
        enricher = self._enrichers[stream.label]
        try:
            message = enricher.decode(topic, value)
        except TimeAhead as error:
            return self._put_aside(value, topic, str(error))
        except InvalidMessage as error:
            return self._put_aside(value, topic, str(error))
        self._offset += 1
        points = enricher.receive([(0, self._offset, message)], builders.NOW_MS).points
        for point in points:
            try:
                storable_values(point)
                encode((point,))
            except PointsRejected as error:
                self._put_aside(b"{}", topic, str(error))
        return "record: read"

    @staticmethod
    def _put_aside(value: bytes | None, topic: str, reason: str) -> str:
        assert len(reason) < 2_000, f"a reason of {len(reason):,} characters"
        letter = dead_letter(Origin(reason, topic, 0, 1, "consumer"), b"key", value)
        assert len(letter.value or b"") < 999_000
        return "record: wrong"


_RIGHT: Final[dict[str, Callable[[], Any]]] = {
    "klines-live": lambda: builders.kline(closed=False),
    "klines": builders.kline,
    "trades": builders.trade,
    "book": builders.book,
    "quotes": builders.quote,
    "ledger": builders.ledger,
    "metrics": lambda: _METRICS,
}
