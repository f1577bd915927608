"""Arithmetic that is the same on every version of Python, bit for bit."""

from __future__ import annotations

import ast
import hashlib
import struct
import sys
from collections.abc import Callable
from functools import reduce
from math import copysign, inf, isnan, nan
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.indicators.ieee import added_in_order, sum_in_order
from consumers.indicators.registry import indicator_set
from tests.conftest import ROOT
from tests.unit.consumers.indicators.series import made_up

# Of every column at each of 1,200 bars as CPython 3.11 computed them with `sum`, and of the state after them.
VALUES = "ad8046137399e45b4ecd2ae2a1d3e2ab4315c28b2caee1393f0e2cd339ef8435"
STATE = "71d06118d689df32"


@pytest.mark.parametrize("added", [sum_in_order, added_in_order])
def test_a_sum_is_rounded_at_each_addition(added: Callable[[list[float]], float]) -> None:
    assert added([0.1] * 10) == 0.9999999999999999
    assert added([1e16, 1.0, 1.0]) == 1e16
    assert added([1.0, 1e100, 1.0, -1e100]) == 0.0
    assert added([inf, 1.0]) == inf
    assert isnan(added([nan, 1.0]))
    assert isnan(added([inf, -inf]))
    assert copysign(1.0, added([-0.0])) == 1.0


def test_from_python_3_12_on_the_built_in_sum_is_another_one() -> None:
    assert (sum([0.1] * 10) != sum_in_order([0.1] * 10)) == (sys.version_info >= (3, 12))


@given(st.lists(st.floats()))
def test_a_sum_is_additions_one_after_another(values: list[float]) -> None:
    expected = struct.pack("<d", reduce(add, values, 0.0))
    for added in (sum_in_order, added_in_order):
        got = added(values)
        assert struct.pack("<d", got) == expected or (isnan(got) and isnan(reduce(add, values, 0.0)))


def test_all_indicators_have_the_same_bits_on_every_python() -> None:
    indicators, digest = indicator_set(), hashlib.sha256()
    state = indicators.initial()
    for bar in made_up(1_200):
        state, values = indicators.step(state, bar)
        digest.update(struct.pack(f"<{len(values)}d", *values))
    assert digest.hexdigest() == VALUES
    assert hashlib.sha256(indicators.dump(state)).hexdigest()[:16] == STATE


def test_no_indicator_uses_a_sum_that_depends_on_the_version() -> None:
    # What is called as a method is a request for a window, or is numpy's, which is not used here.
    found = [
        f"{path.name}:{node.lineno}"
        for path in (ROOT / "consumers" / "indicators").rglob("*.py")
        if path.name != "indicator_set.py"  # sums of whole numbers
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("sum", "fsum")
    ]
    assert found == []
