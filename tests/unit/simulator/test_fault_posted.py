"""Faults that are asked for while the simulator runs: read as those of a script, refused as clearly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import UsageError
from simulator.faults.script import parse_posted
from simulator.protocols.binance.dialect import BINANCE

SYMBOLS = ("BTCUSDC", "ETHUSDC")


def body(*faults: Any) -> bytes:
    return json.dumps({"faults": faults}).encode()


def test_faults_follow_those_that_are_there() -> None:
    faults = parse_posted(
        body({"kind": "skip", "at": 0}, {"kind": "rest_5xx", "count": 2}), 3, SYMBOLS, BINANCE.scope
    )
    assert [(fault.index, fault.kind, fault.once) for fault in faults] == [
        (3, "skip", True),
        (4, "rest_5xx", False),
    ]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"faults": 3}', b'{"faults": [3]}', b'{"seed": 1}'])
def test_what_is_no_list_of_faults_is_refused_with_the_right_form(content: bytes) -> None:
    with pytest.raises(UsageError, match="is not of the form"):
        parse_posted(content, 0, SYMBOLS, BINANCE.scope)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "skipp"}, '"skipp" is not known'),
        ({"kind": "skip", "when": 3}, "'when' is not a key of it"),
        ({"kind": "skip", "symbols": ["DOGEUSDC"]}, "DOGEUSDC is not served"),
        ({"kind": "halt", "at": 1}, "at the start"),
    ],
)
def test_a_fault_that_cannot_be_is_named(fault: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_posted(body(fault), 0, SYMBOLS, BINANCE.scope)


def test_a_market_takes_a_thousand_faults() -> None:
    with pytest.raises(UsageError, match="1001 faults are too many"):
        parse_posted(body({"kind": "skip", "at": 0}), 1_000, SYMBOLS, BINANCE.scope)
