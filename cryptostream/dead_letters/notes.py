"""What was replayed, as kept on `pipeline.progress`: ranges of offsets for each partition. Pure.

The key is `dead-letters:<partition>`, which no series of a producer has, so that neither disturbs the other.
"""

from __future__ import annotations

from typing import Final

import orjson

from shared.errors import InvalidMessage
from shared.id_ranges import IdRanges

_SCHEMA: Final = 1
_PREFIX: Final = b"dead-letters:"


def note_key(partition: int) -> bytes:
    return _PREFIX + str(partition).encode()


def partition_of_note(key: bytes | None) -> int | None:
    """The partition that a record of `pipeline.progress` speaks of; None if it is no note of ours."""
    number = (key or b"").removeprefix(_PREFIX)
    return int(number) if key is not None and key.startswith(_PREFIX) and number.isdigit() else None


def encode_note(replayed: IdRanges, first_readable: int, now_ms: int) -> bytes:
    """The note of one partition.

    Args:
        first_readable: letters before it have expired; what is said of them is forgotten, so that the note
            stays small.
    """
    kept = list(replayed.within(first_readable, 2**63 - 1))
    return orjson.dumps({"schema": _SCHEMA, "replayed": kept, "updated_ms": now_ms})


def decode_note(value: bytes) -> IdRanges:
    """Inverse of `encode_note`.

    Raises:
        InvalidMessage: it is no note.
    """
    try:
        content = orjson.loads(value)
        if content["schema"] != _SCHEMA:
            raise InvalidMessage("schema", content["schema"], f"{_SCHEMA}, the version known here")
        return IdRanges((int(first), int(last)) for first, last in content["replayed"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage("note", value, f"a note of replayed dead letters ({error})") from None
