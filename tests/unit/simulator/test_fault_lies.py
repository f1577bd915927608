"""Lies: events that never were, and the log that knows them as such."""

from pathlib import Path

import orjson
import pytest

from simulator.faults.events import Effect, EventFaults, Hit, Lie, Send
from simulator.faults.requests import Disturbance, RequestFaults
from simulator.faults.script import parse_script
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.binance.manners import BinanceManners
from simulator.protocols.binance.rest import answer
from simulator.protocols.port import RestRequest
from simulator.server.exchange_log import ExchangeLog

START_MS = 1_785_767_130_000
STREAMS = frozenset(("btcusdc@trade", "btcusdc@kline_1s", "btcusdc@kline_1m", "btcusdc@depth@100ms"))


def struck(flag: str) -> tuple[Lie, Hit, list[Effect]]:
    exchange = WorldExchange(("BTCUSDC",), 11, START_MS, 3.0)
    events = []
    while exchange.feed.emitted_until_ms < START_MS + 40_000:
        events += exchange.feed.due(START_MS + 40_000, STREAMS)
    faults = EventFaults(parse_script(None, [flag], BINANCE.scope).faults, 1, START_MS, BINANCE)
    effects = list(faults.step(events, START_MS + 40_000))
    (lie,) = [effect for effect in effects if isinstance(effect, Lie)]
    (hit,) = [effect for effect in effects if isinstance(effect, Hit)]
    return lie, hit, effects


def test_a_trade_is_sent_under_an_id_that_it_does_not_have() -> None:
    lie, hit, effects = struck("wrong_trade_id:at=5")
    assert lie.event.event == {**hit.event.event, "t": 2**53 + 1}
    assert hit.withheld and not lie.event.genuine
    sent = [effect.event for effect in effects if isinstance(effect, Send)]
    assert lie.event in sent and hit.event not in sent


def test_an_id_of_a_script_is_taken_to_the_last_digit() -> None:
    lie, _, _ = struck(f"wrong_trade_id:at=5,trade_id={2**63 - 1}")
    assert lie.event.event["t"] == 2**63 - 1


def test_a_trade_is_sent_with_a_time_at_which_it_was_not_made() -> None:
    lie, hit, _ = struck("far_trade_time:at=5,offset_ms=-86400000")
    assert lie.event.event == {**hit.event.event, "T": hit.event.event["T"] - 86_400_000}


@pytest.mark.parametrize(("ahead", "bars"), [("360000", 360_000), ("0.5", 1)])
def test_a_bar_that_has_not_begun_is_sent_after_the_true_one(ahead: str, bars: int) -> None:
    lie, hit, effects = struck(f"future_bar:at=5,intervals=1s,ahead={ahead}")
    true, told = hit.event.event["k"], lie.event.event["k"]
    assert told == {**true, "t": true["t"] + bars * 1_000, "T": true["T"] + bars * 1_000}
    assert lie.event.event["E"] == hit.event.event["E"] and not hit.withheld
    sent = [effect.event for effect in effects if isinstance(effect, Send)]
    assert sent.index(hit.event) + 1 == sent.index(lie.event)


def test_the_log_marks_lies_and_tells_numberings_apart(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = ExchangeLog(path, ("BTCUSDC",), lambda _record, _symbol, time_ms: int(time_ms >= 1_000), BINANCE)
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


def test_a_stream_is_refused_between_its_times_alone() -> None:
    faults = RequestFaults(
        parse_script(None, ["stream_refused:from=5,to=9,status=451"], BINANCE.scope).faults,
        1,
        START_MS,
        BinanceManners(),
    )
    assert [faults.refused_handshake(START_MS + second * 1000) is not None for second in (4, 5, 8, 9)] == [
        False, True, True, False,
    ]  # fmt: skip
    once = RequestFaults(
        parse_script(None, ["stream_refused:at=5,duration=2"], BINANCE.scope).faults,
        1,
        START_MS,
        BinanceManners(),
    )
    assert [once.refused_handshake(START_MS + second * 1000) is not None for second in (4, 5, 6, 7)] == [
        False, True, True, False,
    ]  # fmt: skip


def requested(flag: str, path: str, now_s: float = 1.0, **query: object) -> Disturbance | None:
    machine = RequestFaults(parse_script(None, [flag], BINANCE.scope).faults, 1, START_MS, BinanceManners())
    pairs = [(name, str(value)) for name, value in query.items()]
    return machine.meet(RestRequest(path, pairs, None, START_MS + round(now_s * 1000)))


def disturbed(flag: str, path: str, now_s: float = 1.0, **query: object) -> Disturbance:
    met = requested(flag, path, now_s, **query)
    assert met is not None
    return met


def test_clients_are_refused_on_the_paths_and_with_the_status_of_the_script() -> None:
    refused = disturbed("rest_4xx", "klines", symbol="BTCUSDC").instead
    assert refused is not None and refused.status == 404
    refused = disturbed("rest_4xx:paths=time,status=451", "time").instead
    assert refused is not None and refused.status == 451 and b"restricted location" in refused.body
    assert requested("rest_4xx:paths=time", "klines") is None
    assert disturbed("rest_dead", "klines").dead


def test_a_database_behind_answers_as_of_then_but_tells_the_time_of_now() -> None:
    assert disturbed("rest_behind:age=20", "klines", symbol="BTCUSDC").age_ms == 20_000
    assert requested("rest_behind", "time") is None and requested("rest_behind", "depth") is None


def test_a_bar_that_was_open_then_and_is_over_now_is_left_out() -> None:
    exchange = WorldExchange(("BTCUSDC",), 7, START_MS, 1.0)
    then_ms = START_MS + 1_000
    query = [("symbol", "BTCUSDC"), ("interval", "1m"), ("limit", "3")]
    given = answer(exchange, RestRequest("klines", query, None, then_ms))
    # The minute of the answer ends 30 s after the start.
    assert len(BinanceManners().without_open_row(given, then_ms, START_MS + 31_000).body) == 2
    assert BinanceManners().without_open_row(given, then_ms, START_MS + 29_000) is given


def test_the_time_jumps_on_its_own_endpoint_alone() -> None:
    jump = disturbed("time_jump:offset_ms=-2592000000", "time")
    assert jump.offset_ms == -2_592_000_000 and requested("time_jump", "exchangeInfo") is None
    exchange = WorldExchange(("BTCUSDC",), 7, START_MS, 1.0)
    told = answer(exchange, RestRequest("time", [], None, START_MS))
    assert BinanceManners().with_server_time(told, jump.offset_ms).body == {
        "serverTime": START_MS - 2_592_000_000
    }
    assert BinanceManners().with_server_time(told, 0).body == told.body
