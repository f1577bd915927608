"""Records are counted by the ends of their partitions, also while a new topic has no leader yet."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from bench import producer_path
from bench.producer_path import Job, Published, wait


class Admin:
    """Two partitions of each topic; some answers fail."""

    def __init__(self, *_: Any) -> None:
        self.end = 10
        self.failing = 0
        self.unknown = 2

    def list_topics(self, timeout: float) -> Any:
        topic = SimpleNamespace(partitions={0: None, 1: None})
        if self.unknown:
            self.unknown -= 1
            return SimpleNamespace(topics={"market.trades": topic})
        return SimpleNamespace(topics={"market.trades": topic, "market.quotes": topic})

    def list_offsets(self, asked: Any, **_: Any) -> dict[Any, Future[Any]]:
        answers: dict[Any, Future[Any]] = {}
        for partition in asked:
            answer = answers[partition] = Future()
            if self.failing:
                answer.set_exception(KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)))
            else:
                answer.set_result(SimpleNamespace(offset=self.end))
        self.failing = max(0, self.failing - 1)
        return answers


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setattr(producer_path, "AdminClient", Admin)
    return Published("127.0.0.1:9092", ("market.trades", "market.quotes"))


def admin(published: Published) -> Admin:
    found: Any = published._admin
    assert isinstance(found, Admin)
    return found


def test_records_since_the_mark_are_counted_on_all_partitions(published: Published) -> None:
    assert published() == 0
    admin(published).end = 13
    assert published() == 4 * 3
    published.mark()
    assert published() == 0


def test_a_topic_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_path, "AdminClient", Admin)
    monkeypatch.setattr(producer_path, "_LEADER_S", 0.2)
    with pytest.raises(SystemExit, match=r"no such topic: market\.books"):
        Published("127.0.0.1:9092", ("market.trades", "market.books"))


def test_a_topic_without_a_leader_is_asked_again(published: Published) -> None:
    admin(published).failing = 3
    admin(published).end = 11
    assert published() == 4


def test_waiting_ends_when_the_last_record_is_there() -> None:
    counts = iter([0, 95, 99, 100])
    wait(lambda: next(counts), 100)
    assert next(counts, None) is None


def test_waiting_for_records_that_never_come_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_path, "_DEADLINE_S", 0.2)
    with pytest.raises(SystemExit, match="only 7 of 100 records"):
        wait(lambda: 7, 100)


def test_a_feed_that_ends_early_says_why_and_leaves_no_process() -> None:
    with Job(10).feed(books=1) as feed:
        feed.process.kill()
        with pytest.raises(SystemExit, match="the feed has ended"):
            feed.line()
    with Job(10).feed(books=1) as left:
        assert left.process.poll() is None
    assert left.process.poll() is not None


def test_a_client_that_ends_before_the_frames_is_not_waited_for() -> None:
    with (
        Job(10).feed(books=1) as feed,
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as client,
        pytest.raises(SystemExit, match="ended with 3"),
    ):
        feed.line(client)
