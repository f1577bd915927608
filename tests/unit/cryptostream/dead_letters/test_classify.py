from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.measurements import INDICATOR, KLINE, MEASUREMENTS, TRADE
from cryptostream.dead_letters.classify import Classifier
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Filter, Position
from cryptostream.dead_letters.outcomes import Obsolete, Outcome, Republish, StillBroken, StorePoint
from cryptostream.dead_letters.output import outcome_text
from shared.dead_letters import WEBSOCKET, Origin
from shared.errors import UsageError
from shared.topics import QUOTES, TRADES, klines_live_topic, klines_topic
from shared.trade_ids import number
from tests.builders import BUILDERS, NOW_MS, kline, quote, trade

NOON_MS = 1_785_758_400_000
CLASSIFIER = Classifier()


def letter(
    value: Any,
    source: str,
    *,
    offset: int = -1,
    key: bytes | None = b"binance:BTCUSDC",
    newest_trade: int = -1,
) -> DeadLetter:
    content = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    return DeadLetter(
        Position(1, 7),
        NOW_MS + 99,
        key,
        content,
        Origin("why", source, 0 if offset >= 0 else -1, offset, "x", newest_trade=newest_trade),
    )


def outcome_of(*args: Any, **fields: Any) -> Outcome:
    return CLASSIFIER.classify(letter(*args, **fields), NOW_MS)


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (TRADES, trade(added_later="kept")),
        (klines_topic("1m"), kline()),
        (QUOTES, quote()),
        ("market.book", BUILDERS["book"]()),
        ("pipeline.ledger", BUILDERS["ledger"]()),
    ],
)
def test_a_record_that_passes_goes_back_to_its_topic_as_backfill(topic: str, message: dict[str, Any]) -> None:
    outcome = outcome_of(message, topic, offset=5)
    assert isinstance(outcome, Republish)
    assert (outcome.topic, outcome.key) == (topic, b"binance:BTCUSDC")
    assert orjson.loads(outcome.value) == message | {"source": "backfill"}


def test_a_replayed_record_stays_one() -> None:
    outcome = outcome_of(trade(source="replay"), TRADES, offset=5)
    assert isinstance(outcome, Republish)
    assert orjson.loads(outcome.value)["source"] == "replay"


@pytest.mark.parametrize(
    ("value", "topic", "reason"),
    [
        (b"\xff", TRADES, "JSON"),
        (None, TRADES, "JSON"),
        (trade(price="1e5"), TRADES, "price"),
        (kline(interval="1h"), klines_topic("1m"), "interval"),
        (trade(), "market.nonsense", "no consumer reads"),
        (trade(), "", "nowhere known"),
    ],
)
def test_a_record_that_breaks_the_contract_stays_with_its_reason(value: Any, topic: str, reason: str) -> None:
    outcome = outcome_of(value, topic, offset=5)
    assert isinstance(outcome, StillBroken)
    assert reason in outcome.reason


def test_an_update_of_an_open_bar_is_needed_by_nobody_any_more() -> None:
    assert isinstance(outcome_of(kline(closed=False), klines_live_topic("1m"), offset=5), Obsolete)


def frame(event: dict[str, Any], name: str = "btcusdc@trade") -> dict[str, Any]:
    return {"stream": name, "data": event}


TRADE_EVENT = {
    "e": "trade",
    "E": NOW_MS,
    "s": "BTCUSDC",
    "t": 9,
    "p": "1.5",
    "q": "2.5",
    "T": NOW_MS - 1,
    "m": True,
    "M": True,
}


def test_a_frame_that_is_understood_by_now_goes_where_the_producer_would_send_it() -> None:
    outcome = outcome_of(frame(TRADE_EVENT), "websocket:btcusdc@trade", key=b"binance:")
    assert isinstance(outcome, Republish)
    assert (outcome.topic, outcome.key) == (TRADES, b"binance:BTCUSDC")
    message = orjson.loads(outcome.value)
    # It was received when it was put aside, and it is not fresh.
    assert (message["received_time_ms"], message["source"]) == (NOW_MS + 99, "backfill")
    assert [(event["kind"], event["first"], event["last"]) for event in outcome.events] == [
        ("expected", 9, 9),
        ("repaired", 9, 9),
    ]


