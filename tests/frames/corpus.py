"""Inputs that once ended a service or lost its letter, by name, and their kin.

They stand in `corpus.json` in pieces, and how often each comes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

_FILE: Final = Path(__file__).with_name("corpus.json")


def corpus(of: str) -> dict[str, bytes]:
    """Inputs by name.

    Args:
        of: "frames", "rows" of REST's klines, or "records" of `market.trades`.
    """
    return {entry["name"]: _whole(entry["pieces"]) for entry in orjson.loads(_FILE.read_bytes())[of]}


def _whole(pieces: list[list[Any]]) -> bytes:
    # Each sign of the file is a byte, so that what is no UTF-8 can stand there too.
    return b"".join(text.encode("latin-1") * count for text, count in pieces)
