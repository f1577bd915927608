"""What `pipeline.progress` has of replays and of trade ids."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from cryptostream.dead_letters.dead_letter_topic import DeadLetterTopic, Known
from cryptostream.dead_letters.replay_marks import ReplayMark, encode_mark, mark_key
from producers.progress import Progress
from shared.topics import PROGRESS, TRADES, klines_topic
from shared.trade_ids import number
from tests.builders import NOW_MS


class Topics:
    """A broker whose progress topic has these records."""

    def __init__(self, *records: tuple[bytes | None, bytes | None]) -> None:
        self._records = records

    def bounds(self, _topic: str) -> dict[Any, Any]:
        return {}

    def whole(self, topic: str) -> Iterator[Any]:
        assert topic == PROGRESS
        for key, value in self._records:
            yield SimpleNamespace(key=lambda key=key: key, value=lambda value=value: value)


def known(*records: tuple[bytes | None, bytes | None]) -> Known:
    topics: Any = Topics(*records)
    return DeadLetterTopic(topics).known()


def reached(last_id: int | None, topic: str = TRADES) -> bytes:
    return Progress(last_id, topic, 0, 17, NOW_MS, NOW_MS).encode()


def test_a_symbol_is_in_the_newest_numbering_that_its_producer_has_reached() -> None:
    found = known(
        (b"binance:BTCUSDC:trades", reached(number(0, 5_000))),
        (b"kraken:BTC/USD:trades", reached(number(1, 7))),
        (b"kraken:BTC/USD:trades", reached(number(2, 1))),
        (b"kraken:BTC/USD:trades", reached(number(1, 9))),
        (b"binance:ETHUSDC:trades", reached(None)),
        (b"binance:ETHUSDC:klines:1m", reached(2 * NOW_MS * 10**6, klines_topic("1m"))),
    )
    assert found.numberings == {b"binance:BTCUSDC": 0, b"kraken:BTC/USD": 2, b"binance:ETHUSDC": 0}


def test_records_that_cannot_be_read_and_those_taken_back_say_nothing() -> None:
    found = known(
        (None, b"{}"),
        (b"binance:BTCUSDC:trades", None),
        (b"binance:BTCUSDC:trades", b"\xff"),
        (mark_key(3), encode_mark(ReplayMark().including([(7, NOW_MS)]), 0, NOW_MS)),
        (mark_key(4), None),
    )
    assert list(found.replayed) == [3]
    assert found.replayed[3].has(7, NOW_MS)
    assert found.numberings == {b"binance:BTCUSDC": 0}