def test_frames_that_are_still_wrong_or_of_no_use_are_not_sent() -> None:
    assert isinstance(outcome_of(frame(TRADE_EVENT | {"p": 1}), "websocket:btcusdc@trade"), StillBroken)
    assert isinstance(outcome_of(b"{", "websocket:"), StillBroken)
    diff = {"e": "depthUpdate", "E": NOW_MS, "s": "BTCUSDC", "U": 1, "u": 2, "b": [], "a": []}
    assert isinstance(outcome_of(frame(diff), "websocket:btcusdc@depth@100ms"), Obsolete)
    assert isinstance(outcome_of({"result": None, "id": 1}, "websocket:"), Obsolete)


def test_rows_of_rest_find_their_interval_and_topic() -> None:
    row = [NOON_MS, "1.0", "2.0", "0.5", "1.5", "10.0", NOON_MS + 899_999, "15.0", 3, "5.0", "7.5", "0"]
    outcome = outcome_of(row, "rest:klines")
    assert isinstance(outcome, Republish)
    assert outcome.topic == klines_topic("15m")
    assert (outcome.events[0]["first"], outcome.events[0]["interval"]) == (NOON_MS, "15m")
    sold = {"id": 4, "price": "1.5", "qty": "2.0", "quoteQty": "3", "time": NOW_MS, "isBuyerMaker": True}
    outcome = outcome_of(sold, "rest:trades")
    assert isinstance(outcome, Republish)
    assert outcome.topic == TRADES
    for value, source in ((row[:5], "rest:klines"), ([1, 2], "rest:trades"), (b"<html>", "rest:trades")):
        assert isinstance(outcome_of(value, source), StillBroken)


SOLD_ROW = {"id": 9, "price": "1.5", "qty": "2.0", "quoteQty": "3", "time": NOW_MS, "isBuyerMaker": True}
OF_EXCHANGE = [(frame(TRADE_EVENT), "websocket:btcusdc@trade"), (SOLD_ROW, "rest:trades")]


@pytest.mark.parametrize(("value", "source"), OF_EXCHANGE)
@pytest.mark.parametrize(("newest_trade", "epoch"), [(8, None), (number(1, 8), 1), (number(2, 0), 2)])
def test_a_trade_keeps_the_numbering_in_which_it_was_rejected(
    value: Any, source: str, newest_trade: int, epoch: int | None
) -> None:
    """Whatever numbering its symbol has come to since."""
    classifier = Classifier({b"binance:BTCUSDC": 2})
    outcome = classifier.classify(letter(value, source, newest_trade=newest_trade), NOW_MS)
    assert isinstance(outcome, Republish)
    assert orjson.loads(outcome.value).get("epoch") == epoch
    counted = [(event["kind"], event["first"]) for event in outcome.events]
    assert counted == [("expected", number(epoch or 0, 9)), ("repaired", number(epoch or 0, 9))]


@pytest.mark.parametrize(("value", "source"), OF_EXCHANGE)
def test_a_trade_of_one_of_several_numberings_is_not_guessed(value: Any, source: str) -> None:
    unsaid = [letter(value, source)]
    if source.startswith(WEBSOCKET):  # its key is by the stream's name, which was not checked
        unsaid.append(letter(value, source, key=b"binance:ETHUSDC", newest_trade=number(1, 8)))
    for each in unsaid:
        outcome = Classifier({b"binance:BTCUSDC": 1}).classify(each, NOW_MS)
        assert isinstance(outcome, StillBroken)
        assert "ids of BTCUSDC have begun anew" in outcome.reason
        assert "cryptostream repair binance:BTCUSDC trades" in outcome.reason
        for alone in ({}, {b"binance:BTCUSDC": 0}, {b"binance:ETHUSDC": 3}):
            assert isinstance(Classifier(alone).classify(each, NOW_MS), Republish)


