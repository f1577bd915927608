"""Faults that are asked for while the simulator runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from shared.errors import UsageError
from simulator.faults.kinds import OF_THE_MARKET
from simulator.faults.script import Fault, check_symbols, parse_entries

_FORM: Final = 'the body is not of the form {"faults": [{"kind": "skip", "at": 5}]}'


def parse_posted(body: bytes, known: int, symbols: Sequence[str]) -> tuple[Fault, ...]:
    """The faults of a request.

    Args:
        known: how many there are already.
        symbols: those that are served.

    Raises:
        UsageError: names the kind, the key and what is allowed. Halts, listings, new numberings are part of
            the market, which is made before it begins: they cannot be asked for any more.
    """
    try:
        posted: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{_FORM}: {error}") from None
    if not isinstance(posted, dict) or posted.keys() != {"faults"}:
        raise UsageError(_FORM)
    entries = posted["faults"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(_FORM)
    faults = parse_entries(entries, known)
    for fault in faults:
        if fault.kind in OF_THE_MARKET:
            raise UsageError(
                f"fault {fault.kind} belongs to the market that has begun; name it by --fault at the start"
            )
    check_symbols(faults, symbols)
    return faults
