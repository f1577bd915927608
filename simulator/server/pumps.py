"""Moves events from a feed to the hub: by the clock, or as fast as the clients take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from simulator.recordings.player import Player
from simulator.server.clock import WorldClock
from simulator.server.hub import Hub
from simulator.world.feed import WorldFeed

logger = logging.getLogger(__name__)

# Events leave at most this long after they are due.
_TICK_SECONDS: Final = 0.005
_DRAIN_SECONDS: Final = 10.0
# As fast as clients take them: frames put at a time, and greatest queue before the next.
_BATCH_FRAMES: Final = 500
_ROOM_FRAMES: Final = 1_000


async def pump_world(feed: WorldFeed, clock: WorldClock, hub: Hub) -> None:
    """Send the world's due events, for ever, in order; late ones are not skipped."""
    if clock.held:
        await hub.listened_to.wait()
        clock.release()
    while True:
        now_ms = clock.now_ms()
        send_due(feed, now_ms, hub)
        clock.sent(feed.emitted_until_ms)
        # If late, continue at once, but let the connections write in between.
        await asyncio.sleep(0 if feed.emitted_until_ms < now_ms else _TICK_SECONDS)


def send_due(feed: WorldFeed, until_ms: int, hub: Hub) -> None:
    """Send the next events up to a time; there are more while `feed.emitted_until_ms` is before it."""
    hub.send(feed.due(until_ms, hub.wanted), feed.emitted_until_ms)


async def pump_recording(
    player: Player, clock: WorldClock | None, hub: Hub, on_finished: Callable[[int], None]
) -> None:
    """Play a recording from the moment someone listens, then return.

    Args:
        clock: measures the recording's time from 0; None plays as fast as the clients take it.
        on_finished: called with the number of frames when the last one is written on all connections.
    """
    await hub.listened_to.wait()
    begun_ms = clock.now_ms() if clock else 0
    while not player.finished:
        if clock is None:
            if hub.waiting < _ROOM_FRAMES:
                hub.send(player.next_frames(_BATCH_FRAMES, hub.wanted), player.position_ms)
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_TICK_SECONDS)
            continue
        hub.send(player.due(player.first_ms + clock.now_ms() - begun_ms, hub.wanted), player.position_ms)
        await asyncio.sleep(_TICK_SECONDS)
    hub.release()
    await drained(hub)
    on_finished(player.played)


async def drained(hub: Hub) -> None:
    """Wait until all sent events are written, but not for a client that has stopped reading."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DRAIN_SECONDS
    while hub.waiting:
        if loop.time() > deadline:
            logger.warning(
                "a connection has not taken %d frames in %.0f s; going on", hub.waiting, _DRAIN_SECONDS
            )
            return
        await asyncio.sleep(_TICK_SECONDS)
