"""Code that is made lean does the same."""

from __future__ import annotations

import ast

from consumers.indicators.tidy import renamed, settled, slots, without_copies, without_unused


def parsed(text: str) -> list[ast.stmt]:
    return ast.parse(text).body


def written(body: list[ast.stmt]) -> str:
    return "\n".join(ast.unparse(ast.fix_missing_locations(part)) for part in body)


def test_what_the_result_does_not_need_goes() -> None:
    needed = {"result"}
    body = parsed("a = x\nb = a\nif y:\n    c = 1\n    result = b\nelse:\n    result = 2\nd = z")
    assert (
        written(without_unused(body, needed)) == "a = x\nb = a\nif y:\n    result = b\nelse:\n    result = 2"
    )
    assert needed == {"x", "y"}


def test_a_variable_that_is_set_on_one_way_only_keeps_its_value_from_before() -> None:
    text = "a = 1\nif y:\n    a = 2\nresult = a"
    assert written(without_unused(parsed(text), {"result"})) == text


def test_copies_of_what_never_changes_are_followed_to_their_origin() -> None:
    body = parsed("a, d = x\nb = a\nc = b\nd = 2\ne = d\nresult = c + e")
    assert without_copies(body) == {"b": "a", "c": "a"}


def test_variables_share_a_slot_only_one_after_the_other() -> None:
    body = parsed("a = x\nb = a + 1\nif b:\n    c = b\n    d = c\nelse:\n    d = a\nresult = d")
    shared = slots(body)
    assert "x" not in shared
    assert shared["a"] != shared["b"] and shared["a"] != shared["d"]
    for x in (0, -1, 5):
        plain: dict[str, int] = {"x": x}
        lean: dict[str, int] = {"x": x}
        exec(written(body), plain)
        exec(written(renamed(body, {**shared, "result": "result"})), lean)
        assert lean["result"] == plain["result"]


def test_conditions_on_the_age_are_settled_and_others_are_not() -> None:
    text = "if n < 9.0:\n    a = 1\nelse:\n    a = 2 if n == 30.0 else 3\nif n >= 4.0 and x:\n    b = n"
    body, bars = settled(parsed(text), ["n"])
    assert written(body) == "a = 3\nif x:\n    b = n"
    assert bars == 30.0
