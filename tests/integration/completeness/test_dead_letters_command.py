"""`dead-letters` between a real Kafka and a store: found, shown, replayed once."""

from __future__ import annotations

from typing import Any

import orjson
from confluent_kafka import Producer

from producers.progress_reader import ProgressReader
from producers.start_positions import trades_series
from shared.dead_letters import Origin, dead_letter
from shared.kafka import producer_config
from shared.topics import DEAD_LETTERS, PROGRESS, TRADES
from tests.integration.completeness.place import (
    BARS,
    START_MS,
    TRADES_COUNT,
    Place,
    a_trade,
    market,
)
from tests.integration.consumer_harness import read_all


def put_letter(place: Place, value: Any, reason: str, source: str, at: tuple[int, int] = (-1, -1)) -> None:
    producer = Producer(producer_config(place.broker, "test"))
    producer.produce(
        DEAD_LETTERS,
        key=place.key,
        value=value if isinstance(value, bytes) else orjson.dumps(value),
        headers=dead_letter(Origin(reason, source, *at, "test"), None, None).headers,
    )
    assert producer.flush(30) == 0


def test_letters_are_replayed_once_and_what_is_still_broken_stays(on_sqlite: Place) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    place.consume(market(symbol), bars=BARS, trades=TRADES_COUNT)
    frame = {
        "stream": f"{symbol.lower()}@trade",
        "data": {
            "e": "trade",
            "E": START_MS,
            "s": symbol,
            "t": 302,
            "p": "1.5",
            "q": "2.5",
            "T": START_MS + 604_000,
            "m": True,
            "M": True,
        },
    }
    point = {
        "measurement": "trade",
        "tags": {"exchange": "binance", "symbol": symbol},
        "time_ns": (START_MS + 606_000) * 10**6 + 303,
        "fields": {"trade_id": 303, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True},
    }
    put_letter(place, a_trade(symbol, 301), "a rule that was wrong", TRADES, (0, 17))
    put_letter(place, frame, "a field was unknown then", f"websocket:{symbol.lower()}@trade")
    put_letter(place, point, "the store was too old", TRADES)
    put_letter(place, b"\xff\x00 no JSON", "not JSON", TRADES, (0, 18))
    mine = [letter for letter in listed(place) if letter["key"] == key.decode()]
    assert [letter["replayed"] for letter in mine] == [False] * 4
    assert {letter["source"] for letter in mine} == {TRADES, f"websocket:{symbol.lower()}@trade"}
    names = [f"{letter['partition']}@{letter['offset']}" for letter in mine]

    code, out, _ = place.command("dead-letters", "replay", "--dry-run", *names)
    assert (code, "3 would be replayed, 1 cannot be replayed" in out) == (1, True)
    assert not any(letter["replayed"] for letter in listed(place))
    code, out, _ = place.command("dead-letters", "replay", *names)
    assert code == 1
    assert f"{names[3]}: stays: trade: " in out
    assert out.endswith("3 replayed, 1 cannot be replayed and stay\n")
    code, out, _ = place.command("dead-letters", "replay", *names)
    assert (
        code,
        out.endswith("0 replayed, 3 had been replayed before, 1 cannot be replayed and stay\n"),
    ) == (
        1,
        True,
    )
    mine = [letter for letter in listed(place) if letter["key"] == key.decode()]
    assert [letter["replayed"] for letter in mine] == [True, True, True, False]

    on_topic = [message for message in read_all(place.broker, TRADES) if message.key() == key]
    ids = [orjson.loads(message.value() or b"")["trade_id"] for message in on_topic]
    assert sorted(ids) == list(range(1, 303))
    place.consume([], bars=BARS, trades=TRADES_COUNT + 3)
    assert [row["trade_id"] for row in place.rows("trade")][-3:] == [301, 302, 303]
    # The third was never expected from the exchange, yet it is claimed: the ledger knows of all three.
    code, found = place.verify("--stream", "trades")
    assert (code, found["verification"][0]["checked"]) == (0, TRADES_COUNT + 3)


def listed(place: Place) -> list[dict[str, Any]]:
    code, out, err = place.command("dead-letters", "list", "--last", "1000", "--format", "json")
    assert (code, err) == (0, "")
    letters: list[dict[str, Any]] = orjson.loads(out)
    return letters


def test_letters_are_found_by_source_reason_and_time_and_shown_whole(on_sqlite: Place) -> None:
    place = on_sqlite
    put_letter(place, b"\x00\x01binary", f"reason {place.symbol}", f"websocket:{place.symbol}")
    put_letter(place, {"a": [1]}, f"reason {place.symbol} too", "rest:klines")
    code, out, _ = place.command("dead-letters", "list", "--reason", f"{place.symbol.lower()} TOO")
    assert (code, out.count("rest:klines")) == (0, 1)
    code, out, _ = place.command("dead-letters", "list", "--topic", "websocket", "--reason", place.symbol)
    first, second = out.splitlines()[0], out.splitlines()[1]
    assert first.startswith("letter")
    name = second.split()[0]
    code, out, _ = place.command("dead-letters", "show", name)
    assert code == 0
    assert "000000  00 01 62 69 6e 61 72 79" in out
    assert "..binary" in out
    code, out, err = place.command("dead-letters", "list", "--reason", place.symbol, "--to", "2026-01-01")
    assert (code, out, err) == (1, "", "error: no dead letters of that kind\n")
    code, _, err = place.command("dead-letters", "show", "0@999999")
    assert (code, "there is no such letter" in err) == (1, True)


def test_notes_of_replays_do_not_disturb_the_start_positions_of_producers(on_sqlite: Place) -> None:
    place = on_sqlite
    put_letter(place, a_trade(place.symbol, 1), "a rule that was wrong", TRADES, (0, 0))
    (mine,) = (letter for letter in listed(place) if letter["key"] == place.key.decode())
    assert place.command("dead-letters", "replay", f"{mine['partition']}@{mine['offset']}")[0] == 0
    assert any(
        (message.key() or b"").startswith(b"dead-letters:") for message in read_all(place.broker, PROGRESS)
    )
    reader = ProgressReader(place.broker)
    try:
        state = reader.start_state("binance", [place.symbol], ["1m"], START_MS, 0)
    finally:
        reader.close()
    assert state.progress == {}
    # It is found on the topic itself, like any record of the series.
    assert state.start_positions[trades_series("binance", place.symbol)].later[0][:2] == (1, 1)
