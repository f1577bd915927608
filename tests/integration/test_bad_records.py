"""Tens of thousands of bad records among good ones: each is put aside, the good ones are stored."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from confluent_kafka import Producer

from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.kafka import producer_config
from shared.topics import BOOK, DEAD_LETTERS, LEDGER, QUOTES, TRADES, klines_topic
from tests.builders import BUILDERS
from tests.conftest import real_kafka
from tests.integration.consumer_harness import consuming, read_all, rows, until

SEED: Final = 20261121
BAD, GOOD = 50_000, 2_000  # in all
START_MS: Final = (int(time.time()) // 60 - 60) * 60_000
KINDS: Final = {klines_topic("1m"): "kline", TRADES: "trade", BOOK: "book", QUOTES: "quote", LEDGER: "ledger"}
SYMBOL: Final = "FUZZUSDC"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server


def good(kind: str, number: int) -> dict[str, Any]:
    time_ms = START_MS + number * 200
    fields: dict[str, Any] = {"symbol": SYMBOL, "event_time_ms": time_ms, "received_time_ms": time_ms}
    match kind:
        case "kline":
            open_time_ms = START_MS + number * 60_000
            fields |= {"open_time_ms": open_time_ms, "close_time_ms": open_time_ms + 59_999}
            # A closed bar is told of after its end.
            fields |= dict.fromkeys(("event_time_ms", "received_time_ms"), open_time_ms + 60_000)
        case "trade":
            fields |= {"trade_id": number, "trade_time_ms": time_ms}
        case "ledger":
            fields |= {"first": number, "last": number, "count": 1}
        case "quote":
            fields["event_time_ms"] = None
    message: dict[str, Any] = BUILDERS[kind](**fields)
    return message


Damage = Callable[[random.Random, str, dict[str, Any]], bytes | None]


def _some_field(chance: random.Random, message: dict[str, Any]) -> str:
    # `source`, `detail`, `interval` and the like may be null or of several values: these may not.
    required = ("exchange", "symbol", "received_time_ms", "schema")
    return chance.choice([name for name in required if name in message])


def _with(value: Any) -> Damage:
    return lambda chance, kind, m: orjson.dumps(m | {_some_field(chance, m): value})


def _other_kind(chance: random.Random, kind: str, message: dict[str, Any]) -> bytes:
    other = chance.choice([name for name in BUILDERS if name not in (kind, "depth")])
    return orjson.dumps(good(other, 1))


DAMAGES: Final[dict[str, Damage]] = {
    "null": lambda chance, kind, m: None,
    "empty": lambda chance, kind, m: b"",
    "random bytes": lambda chance, kind, m: b"\xff" + chance.randbytes(chance.randrange(200)),
    "cut short": lambda chance, kind, m: orjson.dumps(m)[: chance.randrange(1, len(orjson.dumps(m)))],
    "one byte over": lambda chance, kind, m: orjson.dumps(m) + b"}",
    "no object": lambda chance, kind, m: chance.choice([b"[]", b"1", b"null", b'"text"', b"true", b"[1,2]"]),
    "deep": lambda chance, kind, m: b"[" * 100_000 if chance.random() < 0.01 else b'{"a":' * 2_000,
    "NaN": lambda chance, kind, m: orjson.dumps(m).replace(b'"schema":1', b'"schema":NaN'),
    "NaN as text": lambda chance, kind, m: orjson.dumps(m | {"received_time_ms": "NaN"}),
    "wrong type": _with({"a": [1]}),
    "missing": _with(None),
    "field left out": lambda chance, kind, m: orjson.dumps(
        {name: value for name, value in m.items() if name != chance.choice(list(m))}
        | {"schema": 1, "exchange": None}
    ),
    "huge number": _with(10**18 * 18),
    "number beyond 64 bits": lambda chance, kind, m: orjson.dumps(m).replace(
        b'"received_time_ms":', b'"received_time_ms":9' + b"9" * 400
    ),
    "negative": _with(-1),
    "fraction": _with(0.5),
    "other schema": lambda chance, kind, m: orjson.dumps(m | {"schema": chance.choice([0, 2, "1", 99])}),
    "other source": lambda chance, kind, m: orjson.dumps(m | {"source": "rumour"}),
    "other topic's": _other_kind,
    "lone surrogate": lambda chance, kind, m: orjson.dumps(m).replace(b"FUZZUSDC", b"\\ud800"),
    "bad UTF-8": lambda chance, kind, m: orjson.dumps(m).replace(b"FUZZUSDC", b"\xc3\x28"),
}


def records() -> tuple[list[tuple[str, bytes | None]], Counter[str]]:
    """Good and bad records in a seeded order, and how many of the bad each topic gets."""
    chance = random.Random(SEED)
    share = {topic: GOOD // len(KINDS) for topic in KINDS}
    made: list[tuple[str, bytes | None]] = []
    bad: Counter[str] = Counter()
    names = list(DAMAGES)
    for number in range(BAD):
        topic = chance.choice(list(KINDS))
        damage = DAMAGES[names[number % len(names)]]
        made.append((topic, damage(chance, KINDS[topic], good(KINDS[topic], 0))))
        bad[topic] += 1
    places = {topic: sorted(chance.randrange(BAD) for _ in range(count)) for topic, count in share.items()}
    inserted = sorted(
        (place, topic, number) for topic, at in places.items() for number, place in enumerate(at)
    )
    for place, topic, number in reversed(inserted):
        made.insert(place, (topic, orjson.dumps(good(KINDS[topic], number))))
    return made, bad


def test_every_bad_record_is_put_aside_and_every_good_one_is_stored(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    broker, store = kafka.bootstrap_servers, tmp_path / "store.db"
    made, bad = records()
    key = f"binance:{SYMBOL}".encode()
    producer = Producer(producer_config(broker, "test"))
    each = GOOD // len(KINDS)
    with ExitStack() as running:
        run = running.enter_context(consuming(broker, store, "--stream", "all", "--intervals", "1m"))
        for topic, value in made:
            producer.produce(topic, key=key, value=value)
            producer.poll(0)
        assert producer.flush(60) == 0
        for table in ("kline", "indicator", "trade", "book"):
            query = f"select 1 from {table} where symbol = '{SYMBOL}'"

            def is_stored(query: str = query) -> bool:
                return len(rows(store, query)) == each

            until(is_stored, f"every {table}")
        until(lambda: len(read_all(broker, DEAD_LETTERS)) >= BAD, "all dead letters", 120)
        expected = f"select sum(expected) from ledger where symbol = '{SYMBOL}' and stream = 'trades'"
        until(lambda: rows(store, expected) == [(each,)], "the ledger's good records")
        counted = "select sum(n) from (select max(dead_letters) as n from service group by service)"
        until(lambda: rows(store, counted) == [(BAD,)], "every dead letter to be counted")
        quotes = f"select 1 from quote where symbol = '{SYMBOL}'"
        until(lambda: len(rows(store, quotes)) == each, "every quote")
        code, errors = run.stop()
        assert code == 0, errors
    assert_all_letters(broker, bad)


def assert_all_letters(broker: str, bad: Counter[str]) -> None:
    """Each with its reason, and the very bytes of the place that it names."""
    letters = read_all(broker, DEAD_LETTERS)
    sources = {
        (topic, message.partition(), message.offset()): message.value()
        for topic in KINDS
        for message in read_all(broker, topic)
    }
    found: Counter[str] = Counter()
    places = set()
    for letter in letters:
        headers = {name: (value or b"").decode() for name, value in letter.headers() or []}
        place = (headers["source_topic"], int(headers["source_partition"]), int(headers["source_offset"]))
        assert sources[place] == letter.value()
        assert headers["reason"]
        places.add(place)
        found[place[0]] += 1
    assert found == bad
    assert len(places) == BAD
