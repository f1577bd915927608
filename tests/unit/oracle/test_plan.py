"""Plans are functions of their seed, and hold everything that is to go wrong."""

import ast
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

import oracle
from oracle.plan import FAMILIES, plan
from simulator.faults.kinds import OF_THE_MARKET
from simulator.faults.script import parse_entries
from simulator.protocols.binance.dialect import BINANCE

PLANS = [plan(seed) for seed in range(1, 201)]


def test_equal_seeds_give_equal_plans() -> None:
    assert [plan(seed) for seed in range(1, 201)] == PLANS
    assert len({repr(each) for each in PLANS}) == 200


def test_every_plan_is_a_script_that_the_exchange_takes() -> None:
    for each in PLANS:
        faults = parse_entries(orjson.loads(orjson.dumps(each.faults)), BINANCE.scope)
        assert {symbol for fault in faults for symbol in fault.symbols} <= set(each.symbols)


def test_two_hundred_plans_hold_every_family_every_clock_and_every_engine() -> None:
    kinds = Counter(fault["kind"] for each in PLANS for fault in each.faults)
    assert {*OF_THE_MARKET, "stream_refused", "skip", "mute", "rest_4xx", "rest_dead", "rest_behind"} <= set(
        kinds
    )
    assert {"wrong_trade_id", "far_trade_time", "future_bar", "clock_skew", "time_jump"} <= set(kinds)
    assert {act.what for each in PLANS for act in each.acts} == {
        "kill", "freeze", "clock", "remove-store", "power-cut",
    }  # fmt: skip
    assert {act.target for each in PLANS for act in each.acts if act.what == "kill"} == {
        "producers",
        "consumers",
    }
    assert {(each.broker == "kafka", each.store == "influxdb") for each in PLANS} >= {
        (False, False), (True, False), (False, True),
    }  # fmt: skip
    assert sum(each.undisturbed for each in PLANS) >= 4
    assert sum(len(each.durations_s) > 1 for each in PLANS) >= 20


def test_as_many_seeds_in_a_row_as_there_are_families_begin_with_one_of_each_unless_left_alone() -> None:
    row = PLANS[: len(FAMILIES)]
    assert len({each.title.split(" + ")[0] for each in row}) >= len(FAMILIES) - 4


@pytest.mark.parametrize(
    "file", sorted(Path(oracle.__file__).parent.rglob("*.py")), ids=lambda file: file.name
)
def test_the_oracle_knows_the_standard_library_and_itself_alone(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {*sys.stdlib_module_names, "oracle"}
