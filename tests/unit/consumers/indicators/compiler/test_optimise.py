"""Optimised code does the same."""

from __future__ import annotations

import ast

from consumers.indicators.compiler.optimise import (
    allocate_locals,
    drop_warm_up_branches,
    find_copies,
    remove_unused,
    renamed,
)


def parsed(text: str) -> list[ast.stmt]:
    return ast.parse(text).body


def written(body: list[ast.stmt]) -> str:
    return "\n".join(ast.unparse(ast.fix_missing_locations(part)) for part in body)


def test_what_the_result_does_not_need_goes() -> None:
    needed = {"result"}
    body = parsed("a = x\nb = a\nif y:\n    c = 1\n    result = b\nelse:\n    result = 2\nd = z")
    assert (
        written(remove_unused(body, needed)) == "a = x\nb = a\nif y:\n    result = b\nelse:\n    result = 2"
    )
    assert needed == {"x", "y"}


def test_a_variable_that_is_set_on_one_way_only_keeps_its_value_from_before() -> None:
    text = "a = 1\nif y:\n    a = 2\nresult = a"
    assert written(remove_unused(parsed(text), {"result"})) == text


def test_copies_of_what_never_changes_are_followed_to_their_origin() -> None:
    body = parsed("a, d = x\nb = a\nc = b\nd = 2\ne = d\nresult = c + e")
    assert find_copies(body) == {"b": "a", "c": "a"}


def test_variables_share_a_local_only_one_after_the_other() -> None:
    body = parsed("a = x\nb = a + 1\nif b:\n    c = b\n    d = c\nelse:\n    d = a\nresult = d")
    shared = allocate_locals(body)
    assert "x" not in shared
    assert shared["a"] != shared["b"] and shared["a"] != shared["d"]
    for x in (0, -1, 5):
        plain: dict[str, int] = {"x": x}
        optimised: dict[str, int] = {"x": x}
        exec(written(body), plain)
        exec(written(renamed(body, {**shared, "result": "result"})), optimised)
        assert optimised["result"] == plain["result"]


def test_conditions_on_the_age_are_decided_and_others_are_not() -> None:
    text = "if n < 9.0:\n    a = 1\nelse:\n    a = 2 if n == 30.0 else 3\nif n >= 4.0 and x:\n    b = n"
    body, bars = drop_warm_up_branches(parsed(text), ["n"])
    assert written(body) == "a = 3\nif x:\n    b = n"
    assert bars == 30.0
