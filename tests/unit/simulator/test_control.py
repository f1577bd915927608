from typing import Any

import orjson
import pytest

from simulator.outgoing import Outgoing
from simulator.protocols.binance.control import ControlSession
from simulator.protocols.binance.envelopes import encoded
from simulator.protocols.binance.stream_names import parse_stream_name
from simulator.protocols.binance.weights import Granted, Refused, WeightCounter
from simulator.protocols.port import FrameLimit


def ask(session: ControlSession, **request: Any) -> Any:
    return orjson.loads(session.receive(orjson.dumps(request).decode()))


@pytest.fixture
def session() -> ControlSession:
    return ControlSession(["btcusdc@trade"], combined=True)


def test_subscribe_unsubscribe_and_list_echo_the_id(session: ControlSession) -> None:
    assert ask(session, method="SUBSCRIBE", params=["ethusdc@trade"], id=7) == {"result": None, "id": 7}
    assert ask(session, method="UNSUBSCRIBE", params=["btcusdc@trade"], id="abc") == {
        "result": None,
        "id": "abc",
    }
    assert ask(session, method="LIST_SUBSCRIPTIONS", id=None) == {"result": ["ethusdc@trade"], "id": None}


def test_a_name_that_means_nothing_is_accepted_and_so_are_repetitions(session: ControlSession) -> None:
    for _ in range(2):
        assert ask(session, method="SUBSCRIBE", params=["nope@whatever"], id=1)["result"] is None
        assert ask(session, method="UNSUBSCRIBE", params=["never@seen"], id=2)["result"] is None
    assert list(session.streams) == ["btcusdc@trade", "nope@whatever"]


def test_the_combined_property_is_read_and_set(session: ControlSession) -> None:
    assert ask(session, method="GET_PROPERTY", params=["combined"], id=1) == {"result": True, "id": 1}
    assert ask(session, method="SET_PROPERTY", params=["combined", False], id=2) == {"result": None, "id": 2}
    assert session.combined is False


TOO_MANY = "Invalid request: too many parameters"
NO_STRING = "Invalid request: property name must be a string"
NO_BOOLEAN = "Invalid value type: expected Boolean"
BAD_ID = "Invalid request: request ID must be an unsigned integer"
VARIANT = (
    "Invalid request: unknown variant `X`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, "
    "`SET_PROPERTY`, `GET_PROPERTY` at line 1 column 13"
)


@pytest.mark.parametrize(
    ("text", "code", "message", "request_id"),
    [
        ('{"method":"X","id":4}', 2, VARIANT, 4),
        ('{"id":4}', 2, "Invalid request: missing field `method` at line 1 column 8", 4),
        ("{", 3, "Invalid JSON: expected value at line 1 column 2", None),
        ("[]", 3, "Invalid JSON: expected value at line 1 column 1", None),
        ('{"method":"SUBSCRIBE","params":["a@b"]}', 2, BAD_ID, None),
        ('{"method":"SUBSCRIBE","params":["a@b"],"id":1.5}', 2,
         BAD_ID, None),
        ('{"method":"SUBSCRIBE","params":["nonsense"],"id":4}', 2, "Invalid request: invalid stream", 4),
        ('{"method":"SUBSCRIBE","params":[5],"id":4}', 2, "Invalid request: invalid stream", 4),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["a"],"id":4}', 2, TOO_MANY, 4),
        ('{"method":"GET_PROPERTY","params":["other"],"id":4}', 0, "Unknown property", 4),
        ('{"method":"GET_PROPERTY","params":[1],"id":4}', 2, NO_STRING, 4),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":4}', 1, NO_BOOLEAN, 4),
    ],
)  # fmt: skip
def test_refusals_have_binances_codes_and_texts_in_the_error_envelope(
    session: ControlSession, text: str, code: int, message: str, request_id: int | None
) -> None:
    reply = orjson.loads(session.receive(text))
    assert reply == {"error": {"code": code, "msg": message}, "id": request_id}
    assert list(session.streams) == ["btcusdc@trade"]


