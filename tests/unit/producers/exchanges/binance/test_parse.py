"""Binance's frames and rows as messages of the contract, and what is not one."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.binance.rows import kline_of_row, snapshot_of_body, trade_of_row
from producers.exchanges.frame_types import ControlReply, Ignored, Rejected, ServerShutdown, StreamMessage
from shared.errors import InvalidMessage
from shared.models import MODELS
from tests.bad_frames import bad_frames
from tests.builders import NOW_MS, event_of

FEEDS = Path(__file__).resolve().parents[4] / "feeds"

TRADE: dict[str, Any] = {
    "e": "trade",
    "E": 1785767103218,
    "s": "ETHUSDT",
    "t": 2300000101,
    "p": "3120.45000000",
    "q": "0.75000000",
    "T": 1785767103217,
    "m": False,
    "M": True,
}
DIFF: dict[str, Any] = {
    "e": "depthUpdate",
    "E": 1785767103300,
    "s": "ETHUSDT",
    "U": 98000000300,
    "u": 98000000321,
    "b": [["3120.44000000", "12.00000000"]],
    "a": [],
}
QUOTE: dict[str, Any] = {
    "u": 98000000321,
    "s": "ETHUSDT",
    "b": "3120.44000000",
    "B": "12.00000000",
    "a": "3120.45000000",
    "A": "3.10000000",
}
KLINE: dict[str, Any] = {
    "e": "kline",
    "E": 1785767160003,
    "s": "ETHUSDT",
    "k": {
        "t": 1785767100000,
        "T": 1785767159999,
        "s": "ETHUSDT",
        "i": "1m",
        "f": 2300000050,
        "L": 2300000131,
        "o": "3119.90000000",
        "c": "3120.50000000",
        "h": "3121.00000000",
        "l": "3119.50000000",
        "v": "131.00000000",
        "n": 82,
        "x": True,
        "q": "408762.90000000",
        "V": "70.00000000",
        "Q": "218430.00000000",
        "B": "0",
    },
}
STREAMS = {
    "trade": ("ethusdt@trade", TRADE),
    "depth": ("ethusdt@depth@100ms", DIFF),
    "quote": ("ethusdt@bookTicker", QUOTE),
    "kline": ("ethusdt@kline_1m", KLINE),
}


def frame(stream: str, data: Any, **extra: Any) -> bytes:
    return orjson.dumps({"stream": stream, "data": data, **extra})


def parsed(kind: str, **extra: Any) -> Any:
    stream, data = STREAMS[kind]
    answer = event_of(frame(stream, data, **extra), NOW_MS)
    assert isinstance(answer, StreamMessage)
    assert answer.kind == kind
    return answer.message


@pytest.mark.parametrize("kind", STREAMS)
def test_a_frame_becomes_a_message_of_the_contract_in_its_key_order(kind: str) -> None:
    message = parsed(kind)
    fields = {field.alias or name: field for name, field in MODELS[kind].model_fields.items()}
    assert list(message) == [name for name, field in fields.items() if field.is_required()]
    MODELS[kind].model_validate(message)
    assert (message["source"], message["received_time_ms"]) == ("stream", NOW_MS)


def test_the_letters_of_a_bar_are_named_rightly() -> None:
    message = parsed("kline")
    named = {name: message[name] for name in ("open", "high", "low", "close", "base_volume", "quote_volume")}
    assert named == {
        "open": "3119.90000000",
        "high": "3121.00000000",
        "low": "3119.50000000",
        "close": "3120.50000000",
        "base_volume": "131.00000000",
        "quote_volume": "408762.90000000",
    }
    assert (message["taker_buy_base_volume"], message["first_trade_id"]) == ("70.00000000", 2300000050)


def test_a_replayed_frame_keeps_the_recordings_receive_time() -> None:
    message = parsed("trade", receivedTime=1785767103225)
    assert (message["source"], message["received_time_ms"]) == ("replay", 1785767103225)


@pytest.mark.parametrize("kind", ["trade", "depth", "kline"])
def test_microseconds_and_milliseconds_give_the_same_message(kind: str) -> None:
    stream, data = STREAMS[kind]
    micro = copy.deepcopy(data)
    for place in (micro, micro.get("k", {})):
        for letter in ("E", "T", "t"):
            if letter in place and place[letter] > 10**12:
                place[letter] *= 1000
    answer = event_of(frame(stream, micro), NOW_MS)
    assert isinstance(answer, StreamMessage)
    assert answer.message == parsed(kind)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({**TRADE, "p": "-1"}, "price"),
        ({**TRADE, "t": "7"}, "trade_id"),
        ({key: value for key, value in TRADE.items() if key != "q"}, "'q' is missing"),
        ({**TRADE, "T": None}, "wrong type"),
        ({**DIFF, "b": [["1.0"]]}, "bids"),
        ({**DIFF, "u": 1}, "final_update_id"),
        ({**KLINE, "k": None}, "wrong type"),
        ({**KLINE, "k": {**KLINE["k"], "i": "7m"}}, "interval"),
        ({**KLINE, "k": {**KLINE["k"], "i": ["1m"]}}, "wrong type"),
        ({**KLINE, "k": {**KLINE["k"], "t": 1785767100001}}, "open_time_ms"),
    ],
)
def test_a_frame_that_breaks_the_contract_is_rejected_with_its_reason(data: Any, reason: str) -> None:
    answer = event_of(frame("ethusdt@trade", data), NOW_MS)
    assert isinstance(answer, Rejected)
    assert answer.stream == "ethusdt@trade"
    assert reason in answer.reason


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe", b"{", b"[1]", b"null", b"{}", b'{"data":7}'])
def test_what_is_no_event_is_rejected(junk: bytes) -> None:
    assert isinstance(event_of(junk, NOW_MS), Rejected)


@pytest.mark.parametrize("receivedTime", ["x", -1, 1.5, [], True])
def test_a_wrong_receive_time_is_rejected(receivedTime: Any) -> None:  # noqa: N803
    assert isinstance(event_of(frame("s", TRADE, receivedTime=receivedTime), NOW_MS), Rejected)


@pytest.mark.parametrize("data", [{**TRADE, "e": "aggTrade"}, {"lastUpdateId": 1}])
def test_events_of_other_kinds_are_ignored(data: Any) -> None:
    assert isinstance(event_of(frame("ethusdt@depth20", data), NOW_MS), Ignored)


def test_unknown_fields_are_ignored() -> None:
    assert event_of(frame("ethusdt@trade", {**TRADE, "new": 1}, more=2), NOW_MS) == StreamMessage(
        "trade", parsed("trade")
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"e":"serverShutdown","E":1785767100000}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1785767100000}}',
    ],
)
def test_the_servers_farewell_is_known_in_both_envelopes(text: str) -> None:
    assert event_of(text, NOW_MS) == ServerShutdown()


def test_control_replies_are_known_in_both_shapes() -> None:
    assert event_of('{"result":null,"id":7}', NOW_MS) == ControlReply("7", None)
    wrapped = event_of('{"error":{"code":2,"msg":"Invalid request"},"id":4}', NOW_MS)
    bare = event_of('{"code":2,"msg":"Invalid request","id":4}', NOW_MS)
    assert wrapped == bare == ControlReply("4", "Invalid request (code 2)")


def test_a_row_of_klines_has_another_order_than_the_stream() -> None:
    bar = KLINE["k"]
    row = [bar[letter] for letter in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
    message: dict[str, Any] = dict(kline_of_row("ETHUSDT", "1m", row, NOW_MS))
    streamed = parsed("kline")
    differing = {name for name in streamed if message[name] != streamed[name]}
    assert differing == {"event_time_ms", "source", "first_trade_id", "last_trade_id"}


@pytest.mark.parametrize("row", [None, [], [1] * 11, {"a": 1}])
def test_a_broken_row_of_klines_raises(row: Any) -> None:
    with pytest.raises(InvalidMessage):
        kline_of_row("ETHUSDT", "1m", row, NOW_MS)


@pytest.mark.parametrize("row", [None, [], {}, {"id": 1, "time": "x"}])
def test_a_broken_row_of_trades_raises(row: Any) -> None:
    with pytest.raises(InvalidMessage):
        trade_of_row("ETHUSDT", row, NOW_MS)


def rest(recordings: Path, name: str) -> Any:
    return json.loads(
        (recordings / "binance_spot_rest" / f"nautilus_http_spot_market_{name}.json").read_text()
    )


def test_recorded_rest_answers_are_read(recordings: Path) -> None:
    trades = [trade_of_row("BTCUSDT", row, NOW_MS) for row in rest(recordings, "historical_trades")]
    ids = [trade["trade_id"] for trade in trades]
    assert ids == list(range(ids[0], ids[0] + 10))
    klines = [kline_of_row("BTCUSDT", "1m", row, NOW_MS) for row in rest(recordings, "klines")]
    steps = {after["open_time_ms"] - before["open_time_ms"] for before, after in pairwise(klines)}
    assert (len(klines), steps) == (10, {60_000})
    snapshot = snapshot_of_body("BTCUSDT", rest(recordings, "depth"), NOW_MS)
    assert (snapshot["final_update_id"], len(snapshot["bids"])) == (14527958487, 10)


def test_no_frame_that_is_broken_by_construction_passes() -> None:
    accepted = [
        frame
        for frame in bad_frames(7, 20_000, "BTCUSDC", NOW_MS)
        if not isinstance(event_of(frame, NOW_MS), Rejected)
    ]
    assert accepted == []


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(frame: bytes) -> None:
    assert not isinstance(event_of(frame, NOW_MS), StreamMessage)


BAR_OPEN_MS = 1785767100000


def framed(event: dict[str, Any], received_ms: int | None = None) -> bytes:
    envelope = {"stream": "ethusdt@x", "data": event}
    return orjson.dumps(envelope if received_ms is None else envelope | {"receivedTime": received_ms})


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (TRADE | {"E": TRADE["E"] + 300_000}, "event_time_ms"),
        (TRADE | {"T": TRADE["T"] + 600_000}, "trade_time_ms"),
        (TRADE | {"T": (TRADE["T"] + 600_000) * 1000}, "trade_time_ms"),
        (DIFF | {"E": TRADE["E"] + 600_000}, "event_time_ms"),
        (KLINE | {"E": KLINE["E"] + 60_000}, "event_time_ms"),
        (KLINE | {"k": KLINE["k"] | {"t": KLINE["k"]["t"] + 100 * 3_600_000}}, "open_time_ms"),
    ],
)
def test_a_time_beyond_the_exchanges_clock_is_refused_by_name(event: dict[str, Any], field: str) -> None:
    latest_ms = KLINE["E"] + 10_000
    parsed = event_of(framed(event), NOW_MS, latest_ms)
    assert isinstance(parsed, Rejected)
    assert (parsed.field, parsed.ahead) == (field, True)
    assert field in parsed.reason
    # The same frame is fine once the exchange's clock has got there.
    assert isinstance(event_of(framed(event), NOW_MS, latest_ms + 400 * 3_600_000), StreamMessage)


@pytest.mark.parametrize("behind_ms", [600_001, 3_600_000, 720 * 3_600_000])
@pytest.mark.parametrize("received_ms", [None, NOW_MS], ids=["live", "replay"])
def test_a_trade_long_before_its_own_event_is_refused(behind_ms: int, received_ms: int | None) -> None:
    for unit in (1, 1000):
        event = TRADE | {"E": TRADE["E"] * unit, "T": (TRADE["E"] - behind_ms) * unit}
        parsed = event_of(framed(event, received_ms), NOW_MS)
        assert isinstance(parsed, Rejected)
        # No clock of the exchange would make it right.
        assert (parsed.field, parsed.ahead) == ("trade_time_ms", False)
        late = TRADE | {"E": TRADE["E"] * unit, "T": (TRADE["E"] - 600_000) * unit}
        assert isinstance(event_of(framed(late, received_ms), NOW_MS), StreamMessage)


def test_a_bar_that_ends_later_than_now_may_be_open_but_not_closed() -> None:
    bar = KLINE["k"] | {"t": BAR_OPEN_MS, "i": "1m", "x": False}
    latest_ms = BAR_OPEN_MS + 30_000
    event = KLINE | {"E": BAR_OPEN_MS + 20_000}
    assert isinstance(event_of(framed(event | {"k": bar}), NOW_MS, latest_ms), StreamMessage)
    parsed = event_of(framed(event | {"k": bar | {"x": True}}), NOW_MS, latest_ms)
    assert isinstance(parsed, Rejected)
    assert parsed.field == "close_time_ms"


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (TRADE | {"t": 2**53 + 1}, "trade_id"),
        (TRADE | {"t": -1}, "trade_id"),
        (DIFF | {"u": 2**53 + 1}, "final_update_id"),
        (DIFF | {"U": -1}, "first_update_id"),
        (QUOTE | {"u": 2**53}, "update_id"),
        (KLINE | {"k": KLINE["k"] | {"L": 2**53 + 1}}, "last_trade_id"),
    ],
)
def test_an_id_out_of_bounds_is_refused_by_name(event: dict[str, Any], field: str) -> None:
    stream = "ethusdt@bookTicker" if "e" not in event else "ethusdt@x"
    parsed = event_of(orjson.dumps({"stream": stream, "data": event}), NOW_MS)
    assert isinstance(parsed, Rejected)
    assert (parsed.field, parsed.ahead) == (field, False)


def test_in_replay_the_clock_is_the_recordings_however_old_it_is() -> None:
    received_ms = TRADE["E"] + 5
    assert isinstance(event_of(framed(TRADE, received_ms), NOW_MS, 0), StreamMessage)
    for event in (
        TRADE | {"T": TRADE["E"] + 60_000},
        TRADE | {"E": TRADE["E"] + 3_600_000, "T": TRADE["E"] + 3_600_000},
    ):
        parsed = event_of(framed(event, received_ms), NOW_MS)
        assert isinstance(parsed, Rejected)
        # Asking the exchange for its clock would tell nothing.
        assert (parsed.field.endswith("time_ms"), parsed.ahead) == (True, False)


def test_in_replay_a_recorders_clock_may_be_wrong_by_minutes() -> None:
    assert isinstance(event_of(framed(TRADE, TRADE["E"] - 300_000), NOW_MS), StreamMessage)


def test_a_closed_bar_fifty_hours_ahead_of_its_own_event_time_is_refused_in_replay() -> None:
    lines = (FEEDS / "future-bar.jsonl").read_bytes().splitlines()
    parsed = [event_of(line, NOW_MS) for line in lines]
    assert [type(frame) for frame in parsed].count(Rejected) == 1
    assert all(isinstance(frame, StreamMessage) for frame in parsed if not isinstance(frame, Rejected))


@pytest.mark.parametrize(
    ("price", "quantity"), [("0.00000000", "0.00000000"), ("0", "0"), ("0.0", "5"), ("1.5", "0.00")]
)
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_side_of_a_quote_that_nobody_is_on_is_null(side: str, price: str, quantity: str) -> None:
    letters = ("b", "B") if side == "bid" else ("a", "A")
    answer = event_of(frame("ethusdt@bookTicker", {**QUOTE, letters[0]: price, letters[1]: quantity}), NOW_MS)
    assert isinstance(answer, StreamMessage)
    other = "ask" if side == "bid" else "bid"
    assert (answer.message[f"{side}_price"], answer.message[f"{side}_quantity"]) == (None, None)
    assert None not in (answer.message[f"{other}_price"], answer.message[f"{other}_quantity"])


@pytest.mark.parametrize(
    ("price", "quantity"),
    [("0.00000000", "much"), ("0.0", ""), (None, None), ("0", None), (None, "0"), (0, 0)],
)
def test_an_unreadable_side_of_a_quote_is_no_empty_one(price: Any, quantity: Any) -> None:
    answer = event_of(frame("ethusdt@bookTicker", {**QUOTE, "b": price, "B": quantity}), NOW_MS)
    assert isinstance(answer, Rejected)
