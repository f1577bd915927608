"""Failures of threads beside what they serve."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.failures import Failures
from shared.errors import BrokerError


async def _for_ever() -> None:
    await asyncio.Event().wait()


def test_a_thread_that_fails_ends_it_with_its_error() -> None:
    async def run() -> None:
        failures = Failures()
        running = asyncio.ensure_future(failures.during(_for_ever()))
        await asyncio.sleep(0)
        threading.Thread(target=failures.tell, args=(BrokerError("broken"),)).start()
        await asyncio.wait_for(running, 5.0)

    with pytest.raises(BrokerError, match="broken"):
        asyncio.run(run())


def test_a_thread_that_has_failed_before_ends_it_too() -> None:
    failures = Failures()
    failures.tell(BrokerError("broken"))
    with pytest.raises(BrokerError, match="broken"):
        asyncio.run(asyncio.wait_for(failures.during(_for_ever()), 5.0))


def test_its_own_error_is_raised() -> None:
    async def fails() -> None:
        raise BrokerError("inside")

    with pytest.raises(BrokerError, match="inside"):
        asyncio.run(Failures().during(fails()))
