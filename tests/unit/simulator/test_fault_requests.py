import orjson
import pytest

from simulator.faults.connection import ConnectionFaults
from simulator.faults.requests import Disturbance, RequestFaults
from simulator.faults.script import parse_script
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.binance.manners import BinanceManners
from simulator.protocols.binance.rest import answer
from simulator.protocols.port import RestRequest, Verbatim

START_MS = 1_785_767_130_000


def faults(*flags: str, seed: int = 1) -> RequestFaults:
    return RequestFaults(parse_script(None, flags, BINANCE.scope).faults, seed, START_MS, BinanceManners())


def ask(path: str, now_s: float = 1.0, **query: object) -> RestRequest:
    return RestRequest(path, [(k, str(v)) for k, v in query.items()], None, START_MS + round(now_s * 1000))


def disturbed(machine: RequestFaults, request: RestRequest) -> Disturbance:
    met = machine.meet(request)
    assert met is not None
    return met


def instead(machine: RequestFaults, request: RestRequest) -> Verbatim:
    """What is answered instead of the exchange's answer."""
    answered = disturbed(machine, request).instead
    assert answered is not None
    return answered


def test_decisions_depend_on_the_seed_and_the_requests_number_not_on_the_time() -> None:
    def struck(seed: int, pace: float) -> list[bool]:
        machine = faults("rest_5xx:probability=0.3", seed=seed)
        return [machine.meet(ask("klines", n * pace, symbol="BTCUSDC")) is not None for n in range(200)]

    assert struck(1, 0.1) == struck(1, 0.7) != struck(2, 0.1)
    assert 30 < sum(struck(1, 0.1)) < 90


def test_paths_and_symbols_choose_the_requests() -> None:
    machine = faults("rest_429:paths=klines+depth,symbols=BTCUSDC")
    asked = [
        ask("klines", symbol="BTCUSDC"), ask("depth", symbol="BTCUSDC"),
        ask("klines", symbol="ETHUSDC"), ask("time"),
    ]  # fmt: skip
    assert [machine.meet(request) is not None for request in asked] == [True, True, False, False]


def test_a_duration_is_an_outage_of_all_requests_from_its_first() -> None:
    machine = faults("rest_5xx:at=5,duration=3")
    times = (4.9, 5.5, 6.0, 8.4, 8.5, 20.0)
    struck = [machine.meet(ask("time", time_s)) for time_s in times]
    assert [s is not None for s in struck] == [False, True, True, True, False, False]
    assert [s.first for s in struck if s] == [True, False, False]


@pytest.mark.parametrize(("kind", "status", "wait"), [("rest_429", 429, 3), ("rest_418", 418, 3)])
def test_limits_carry_retry_after_and_binances_code(kind: str, status: int, wait: int) -> None:
    answered = instead(faults(f"{kind}:retry_after=3"), ask("time"))
    body = orjson.loads(answered.body)
    assert (answered.status, answered.headers["Retry-After"], body["code"]) == (status, str(wait), -1003)
    if status == 418:
        assert f"IP banned until {START_MS + 1_000 + 3_000}" in body["msg"]


def test_server_errors_and_garbage_are_drawn_or_chosen() -> None:
    machine = faults("rest_5xx")
    drawn = {instead(machine, ask("time")).status for _ in range(60)}
    assert drawn == {500, 502, 503, 504}
    assert instead(faults("rest_5xx:status=502"), ask("time")).content_type == "text/html"
    machine = faults("rest_garbage")
    bodies = {instead(machine, ask("klines")).body for _ in range(60)}
    assert len(bodies) == 5
    assert {instead(machine, ask("klines")).status for _ in range(9)} == {200}


def test_held_cut_and_old_answers_are_left_to_the_server() -> None:
    held = disturbed(faults("rest_timeout:duration=7"), ask("time"))
    assert (held.hold_s, held.instead) == (7.0, None)
    assert disturbed(faults("rest_cut"), ask("time")).cut
    machine = faults("rest_old_snapshot:age=4")
    assert machine.meet(ask("klines", symbol="BTCUSDC")) is None
    assert disturbed(machine, ask("depth", symbol="BTCUSDC")).age_ms == 4_000


def test_historical_trades_are_refused_as_on_the_market_data_host() -> None:
    machine = faults("historical_trades_refused")
    assert instead(machine, ask("historicalTrades", symbol="BTCUSDC")).status == 404
    assert machine.meet(ask("trades", symbol="BTCUSDC")) is None


def test_a_server_whose_clock_is_ahead_never_shows_half_a_bar_as_finished() -> None:
    exchange = WorldExchange(("BTCUSDC",), 7, START_MS, 1.0)
    machine = faults("clock_skew:offset_ms=40000")
    # 30 s into the minute: by the wrong clock it is over.
    request = ask("klines", symbol="BTCUSDC", interval="1m", limit=3)
    true = answer(exchange, request)
    skewed, fault = machine.skew(request, true)
    assert fault is not None and skewed.body == true.body[:-1]
    assert skewed.klines is not None and true.klines is not None
    assert skewed.klines[2] == true.klines[2][:-1]
    server_time = machine.skew(ask("time"), answer(exchange, ask("time")))[0].body["serverTime"]
    assert server_time == START_MS + 1_000 + 40_000
    behind, fault = faults("clock_skew:offset_ms=-40000").skew(request, true)
    assert behind is true and fault is None
    (skew,) = parse_script(None, ["clock_skew:from=5,to=9"], BINANCE.scope).faults
    assert RequestFaults([skew], 1, START_MS, BinanceManners()).skew(ask("time", 9.0), true)[1] is None


def test_a_slow_link_delays_by_bytes_and_by_latency_until_its_time_is_over() -> None:
    (fault,) = parse_script(
        None, ["slow:at=1,duration=10,bytes_per_s=1000,delay_ms=200"], BINANCE.scope
    ).faults
    connection = ConnectionFaults()
    assert connection.wait_s(500, 100.0, 100.0) == 0
    connection.slow_down(fault, 100.0)
    assert connection.wait_s(500, 100.0, 100.0) == pytest.approx(0.5)
    assert connection.wait_s(500, 100.0, 100.5) == pytest.approx(0.5)
    assert connection.wait_s(1, 102.0, 102.0) == pytest.approx(0.2)
    assert connection.wait_s(10**6, 110.0, 110.0) == 0 and connection.slowed_by is None


def test_a_silent_link_speaks_again_after_its_duration() -> None:
    (fault,) = parse_script(None, ["silent:at=1,duration=4"], BINANCE.scope).faults
    connection = ConnectionFaults()
    connection.silence(fault, 100.0)
    assert connection.silent_for(101.0) == pytest.approx(3.0) and connection.silent_for(104.0) == 0
