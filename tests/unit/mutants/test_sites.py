"""Where operators are found, and what takes their place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.sites import mutated, sites_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a < b", "a <= b"),
        ("a >= b", "a > b"),
        ("a == b", "a != b"),
        ("a is b", "a is not b"),
        ("a is not b", "a is b"),
        ("a not in b", "a in b"),
        ("a + b", "a - b"),
        ("a // b", "a * b"),
        ("a *= b", "a /= b"),
        ("a and b", "a or b"),
        ("not a", "a"),
        ("(a) < (b)", "(a) <= (b)"),
        ("(a  # not in b\n  in b)", "(a  # not in b\n  not in b)"),
        ("x = 'é' if a > b else c", "x = 'é' if a >= b else c"),
    ],
)
def test_one_operator_is_exchanged(before: str, after: str) -> None:
    (site,) = sites_of(before.encode())
    assert mutated(before.encode(), site).decode() == after


@pytest.mark.parametrize(
    "text",
    [
        "assert a < b",
        "x: int | None = None",
        "def f(a: A + B) -> C + D: ...",
        "f'{a + b}'",
        "'a' + b",
        "'%s' % a",
        "a | b",
    ],
)
def test_what_is_no_behaviour_is_left_alone(text: str) -> None:
    assert sites_of(text.encode()) == ()


def test_each_comparison_of_a_chain_is_a_site() -> None:
    text = b"a < b <= c and d"
    assert [mutated(text, site).decode() for site in sites_of(text)] == [
        "a <= b <= c and d",
        "a < b < c and d",
        "a < b <= c or d",
    ]


@pytest.mark.thorough
def test_every_mutant_of_a_real_module_is_python_and_another_one() -> None:
    source = (ROOT / "producers" / "kline_sequence.py").read_bytes()
    whole = ast.dump(ast.parse(source))
    sites = sites_of(source)
    assert len(sites) > 50
    for site in sites:
        assert ast.dump(ast.parse(mutated(source, site))) != whole
