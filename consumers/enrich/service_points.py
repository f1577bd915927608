"""Messages of `pipeline.metrics` (shared.metrics) → `service`, `freshness` and `instrument` points."""

from __future__ import annotations

from typing import Any, Final

import orjson

from consumers.arrival import MAX_TIME_MS
from consumers.enrich.instrument_points import instrument_points, require_instruments
from consumers.measurements import FRESHNESS, INSTRUMENT, SERVICE, Point, SeriesByTags
from shared.errors import InvalidMessage

PERIOD_MS: Final = 10_000
_NUMBERS: Final = ("messages_per_s", "lag_messages", "lag_seconds", "dead_letters", "restarts")
_QUANTILES: Final = ("p50", "p95", "p99")
_INT64_MAX: Final = 2**63 - 1

# Services report every second: as many hosts may have clocks of their own, or be read late after a restart.
_MOST_PERIODS: Final = 30

Quantiles = tuple[float, float, float]
_Hops = dict[tuple[str, ...], dict[str, Quantiles]]  # by hop and service


def decode_metrics(value: bytes | None) -> dict[str, Any]:
    """Bytes to a checked metrics message. Raises InvalidMessage."""
    try:
        message = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidMessage("metrics", value, f"JSON ({error})") from None
    if type(message) is not dict:
        raise InvalidMessage("metrics", message, "a JSON object")
    for name in ("service", "instance"):
        _require_name(name, message.get(name))
    time_ms = message.get("time_ms")
    if type(time_ms) is not int or not 0 <= time_ms <= MAX_TIME_MS:
        raise InvalidMessage("time_ms", time_ms, "a time in milliseconds")
    if type(message.get("up")) is not bool:
        raise InvalidMessage("up", message.get("up"), "true or false")
    for name in _NUMBERS:
        _require_number(name, message.get(name))
    hops = message.get("freshness")
    if type(hops) is not list:
        raise InvalidMessage("freshness", hops, "a list of hops")
    for hop in hops:
        if type(hop) is not dict:
            raise InvalidMessage("freshness", hop, "a list of hops")
        for name in ("exchange", "stream", "hop"):
            _require_name(name, hop.get(name))
        for name in _QUANTILES:
            _require_number(name, hop.get(name))
    if "instruments" in message:  # of producers that have something to tell of them
        require_instruments(message["instruments"])
    return message


def _require_name(name: str, value: object) -> None:
    if type(value) is not str or not 1 <= len(value) <= 64:
        raise InvalidMessage(name, value, "a name of 1 to 64 characters")


def _require_number(name: str, value: object) -> None:
    if type(value) not in (int, float) or not abs(value) <= _INT64_MAX:  # type: ignore[arg-type]
        raise InvalidMessage(name, value, "a number")


class ServicePoints:
    """Points of services every 10 s; within a period the last message of a service wins.

    Several services may report the same hop (one consumer per interval): the slowest one is shown, since
    quantiles cannot be added. Each period has its own reports: a host whose clock is wrong, however far, or
    whose report comes late, makes nothing of others forgotten.
    """

    def __init__(self) -> None:
        self._services, self._freshness = SeriesByTags(SERVICE), SeriesByTags(FRESHNESS)
        self._instruments = SeriesByTags(INSTRUMENT)
        # Of the periods that were reported last, by their begin; the last used is the last.
        self._periods: dict[int, _Hops] = {}

    def points(self, message: dict[str, Any]) -> list[Point]:
        period_ms = message["time_ms"] - message["time_ms"] % PERIOD_MS
        hops = self._hops_of(period_ms)
        time_ns = period_ms * 1_000_000
        service, instance = message["service"], message["instance"]
        points = [
            Point(
                self._services[service, instance],
                time_ns,
                (
                    float(message["messages_per_s"]),
                    int(message["lag_messages"]),
                    float(message["lag_seconds"]),
                    int(message["dead_letters"]),
                    int(message["restarts"]),
                    message["up"],
                ),
            )
        ]
        for hop in message["freshness"]:
            tags = (hop["exchange"], hop["stream"], hop["hop"], instance)
            quantiles = (float(hop["p50"]), float(hop["p95"]), float(hop["p99"]))
            reported = hops.setdefault(tags, {})
            reported[service] = quantiles
            slowest = max(reported.values(), key=lambda of: of[1])
            points.append(Point(self._freshness[tags], time_ns, slowest))
        return points + instrument_points(message.get("instruments", ()), self._instruments)

    def _hops_of(self, period_ms: int) -> _Hops:
        hops = self._periods[period_ms] = self._periods.pop(period_ms, {})
        if len(self._periods) > _MOST_PERIODS:
            del self._periods[next(iter(self._periods))]
        return hops
