"""Metrics of services, each second on `pipeline.metrics`, and on `METRICS_PORT`."""

from __future__ import annotations

import errno
import os
from collections import deque
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from shared.errors import SettingsError
from shared.health import Health, health_app, serve
from shared.slots import Slot, count_start

METRICS_PERIOD_S: Final = 1.0
# Quantiles describe the last 10 s, as the `freshness` measurement does (DESIGN §4.3).
_WINDOW_MS: Final = 10_000
_SAMPLES: Final = 2_000  # bounds memory per hop; older samples of a busy window go first


class ServiceMetrics:
    """Counters of one service process. Not thread-safe: one per thread that counts.

    Args:
        service: e.g. "producer", "consumer-klines-1m".
        instance: a stable name, never a host name. By default `INSTANCE` of the environment, else the first
            free slot of the folder `INSTANCE_SLOTS`, else "0". Starts are counted in that folder; without it,
            or if the instance is given here, `restarts` stays 0.
        metrics_port, metrics_address: where `/metrics`, `/healthz` and `/readyz` are served.

    Raises:
        SettingsError: the port, its address or the folder of slots cannot be used.

    Attributes:
        health: where parts report whether they work; each call of `message` is a sign of life.
    """

    def __init__(
        self,
        service: str,
        instance: str | None = None,
        *,
        metrics_port: int | None = None,
        metrics_address: str = "127.0.0.1",
    ) -> None:
        self.service = service
        self.health = Health()
        # Held as long as this object, so that no two replicas report under one name.
        self._slot = _slot(service) if instance is None else None
        self.instance = instance or (self._slot.name if self._slot else os.environ.get("INSTANCE", "0"))
        self._messages = 0
        self._window: deque[tuple[int, int]] = deque()
        self._gauges: dict[str, float] = {}
        if instance is None and (folder := _slots_folder()) is not None:
            self.gauge("restarts", count_start(folder, service, self.instance))
        self._latencies: dict[tuple[str, str, str], deque[tuple[int, float]]] = {}
        self._registry = CollectorRegistry()
        self._exported: dict[str, Gauge] = {}
        if metrics_port is not None:
            try:
                serve(metrics_address, metrics_port, health_app(self.health, self._registry))
            except (OSError, OverflowError) as error:  # a port beyond 65535 overflows
                raise unusable(metrics_address, metrics_port, error) from None

    def count(self, messages: int) -> None:
        self._messages += messages

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge; `lag_messages`, `lag_seconds`, `dead_letters` and `restarts` have own fields."""
        self._gauges[name] = value

    def latency(self, exchange: str, stream: str, hop: str, now_ms: int, latency_ms: float) -> None:
        """One latency of a hop (`socket`, `kafka`, `consumed`, `stored`); negative ones are kept."""
        key = (exchange, stream, hop)
        samples = self._latencies.get(key)
        if samples is None:
            samples = self._latencies[key] = deque(maxlen=_SAMPLES)
        samples.append((now_ms, latency_ms))

    def message(self, now_ms: int) -> dict[str, Any]:
        """The record for `pipeline.metrics`; call it once a period."""
        self.health.beat()
        if self._window and now_ms < self._window[-1][0]:
            self._window.clear()  # the host's clock was set back
        self._window.append((now_ms, self._messages))
        while len(self._window) > 2 and self._window[0][0] < now_ms - _WINDOW_MS:
            self._window.popleft()
        (first_ms, first_count), elapsed_ms = self._window[0], now_ms - self._window[0][0]
        rate = (self._messages - first_count) * 1000 / elapsed_ms if first_ms != now_ms else 0.0
        message = {
            "schema": 1,
            "service": self.service,
            "instance": self.instance,
            "pid": os.getpid(),
            "time_ms": now_ms,
            "up": True,
            "messages": self._messages,
            "messages_per_s": round(rate, 3),
            "lag_messages": int(self._gauges.get("lag_messages", 0)),
            "lag_seconds": self._gauges.get("lag_seconds", 0.0),
            "dead_letters": int(self._gauges.get("dead_letters", 0)),
            "restarts": int(self._gauges.get("restarts", 0)),
            "gauges": dict(self._gauges),
            "freshness": [
                {"exchange": exchange, "stream": stream, "hop": hop, **quantiles}
                for (exchange, stream, hop), samples in self._latencies.items()
                if (
                    quantiles := _quantiles([ms for at, ms in samples if now_ms - _WINDOW_MS <= at <= now_ms])
                )
            ],
        }
        self._export(message)
        return message

    def _export(self, message: dict[str, Any]) -> None:
        figures = {
            "messages": message["messages"],
            "messages_per_s": message["messages_per_s"],
            **self._gauges,
        }
        for name, value in figures.items():
            if name not in self._exported:
                self._exported[name] = Gauge(
                    f"cryptostream_{name}",
                    name.replace("_", " "),
                    ["service", "instance"],
                    registry=self._registry,
                )
            self._exported[name].labels(self.service, self.instance).set(value)


def unusable(address: str, port: int, error: OSError | OverflowError) -> SettingsError:
    """The error of an address or port that cannot be used, by its setting."""
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(
            f"METRICS_ADDRESS: {address} is no address of this machine; name one that is, or unset it"
        )
    reason = getattr(error, "strerror", None) or error
    return SettingsError(f"METRICS_PORT: {port} cannot be used ({reason}); name a free one or unset it")


def _slot(service: str) -> Slot | None:
    folder = _slots_folder()
    return Slot(folder, service) if folder is not None and "INSTANCE" not in os.environ else None


def _slots_folder() -> Path | None:
    folder = os.environ.get("INSTANCE_SLOTS")
    return Path(folder) if folder else None


def _quantiles(samples: list[float]) -> dict[str, float]:
    """p50, p95 and p99 by the nearest rank; empty without samples."""
    if not samples:
        return {}
    samples.sort()
    last = len(samples) - 1
    return {f"p{percent}": samples[round(last * percent / 100)] for percent in (50, 95, 99)}