def test_a_frame_of_before_the_producer_knew_that_ids_began_anew_is_not_of_the_former_numbering() -> None:
    """The frames of a reset are rejected from the first one on: the next id is 9 where 5,000 were."""
    first = letter(frame(TRADE_EVENT), "websocket:btcusdc@trade", newest_trade=5_000)
    outcome = Classifier({b"binance:BTCUSDC": 1}).classify(first, NOW_MS)
    assert isinstance(outcome, StillBroken)
    assert "this one came after 5000, so it may be of a later one" in outcome.reason


def test_a_number_beyond_all_numberings_is_none() -> None:
    beyond = letter(SOLD_ROW, "rest:trades", newest_trade=10**19 - 1)
    assert isinstance(CLASSIFIER.classify(beyond, NOW_MS), StillBroken)


def description(**changes: Any) -> dict[str, Any]:
    return {
        "measurement": "trade",
        "tags": {"exchange": "binance", "symbol": "BTCUSDC"},
        "time_ns": NOW_MS * 10**6,
        "fields": {"trade_id": 4, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True},
        **changes,
    }


def test_a_point_that_can_be_stored_is_stored_and_claimed() -> None:
    outcome = outcome_of(description(), TRADES, key=None)
    assert isinstance(outcome, StorePoint)
    assert outcome.point.series.measurement is TRADE
    assert outcome.point.values == (4, 1.5, 2.0, True)
    assert [(event["kind"], event["first"]) for event in outcome.events] == [("stored", 4)]


def test_a_point_of_indicators_has_the_columns_that_it_names() -> None:
    tags = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
    point = description(measurement="indicator", tags=tags, fields={"momentum_rsi": 50.5, "volume_adi": None})
    outcome = outcome_of(point, klines_topic("1m"), key=None)
    assert isinstance(outcome, StorePoint)
    assert outcome.point.series.measurement == INDICATOR.with_columns(("momentum_rsi", "volume_adi"))
    assert outcome.events == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"measurement": "nonsense"},
        {"tags": {}},
        {"fields": {"trade_id": 4}},
        {"fields": {"trade_id": 4.5, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True}},
        {"fields": {"trade_id": 4, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True, "more": 1}},
        {"time_ns": -1},
        {"time_ns": None},
        {"tags": {"exchange": "binance", "symbol": ["BTCUSDC"]}},
        {"tags": {"exchange": "", "symbol": "BTCUSDC"}},
        {"tags": {"exchange": "binance", "symbol": "B" * 65}},
        {"tags": {"exchange": "binance", "symbol": "BTC\n"}},
        {"fields": {"trade_id": None, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True}},
        {"fields": {"trade_id": -1, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True}},
    ],
)
def test_a_point_that_can_not_be_stored_stays(changes: dict[str, Any]) -> None:
    assert isinstance(outcome_of(description(**changes), TRADES, key=None), StillBroken)


BAR_FIELDS = dict.fromkeys((column.name for column in KLINE.columns), 1)


@pytest.mark.parametrize(
    ("interval", "source", "reason"),
    [
        ("7m", "market.klines.1m", "interval: '7m' is not one of 1s, "),
        ("", "market.klines.1m", "interval: '' is not one of 1s, "),
        (["1m"], "market.klines.1m", "tag interval: ['1m'] is not text"),
        ("1h", "market.klines.1m", "interval: '1h' is not that of market.klines.1m"),
        ("1m", "market.klines-live.1m", "interval: '1m' is not that of market.klines-live.1m"),
    ],
)
def test_a_bar_of_an_interval_that_its_topic_does_not_have_stays(
    interval: Any, source: str, reason: str
) -> None:
    tags = {"exchange": "binance", "symbol": "BTCUSDC", "interval": interval}
    point = description(measurement="kline", tags=tags, fields=BAR_FIELDS)
    outcome = outcome_of(point, source, key=None)
    assert isinstance(outcome, StillBroken)
    assert reason in outcome.reason


