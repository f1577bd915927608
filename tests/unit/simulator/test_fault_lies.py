"""Lies: events that never were, and the log that knows them as such."""

import orjson
import pytest

from simulator.faults.events import EventFaults, Hit, Lie, Send
from simulator.faults.handshakes import HandshakeFaults
from simulator.faults.requests import RequestFaults, with_server_time, without_open_row
from simulator.faults.script import parse_script
from simulator.protocol.rest import RestRequest, answer
from simulator.server.truth_log import TruthLog
from simulator.world.exchange import WorldExchange

START_MS = 1_785_767_130_000
STREAMS = frozenset(("btcusdc@trade", "btcusdc@kline_1s", "btcusdc@kline_1m", "btcusdc@depth@100ms"))


def struck(flag: str):
    exchange = WorldExchange(("BTCUSDC",), 11, START_MS, 3.0)
    events = []
    while exchange.feed.emitted_until_ms < START_MS + 40_000:
        events += exchange.feed.due(START_MS + 40_000, STREAMS)
    faults = EventFaults(parse_script(None, [flag]).faults, 1, START_MS)
    effects = list(faults.step(events, START_MS + 40_000))
    (lie,) = [effect for effect in effects if isinstance(effect, Lie)]
    (hit,) = [effect for effect in effects if isinstance(effect, Hit)]
    return lie, hit, effects


def test_a_trade_is_sent_under_an_id_that_it_does_not_have():
    lie, hit, effects = struck("wrong_trade_id:at=5")
    assert lie.event.event == {**hit.event.event, "t": 2**53 + 1}
    assert hit.withheld and not lie.event.genuine
    sent = [effect.event for effect in effects if isinstance(effect, Send)]
    assert lie.event in sent and hit.event not in sent


def test_an_id_of_a_script_is_taken_to_the_last_digit():
    lie, _, _ = struck(f"wrong_trade_id:at=5,trade_id={2**63 - 1}")
    assert lie.event.event["t"] == 2**63 - 1


def test_a_trade_is_sent_with_a_time_at_which_it_was_not_made():
    lie, hit, _ = struck("far_trade_time:at=5,offset_ms=-86400000")
    assert lie.event.event == {**hit.event.event, "T": hit.event.event["T"] - 86_400_000}


@pytest.mark.parametrize(("ahead", "bars"), [("360000", 360_000), ("0.5", 1)])
def test_a_bar_that_has_not_begun_is_sent_after_the_true_one(ahead, bars):
    lie, hit, effects = struck(f"future_bar:at=5,intervals=1s,ahead={ahead}")
    true, told = hit.event.event["k"], lie.event.event["k"]
    assert told == {**true, "t": true["t"] + bars * 1_000, "T": true["T"] + bars * 1_000}
    assert lie.event.event["E"] == hit.event.event["E"] and not hit.withheld
    sent = [effect.event for effect in effects if isinstance(effect, Send)]
    assert sent.index(hit.event) + 1 == sent.index(lie.event)


def test_the_log_marks_lies_and_tells_numberings_apart(tmp_path):
    path = tmp_path / "log.jsonl"
    log = TruthLog(path, ("BTCUSDC",), lambda _record, _symbol, time_ms: int(time_ms >= 1_000))
    lie, hit, _ = struck("wrong_trade_id:at=5")
    log.issued(hit.event)
    log.lied("wrong_trade_id", lie.event)
    bar_lie, _, _ = struck("future_bar:at=5,intervals=1s")
    log.lied("future_bar", bar_lie.event)
    early = hit.event.changed({**hit.event.event, "T": 999})
    log.issued(early)
    log.close()
    entries = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    trade_id = hit.event.event["t"]
    assert [(entry["trade_id"], entry.get("numbering")) for entry in entries if entry["kind"] == "trade"] == [
        (trade_id, 1), (trade_id, None),
    ]  # fmt: skip
    lies = [entry for entry in entries if entry["kind"] == "lie"]
    assert [entry["stream"] for entry in lies] == ["trade", "kline"]
    assert lies[0]["trade_id"] == 2**53 + 1 and lies[1]["open_time_ms"] == bar_lie.event.event["k"]["t"]


def test_a_stream_is_refused_between_its_times_alone():
    faults = HandshakeFaults(
        parse_script(None, ["stream_refused:from=5,to=9,status=451"]).faults, 1, START_MS
    )
    assert [faults.meet(START_MS + second * 1000) is not None for second in (4, 5, 8, 9)] == [
        False, True, True, False,
    ]  # fmt: skip
    once = HandshakeFaults(parse_script(None, ["stream_refused:at=5,duration=2"]).faults, 1, START_MS)
    assert [once.meet(START_MS + second * 1000) is not None for second in (4, 5, 6, 7)] == [
        False, True, True, False,
    ]  # fmt: skip


def requested(flag: str, path: str, now_s: float = 1.0, **query: object):
    machine = RequestFaults(parse_script(None, [flag]).faults, 1, START_MS)
    pairs = [(name, str(value)) for name, value in query.items()]
    return machine.meet(RestRequest(path, pairs, None, START_MS + round(now_s * 1000)))


def test_clients_are_refused_on_the_paths_and_with_the_status_of_the_script():
    assert requested("rest_4xx", "klines", symbol="BTCUSDC").instead.status == 404
    refused = requested("rest_4xx:paths=time,status=451", "time")
    assert refused.instead.status == 451 and b"restricted location" in refused.instead.body
    assert requested("rest_4xx:paths=time", "klines") is None
    assert requested("rest_dead", "klines").dead


def test_a_database_behind_answers_as_of_then_but_tells_the_time_of_now():
    assert requested("rest_behind:age=20", "klines", symbol="BTCUSDC").age_ms == 20_000
    assert requested("rest_behind", "time") is None and requested("rest_behind", "depth") is None


def test_a_bar_that_was_open_then_and_is_over_now_is_left_out():
    exchange = WorldExchange(("BTCUSDC",), 7, START_MS, 1.0)
    then_ms = START_MS + 1_000
    query = [("symbol", "BTCUSDC"), ("interval", "1m"), ("limit", "3")]
    given = answer(exchange, RestRequest("klines", query, None, then_ms))
    # The minute of the answer ends 30 s after the start.
    assert len(without_open_row(given, then_ms, START_MS + 31_000).body) == 2
    assert without_open_row(given, then_ms, START_MS + 29_000) is given


def test_the_time_jumps_on_its_own_endpoint_alone():
    jump = requested("time_jump:offset_ms=-2592000000", "time")
    assert jump.offset_ms == -2_592_000_000 and requested("time_jump", "exchangeInfo") is None
    exchange = WorldExchange(("BTCUSDC",), 7, START_MS, 1.0)
    told = answer(exchange, RestRequest("time", [], None, START_MS))
    assert with_server_time(told, jump.offset_ms).body == {"serverTime": START_MS - 2_592_000_000}
    assert with_server_time(told, 0).body == told.body
