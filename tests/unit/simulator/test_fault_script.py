import json
import math
from pathlib import Path

import pytest

from shared.errors import UsageError
from simulator.faults.kinds import kinds_on
from simulator.faults.script import Fault, check_symbols, parse_script
from simulator.protocols.binance.dialect import BINANCE


def one(flag: str) -> Fault:
    (fault,) = parse_script(None, [flag], BINANCE.scope).faults
    return fault


def test_a_flag_names_its_kind_times_and_targets() -> None:
    fault = one("skip:streams=trade+kline,symbols=btcusdc,intervals=1s+1m,from=5,to=9.5,probability=0.25")
    assert (fault.kind, fault.from_s, fault.to_s, fault.probability) == ("skip", 5.0, 9.5, 0.25)
    assert fault.streams == {"trade", "kline"} and fault.symbols == {"BTCUSDC"}
    assert fault.intervals == {"1s", "1m"} and not fault.once


def test_at_fires_once_and_options_have_defaults() -> None:
    fault = one("slow:at=3,delay_ms=50")
    assert (fault.once, fault.count, fault.from_s, fault.to_s) == (True, 1, 3.0, math.inf)
    assert fault.options == {"bytes_per_s": 20_000.0, "delay_ms": 50.0} and fault.duration_s == 5.0


def test_a_file_and_flags_make_one_script_in_order(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    entry = {"kind": "duplicate", "streams": ["trade"], "every": 2, "count": 3}
    path.write_text(json.dumps({"seed": 9, "faults": [entry, {"kind": "drop", "at": 4}]}))
    script = parse_script(path, ["rest_5xx:paths=klines+depth,status=502"], BINANCE.scope)
    assert script.seed == 9
    assert [(fault.index, fault.kind) for fault in script.faults] == [
        (0, "duplicate"), (1, "drop"), (2, "rest_5xx"),
    ]  # fmt: skip
    assert script.faults[2].paths == {"klines", "depth"} and script.faults[2].options["status"] == 502


@pytest.mark.parametrize("kind", kinds_on("binance"))
def test_every_kind_can_be_scripted_by_its_name_and_a_time(kind: str) -> None:
    assert one(f"{kind}:at=1").kind == kind


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("explode", ('"explode"', "drop", "clock_skew")),
        ("skip:streams=trades", ("skip", "streams=trades", "trade, depth, kline, quote")),
        ("skip:lead=3", ("skip", "'lead'", "probability")),
        ("drop:paths=klines,at=1", ("drop", "'paths'")),
        ("drop:duration=3,at=1", ("drop", "'duration'")),
        ("late_kline:streams=kline", ("late_kline", "'streams'", "delay")),
        ("late_kline:intervals=7m", ("late_kline", "intervals=7m", "15m")),
        ("skip:probability=2", ("skip", "probability=2", "up to 1")),
        ("skip:probability=nan", ("skip", "probability=nan")),
        ("skip:count=0", ("skip", "count=0", "from 1 on")),
        ("skip:at=1,to=3", ("skip", "at fires once", "to")),
        ("skip:from=5,to=4", ("skip", "to=4", "from=5")),
        ("drop", ("drop", "at=S", "every=S")),
        ("halt:from=3", ("halt", "at=S")),
        ("skip:at", ("skip:at", "key=value")),
        ("rest_5xx:status=429", ("rest_5xx", "status=429", "500, 502, 503, 504")),
        ("rest_garbage:shape=round", ("rest_garbage", "shape=round", "html")),
        ("rest_429:paths=order", ("rest_429", "paths=order", "exchangeInfo")),
    ],
)
def test_a_wrong_flag_is_refused_by_kind_and_key_with_what_is_allowed(
    flag: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as refused:
        one(flag)
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is not of the form"),
        ('{"fault": []}', "is not of the form"),
        ('{"faults": ["drop"]}', "list of objects"),
        ('{"seed": "x", "faults": []}', "whole number"),
        ('{"faults": [{"at": 1}]}', '"None" is not known'),
        ('{"faults": [{"kind": "skip", "streams": "tick"}]}', "streams=tick"),
        ('{"faults": [{"kind": "skip", "count": true}]}', "count=True"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        parse_script(path, [], BINANCE.scope)
    with pytest.raises(UsageError, match="cannot be read"):
        parse_script(tmp_path / "none.json", [], BINANCE.scope)


def test_symbols_that_are_not_served_are_refused() -> None:
    script = parse_script(None, ["skip:symbols=BTCUSDC+DOGEUSDC"], BINANCE.scope)
    with pytest.raises(UsageError, match="DOGEUSDC is not served; choose from BTCUSDC, ETHUSDC"):
        check_symbols(script.faults, ("BTCUSDC", "ETHUSDC"))
