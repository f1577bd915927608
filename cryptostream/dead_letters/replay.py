"""Sends letters back, in an order in which a kill repeats work but never forgets it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from consumers.stores.port import Store
from cryptostream.dead_letters.judge import Judge, Obsolete, Republish, StillBroken, StorePoint, Verdict
from cryptostream.dead_letters.letter import Letter
from cryptostream.dead_letters.notes import encode_note, note_key
from producers.publisher import Publisher
from shared.errors import PointsRejected
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage, encode, message_key
from shared.topics import LEDGER, PROGRESS

# Few enough to be judged, sent and noted within a second.
BATCH: Final = 500
_DELIVERY_S: Final = 30.0


class Done(NamedTuple):
    """What became of a letter."""

    letter: Letter
    verdict: Verdict


class Replay:
    """Judges letters and sends them where they belong; what was replayed before is left alone.

    Args:
        replayed: offsets by partition that were replayed before.
        first_readable: by partition, the offset of its oldest letter.
        open_store: called when the first point is to be stored.
    """

    def __init__(
        self,
        publisher: Publisher,
        replayed: Mapping[int, IdRanges],
        first_readable: Mapping[int, int],
        open_store: Callable[[], Store],
    ) -> None:
        self._publisher = publisher
        self._replayed = {partition: IdRanges(offsets) for partition, offsets in replayed.items()}
        self._first_readable = first_readable
        self._open_store = open_store
        self._store: Store | None = None
        self._judge = Judge()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def run(self, letters: Iterable[Letter]) -> Iterator[Done]:
        """Replay; the letters come back in batches, with what became of each.

        Raises:
            BrokerError, StoreError: what cannot be mended here; what is not yet noted is replayed again.
        """
        rest = iter(letters)
        while batch := list(islice(rest, BATCH)):
            now_ms = time.time_ns() // 1_000_000
            done = [Done(letter, self._judge.judge(letter, now_ms)) for letter in batch]
            # 1. The letters are where they belong, and that is acknowledged.
            done = [self._perform(letter, verdict) for letter, verdict in done]
            self._publisher.flush_now(_DELIVERY_S)
            # 2. The ledger knows of them.
            self._enter([event for item in done for event in _events(item.verdict)])
            # 3. Only now they are noted; a kill before this line repeats them, harmless by identity.
            self._note([letter for letter, verdict in done if not isinstance(verdict, StillBroken)], now_ms)
            yield from done

    def _perform(self, letter: Letter, verdict: Verdict) -> Done:
        match verdict:
            case Republish(topic, key, value, _):
                self._publisher.send(topic, key, value)
            case StorePoint(point, _):
                store = self._store = self._store or self._open_store()
                expired = store.expired
                try:
                    store.write([point])
                except PointsRejected as error:
                    return Done(letter, StillBroken(error.rejected[0][1]))
                if store.expired > expired:
                    return Done(letter, Obsolete("older than its bucket keeps"))
        return Done(letter, verdict)

    def _enter(self, events: Sequence[LedgerMessage]) -> None:
        for event in events:
            self._publisher.send(LEDGER, message_key(event["exchange"], event["symbol"]), encode(event))
        self._publisher.flush_now(_DELIVERY_S)

    def _note(self, letters: Sequence[Letter], now_ms: int) -> None:
        for place in (letter.place for letter in letters):
            self._replayed.setdefault(place.partition, IdRanges()).add(place.offset, place.offset)
        for partition in sorted({letter.place.partition for letter in letters}):
            note = encode_note(self._replayed[partition], self._first_readable.get(partition, 0), now_ms)
            self._publisher.send(PROGRESS, note_key(partition), note)
        self._publisher.flush_now(_DELIVERY_S)


def _events(verdict: Verdict) -> Sequence[LedgerMessage]:
    return verdict.events if isinstance(verdict, Republish | StorePoint) else ()
