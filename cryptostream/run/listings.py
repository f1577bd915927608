"""Whether live exchanges list the symbols of a run, asked before anything is started for it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from producers.exchanges.registry import exchange_named
from shared.errors import ExchangeError, UnknownSymbol
from shared.settings import Settings

# Two answers of an exchange that is well; a run does not wait longer for what its producers ask anyway.
DEADLINE_S: Final = 6.0


def require_listed(settings: Settings) -> None:
    """Refuse symbols that an exchange does not list; of one that does not answer nothing is known.

    Raises:
        UnknownSymbol: with the symbols of all exchanges that are not listed, as producers would say it.
    """
    faults: list[str] = []
    # On a thread, since name resolution has no time-out.
    asking = threading.Thread(target=lambda: faults.extend(asyncio.run(_faults(settings))), daemon=True)
    asking.start()
    asking.join(DEADLINE_S + 0.5)
    if faults:
        raise UnknownSymbol("; ".join(faults))


async def _faults(settings: Settings) -> list[str]:
    asked = (_fault(settings.of(exchange)) for exchange in settings.exchanges)
    return [fault for fault in await asyncio.gather(*asked) if fault is not None]


async def _fault(settings: Settings) -> str | None:
    exchange = exchange_named(settings.exchange)
    rest = exchange.rest(exchange.addresses(settings), _now_ms, lambda *_: None)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await rest.statuses(settings.symbols)
    except UnknownSymbol as error:
        return str(error)
    except (ExchangeError, TimeoutError):
        return None  # its producers ask again, until it answers
    finally:
        await rest.close()
    return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
