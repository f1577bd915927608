"""Medians, ratios and goals say what was measured, and sides take turns."""

from __future__ import annotations

import pytest

from bench.rounds import Goal, Round, in_turn, middle, result_of, times


def rounds(figure: str, *values: float) -> list[Round]:
    return [{figure: value} for value in values]


def test_the_middle_of_the_rounds_is_what_counts_and_not_an_outlier() -> None:
    assert middle(rounds("cpu_us", 7.0, 90.0, 8.0), "cpu_us") == 8.0
    sides = {"ours": rounds("cpu_us", 5.0, 5.0, 500.0), "theirs": rounds("cpu_us", 1.0, 20.0, 20.0)}
    assert times(sides, "theirs", "ours", "cpu_us") == 4.0


def test_sides_alternate_and_the_first_round_of_each_is_not_counted() -> None:
    seen: list[tuple[str, int]] = []

    def side(name: str, number: int) -> Round:
        seen.append((name, number))
        return {"cpu_us": float(number)}

    found = in_turn("a part", 2, {"one": lambda n: side("one", n), "other": lambda n: side("other", n)})
    assert seen == [(name, number) for number in range(3) for name in ("one", "other")]
    assert found == {"one": rounds("cpu_us", 1.0, 2.0), "other": rounds("cpu_us", 1.0, 2.0)}
    seen.clear()
    in_turn("a part", 1, {"one": lambda n: side("one", n)}, warm_up=False)
    assert seen == [("one", 1)]


def test_progress_is_a_line_for_each_round(capsys: pytest.CaptureFixture[str]) -> None:
    in_turn("a part", 1, {"one": lambda _: {}})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("] ")[1] for line in lines] == ["a part: warming up, one", "a part: round 1 of 1, one"]


@pytest.mark.parametrize(
    ("goal", "asked", "measured", "outcome"),
    [
        (Goal("rate", 97.4, 90, "%"), "rate: ≥ 90 %", "97 %", "reached"),
        (Goal("rate", 90, 90, "%"), "rate: ≥ 90 %", "90 %", "reached"),
        (Goal("rate", 55, 90, "%"), "rate: ≥ 90 %", "55 %", "**short by 35 points**"),
        (Goal("rate", 89.96, 90, "%"), "rate: ≥ 90 %", "90 %", "**short by 0.04 points**"),
        (Goal("CPU", 1.42, 1.9, "×"), "CPU: ≥ 1.90 ×", "1.42 ×", "**short by 0.48 ×**"),
        (Goal("p50", 72, 40, "ms", at_least=False), "p50: ≤ 40 ms", "72 ms", "**short by 32 ms**"),
        (Goal("used", 0.5, 0.5, "core", at_least=False), "used: ≤ 0.50 core", "0.50 core", "reached"),
        (Goal("differ", 0, 0, "", at_least=False), "differ: ≤ 0", "0", "reached"),
        (Goal("differ", 3, 0, "", at_least=False), "differ: ≤ 0", "3", "**short by 3**"),
        (Goal("messages/s", 2_449, 2_000, ""), "messages/s: ≥ 2,000", "2,449", "reached"),
    ],
)
def test_a_goal_says_whether_it_is_reached_or_by_how_much_it_is_short(
    goal: Goal, asked: str, measured: str, outcome: str
) -> None:
    assert (goal.asked, goal.measured, goal.outcome) == (asked, measured, outcome)


def test_a_result_names_the_messages_of_a_side_and_what_else_belongs_to_it() -> None:
    result = result_of(400, 2, {"ours": []}, encoding="gzip")
    assert result == {"messages": 400, "rounds": 2, "sides": {"ours": []}, "encoding": "gzip"}
