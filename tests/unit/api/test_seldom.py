from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest

from api.seldom import Seldom

NAME = "tests.seldom"


@pytest.fixture
def seldom() -> Iterator[Seldom]:
    with closing(Seldom(NAME)) as seldom:
        yield seldom


def test_of_many_lines_of_a_kind_one_a_second_is_written_with_their_number(
    seldom: Seldom, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger(NAME)
    for number in range(1_000):
        log.warning("%d: invalid request.", number)
    log.warning("another")
    assert caplog.messages == ["0: invalid request.", "another"]
    caplog.clear()
    seldom.tell()
    assert caplog.messages == ["%d: invalid request: 999 more"]
    caplog.clear()
    seldom.tell()
    log.warning("%d: invalid request.", 1_000)
    assert caplog.messages == ["1000: invalid request."]


def test_levels_are_kinds_of_their_own(seldom: Seldom, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger(NAME)
    log.warning("gone")
    log.error("gone")
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_texts_of_strangers_cannot_fill_the_memory(seldom: Seldom, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1_000):
        logging.getLogger(NAME).warning(f"text {number}")
    assert len(caplog.messages) == 100


def test_at_its_end_the_rest_is_told_and_all_pass_again(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger(NAME)
    with closing(Seldom(NAME)):
        for _ in range(3):
            log.warning("gone")
    assert caplog.messages == ["gone", "gone: 2 more"]
    log.warning("gone")
    log.warning("gone")
    assert len(caplog.messages) == 4