@pytest.mark.parametrize(
    "name", ["time_ns", "interval", "TIME_NS", "a\0b", "", "rsi" * 400, "nonsense", "_21"]
)
def test_a_store_makes_no_column_of_a_name_that_is_no_indicators(name: str) -> None:
    tags = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
    for fields in ({name: 1.0}, [[name, 1.0]], [[7, 1.0]]):
        point = description(measurement="indicator", tags=tags, fields=fields)
        assert isinstance(outcome_of(point, klines_topic("1m"), key=None), StillBroken)
    other = description(measurement="indicator", tags=tags, fields={"momentum_rsi_21": 50.5})
    assert isinstance(outcome_of(other, klines_topic("1m"), key=None), StorePoint)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["7m", "1m", "binance", "BTCUSDC", "momentum_rsi", "1.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def forged(draw: st.DrawFn) -> dict[str, Any]:
    """The description of a point of any measurement, with anything at some places."""
    measurement = draw(st.sampled_from(list(MEASUREMENTS.values())))
    known = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
    columns = [column.name for column in measurement.columns] or ["momentum_rsi"]
    content: dict[str, Any] = {
        "measurement": measurement.name,
        "tags": {name: known.get(name, "x") for name in measurement.tags},
        "time_ns": NOON_MS * 10**6,
        "fields": dict.fromkeys(columns, 1),
    }
    inner = content[draw(st.sampled_from(["tags", "fields"]))]
    inner[draw(st.sampled_from([*inner, "time_ns"]))] = draw(ANYTHING)
    if draw(st.booleans()):
        content[draw(st.sampled_from(list(content)))] = draw(ANYTHING)
    return content


SOURCES = [TRADES, klines_topic("1m"), klines_live_topic("1m"), "market.book", "pipeline.ledger", "", "x"]


@given(forged() | ANYTHING, st.sampled_from(SOURCES))
def test_no_point_ends_a_replay(content: Any, source: str) -> None:
    outcome = outcome_of(content, source, key=None)
    assert outcome_text(outcome)


@pytest.mark.parametrize("text", ["", "3", "3@", "@3", "a@1", "-1@2", "1@2@3", "1@" + "9" * 30])
def test_a_place_is_partition_and_offset(text: str) -> None:
    with pytest.raises(UsageError, match="PARTITION@OFFSET"):
        Position.parse(text)
    assert str(Position.parse("3@17")) == "3@17"


def test_letters_are_chosen_by_source_reason_and_time() -> None:
    mine = letter(trade(), "websocket:btcusdc@trade")
    assert Filter(source="websocket").matches(mine)
    assert Filter(source="websocket:btcusdc@trade", reason="WH").matches(mine)
    assert not Filter(source="web").matches(mine)
    assert not Filter(reason="other").matches(mine)
    assert not Filter(to_ms=mine.time_ms).matches(mine)
    assert Filter(from_ms=mine.time_ms).matches(mine)


def test_letters_are_chosen_by_exchange_and_symbol() -> None:
    mine = letter(trade(), "websocket:btcusdc@trade")
    assert Filter(exchange="binance", symbol="BTCUSDC").matches(mine)
    assert Filter(symbol="BTCUSDC").matches(mine)
    assert not Filter(exchange="kraken", symbol="BTCUSDC").matches(mine)
    assert not Filter(exchange="binance", symbol="ETHUSDC").matches(mine)


FRAME = {"e": "trade", "s": "BTCUSDC", "t": 7, "p": "1.0", "q": "1.0", "m": False}


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000])
def test_a_time_of_the_future_does_not_become_right_by_waiting(ahead_ms: int) -> None:
    time_ms = NOW_MS + ahead_ms
    frame = {"stream": "btcusdc@trade", "data": FRAME | {"E": time_ms, "T": time_ms}}
    row = {"id": 7, "price": "1.0", "qty": "1.0", "time": time_ms, "isBuyerMaker": False}
    expected = StillBroken if ahead_ms else Republish
    for letter_ in (letter(frame, "websocket:btcusdc@trade"), letter(row, "rest:trades")):
        assert isinstance(CLASSIFIER.classify(letter_, NOW_MS + 10**9), expected)


def test_a_trade_that_rest_did_not_bear_out_stays() -> None:
    assert isinstance(outcome_of(trade(trade_id=2**40), "websocket:trades"), StillBroken)
