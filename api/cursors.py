"""Cursors: places on Kafka from which a subscription goes on, on any replica.

`<letter><interval><partition>:<offset>@<epoch>`, like `k1m3:9071@ab12cd`: the next record of partition 3 of
`market.klines.1m`, in that incarnation of the topic. Letters: k klines, t trades, b book, q quotes, l ledger.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from consumers.tap.port import Source
from shared import topics

_LETTERS: Final = {topics.TRADES: "t", topics.BOOK: "b", topics.QUOTES: "q", topics.LEDGER: "l"}
_KLINES: Final = topics.klines_topic("")
# 18 digits: below Kafka's 2^63.
_CURSOR: Final = re.compile(r"([kbtql][0-9a-z]{1,15}):(0|[1-9][0-9]{0,17})@([0-9a-f]{6})", re.ASCII)


class Cursor(NamedTuple):
    """
    Attributes:
        place: letter, interval and partition.
        offset: of the next record.
        epoch: of the topic, as in `Source`.
    """

    place: str
    offset: int
    epoch: str

    def __str__(self) -> str:
        return f"{self.place}:{self.offset}@{self.epoch}"


def cursor_at(source: Source, offset: int) -> Cursor | None:
    """The cursor of a place; None if the topic has none."""
    place = _place(source)
    return None if place is None else Cursor(place, offset, source.epoch)


def parse_cursor(text: str) -> Cursor | None:
    """None if it is no cursor."""
    found = _CURSOR.fullmatch(text)
    return None if found is None else Cursor(found[1], int(found[2]), found[3])


def why_not_from(cursor: Cursor | None, source: Source | None) -> str | None:
    """Why a series cannot go on at a cursor, in plain words; None if its source has that place."""
    if cursor is None:
        return "the cursor cannot be read"
    if source is None or (place := _place(source)) is None:
        return "this series has no cursors"
    if cursor.place != place:
        return f"the cursor is of another place, {cursor.place}; this series is at {place}"
    if cursor.epoch != source.epoch:
        return "the topic was made anew since the cursor was given"
    return None


def _place(source: Source) -> str | None:
    letter = _LETTERS.get(source.topic)
    if letter is not None:
        return f"{letter}{source.partition}"
    if source.topic.startswith(_KLINES):
        return f"k{source.topic.removeprefix(_KLINES)}{source.partition}"
    return None
