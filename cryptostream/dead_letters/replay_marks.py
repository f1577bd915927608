"""Marks of replayed dead letters on `pipeline.progress`: ranges of offsets, by partition. Pure.

The key is `dead-letters:<partition>`; no series of a producer has such a key.
"""

from __future__ import annotations

from typing import Final

import orjson

from shared.errors import InvalidMessage
from shared.id_ranges import IdRanges

_SCHEMA: Final = 1
_PREFIX: Final = b"dead-letters:"


def mark_key(partition: int) -> bytes:
    return _PREFIX + str(partition).encode()


def partition_of_mark(key: bytes | None) -> int | None:
    """The partition that a record of `pipeline.progress` marks; None if the record is not a replay mark."""
    number = (key or b"").removeprefix(_PREFIX)
    return int(number) if key is not None and key.startswith(_PREFIX) and number.isdigit() else None


def encode_mark(replayed: IdRanges, first_readable: int, now_ms: int) -> bytes:
    """The mark of one partition.

    Args:
        first_readable: lower offsets have expired and are left out, so that the mark stays small.
    """
    kept = list(replayed.within(first_readable, 2**63 - 1))
    return orjson.dumps({"schema": _SCHEMA, "replayed": kept, "updated_ms": now_ms})


def decode_mark(value: bytes) -> IdRanges:
    """Inverse of `encode_mark`.

    Raises:
        InvalidMessage: it is not a replay mark.
    """
    try:
        content = orjson.loads(value)
        if content["schema"] != _SCHEMA:
            raise InvalidMessage("schema", content["schema"], f"{_SCHEMA}, the version known here")
        return IdRanges((int(first), int(last)) for first, last in content["replayed"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage("replay mark", value, f"ranges of replayed dead letters ({error})") from None
