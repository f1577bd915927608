"""Coarser idle polling, more frequent snapshots, and groups that wait less long for a member.

A simulated second costs less where code only looks whether there is anything to do. Snapshots of state come
each few seconds, and a silent member is given up within a few, so that a run of a quarter of a minute meets
both. Nothing promises the length of these periods. What else waits for a reason, such as time-outs of
requests, backoffs and reports, keeps its time.
"""

from __future__ import annotations

from typing import Final

# How late events leave the exchange, how often the producer serves its client, and how long a batch of a
# consumer may gather; seconds.
_TICK_S: Final = 0.02
_SERVE_S: Final = 0.05
_GATHER_S: Final = 0.25
_SNAPSHOT_MS: Final = 3_000
_SNAPSHOT_BARS: Final = 8
# Of a group's members; it hears of each once a second, as in production.
SESSION_MS: Final = 5_000


def set_pace() -> None:
    """Once a Python process."""
    import consumers.enrich.klines
    import consumers.enrich.ledger
    import consumers.service
    import producers.service
    import shared.kafka
    import simulator.server.pumps

    for module, name, seconds in (
        (simulator.server.pumps, "_TICK_SECONDS", _TICK_S),
        (producers.service, "_POLL_S", _SERVE_S),
        (consumers.service, "POLL_S", _GATHER_S),
    ):
        assert isinstance(getattr(module, name), float)
        setattr(module, name, seconds)
    for module, name, number in (
        (consumers.enrich.klines, "SNAPSHOT_PERIOD_MS", _SNAPSHOT_MS),
        (consumers.enrich.klines, "SNAPSHOT_BARS", _SNAPSHOT_BARS),
        (consumers.enrich.ledger, "SNAPSHOT_PERIOD_MS", _SNAPSHOT_MS),
        (consumers.enrich.ledger, "SILENT_PERIOD_MS", _SNAPSHOT_MS),
        (shared.kafka, "SESSION_TIMEOUT_MS", SESSION_MS),
    ):
        assert isinstance(getattr(module, name), int)
        setattr(module, name, number)