def test_the_1025th_stream_is_refused_and_nothing_of_that_request_subscribed(session: ControlSession) -> None:
    names = [f"s{number}@trade" for number in range(1023)]
    assert ask(session, method="SUBSCRIBE", params=names, id=1)["result"] is None
    refused = ask(session, method="SUBSCRIBE", params=["one@more"], id=2)
    assert refused == {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 2}
    assert len(session.streams) == 1024


def test_the_sixth_frame_within_a_second_is_too_many() -> None:
    limit = FrameLimit(5)
    assert [limit.exceeded(now) for now in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)] == [False] * 5 + [True]
    limit = FrameLimit(5)
    assert not any(limit.exceeded(number * 0.25) for number in range(40))


def test_an_event_is_wrapped_and_its_times_are_scaled_as_the_connection_asked() -> None:
    kline = {"e": "kline", "E": 5, "s": "X", "k": {"t": 1000, "T": 1999, "f": 3}}
    event = Outgoing("x@kline_1s", kline)
    assert orjson.loads(encoded(event, combined=False, microseconds=False)) == kline
    assert orjson.loads(encoded(event, combined=True, microseconds=True)) == {
        "stream": "x@kline_1s",
        "data": {"e": "kline", "E": 5000, "s": "X", "k": {"t": 1_000_000, "T": 1_999_999, "f": 3}},
    }
    recorded = Outgoing("x@trade", {"T": 1}, received_time_ms=17)
    assert orjson.loads(encoded(recorded, combined=True, microseconds=False))["receivedTime"] == 17
    assert orjson.loads(encoded(recorded, combined=False, microseconds=False)) == {"T": 1}


@pytest.mark.parametrize(
    "name", ["btcusdc@kline_7m", "btcusdc@Trade", "BTCUSDC@trade", "@trade", "btcusdc@depth7", "!x"]
)
def test_case_and_spelling_of_streams_matter(name: str) -> None:
    assert parse_stream_name(name) is None


def test_minutes_and_months_are_told_apart() -> None:
    minute, month = parse_stream_name("btcusdc@kline_1m"), parse_stream_name("btcusdc@kline_1M@+08:00")
    assert minute and minute.interval == "1m" and minute.offset_ms == 0
    assert month and month.interval == "1M" and month.offset_ms == 8 * 3_600_000


NOON_MS = 1_785_758_400_000


class TestWeights:
    def test_the_count_is_kept_by_address_and_starts_anew_with_the_minute(self) -> None:
        weights = WeightCounter()
        assert weights.charge("a", 250, NOON_MS) == Granted(250)
        assert weights.charge("a", 20, NOON_MS + 59_999) == Granted(270)
        assert weights.charge("b", 1, NOON_MS + 59_999) == Granted(1)
        assert weights.charge("a", 1, NOON_MS + 60_000) == Granted(1)

    def test_beyond_6000_requests_are_refused_until_the_minute_turns(self) -> None:
        weights = WeightCounter()
        assert weights.charge("a", 6_000, NOON_MS + 15_000) == Granted(6_000)
        assert weights.charge("a", 1, NOON_MS + 15_001) == Refused(429, 45, 6_001)
        assert weights.charge("a", 1, NOON_MS + 59_999) == Refused(429, 1, 6_002)
        assert weights.charge("a", 1, NOON_MS + 60_000) == Granted(1)

    def test_who_ignores_refusals_is_banned_and_the_next_ban_is_longer(self) -> None:
        weights = WeightCounter()
        weights.charge("a", 6_000, NOON_MS)
        answers = [weights.charge("a", 1, NOON_MS + 1) for _ in range(11)]
        assert {a.status if isinstance(a, Refused) else None for a in answers[:10]} == {429}
        assert answers[10] == Refused(418, 120, 6_011, NOON_MS + 1 + 120_000)
        refused = weights.charge("a", 1, NOON_MS + 60_001)
        assert isinstance(refused, Refused) and refused.status == 418
        later = NOON_MS + 180_000
        weights.charge("a", 6_000, later)
        again = [weights.charge("a", 1, later + 1) for _ in range(11)][-1]
        assert isinstance(again, Refused)
        assert (again.status, again.retry_after_s) == (418, 240)
