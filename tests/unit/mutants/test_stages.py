"""The tests that a mutant meets."""

from __future__ import annotations

from tests.mutants.stages import mirrors_of, stages_of

FILES = (
    "tests/unit/producers/test_feed.py",
    "tests/unit/producers/test_feed_silence.py",
    "tests/unit/producers/test_feeder.py",
    "tests/unit/producers/exchanges/binance/test_rest.py",
    "tests/unit/producers/exchanges/test_binance_rest.py",
    "tests/unit/consumers/test_feed.py",
)


def test_tests_that_mirror_the_module_come_first() -> None:
    assert mirrors_of("producers/feed.py", FILES) == FILES[:2]
    assert mirrors_of("producers/exchanges/binance/rest.py", FILES) == FILES[3:5]


def test_the_stages_go_from_near_to_far() -> None:
    names = [stage.name for stage in stages_of("producers/feed.py", FILES, 10)]
    assert names == ["its own tests", "tests around it", "the simulation", "all unit tests"]


def test_a_module_without_tests_of_its_own_begins_with_those_around_it() -> None:
    assert [stage.name for stage in stages_of("producers/other.py", FILES, 0)] == [
        "tests around it",
        "all unit tests",
    ]
