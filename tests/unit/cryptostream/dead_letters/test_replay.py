"""Replays between a broker that keeps what it is sent and a real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from consumers.stores.port import Store
from cryptostream.dead_letters.classify import Outcome
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Known, Position, was_replayed
from cryptostream.dead_letters.replay import Replay
from cryptostream.dead_letters.replay_marks import ReplayMark, decode_mark, partition_of_mark
from producers.publisher import Publisher
from shared.dead_letters import Origin
from shared.topics import PROGRESS, TRADES
from tests.builders import NOW_MS, trade


class Broker:
    """Takes the records of a replay."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes]] = []

    def send(self, topic: str, key: bytes | None, value: bytes) -> None:
        self.records.append((topic, key, value))

    def flush_now(self, _timeout_s: float) -> None:
        """Everything is acknowledged."""

    def of(self, topic: str) -> list[Any]:
        return [orjson.loads(value) for name, _, value in self.records if name == topic]

    @property
    def marks(self) -> Mapping[int, ReplayMark]:
        return {
            partition: decode_mark(value)
            for topic, key, value in self.records
            if topic == PROGRESS and (partition := partition_of_mark(key)) is not None
        }


def no_store() -> Store:
    raise AssertionError("no point is replayed")


def replayed(letters: Sequence[DeadLetter], broker: Broker, known: Mapping[int, ReplayMark]) -> list[Outcome]:
    replay = Replay(cast(Publisher, broker), Known(dict(known), {}), {}, no_store)
    fresh = [letter for letter in letters if not was_replayed(letter, known)]
    return [done.outcome for done in replay.run(fresh)]


def record(offset: int, time_ms: int, trade_id: int) -> DeadLetter:
    origin = Origin("a rule that was wrong", TRADES, 0, offset, "consumer-trades")
    value = orjson.dumps(trade(trade_id=trade_id))
    return DeadLetter(Position(2, offset), time_ms, b"binance:BTCUSDC", value, origin)


def test_a_second_replay_does_nothing() -> None:
    letters = [record(offset, NOW_MS + offset // 3, 10 + offset) for offset in range(1_200)]
    broker = Broker()
    assert len(replayed(letters, broker, {})) == 1_200
    assert replayed(letters, broker, broker.marks) == []


def test_letters_of_a_topic_that_was_made_anew_are_replayed_whatever_was_replayed_of_the_former() -> None:
    broker = Broker()
    replayed([record(offset, NOW_MS, offset) for offset in range(500)], broker, {})
    anew = [record(offset, NOW_MS + 60_000 + offset, 1_000 + offset) for offset in range(20)]
    known = broker.marks
    broker.records.clear()
    assert len(replayed(anew, broker, known)) == 20
    assert [message["trade_id"] for message in broker.of(TRADES)] == list(range(1_000, 1_020))
    assert replayed(anew, broker, broker.marks) == []
