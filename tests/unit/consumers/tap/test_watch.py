"""The broker goes away and comes back; topics change under their followers."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumers.tap import watch as module
from consumers.tap.follower import Surroundings
from consumers.tap.kafka import Incarnation
from consumers.tap.port import Condition
from consumers.tap.watch import BrokerWatch

KNOWN = {"market.trades": Incarnation("aaaaaa", 6)}


class FakeFollower:
    class work:  # noqa: N801 - stands for the attribute
        topics = ("market.trades",)

    def __init__(self) -> None:
        self.incarnations = dict(KNOWN)
        self.renewals = 0

    def renew(self) -> None:
        self.renewals += 1


class FakeAdmin:
    """Answers ("+"), refuses ("r") or is silent ("-") as told; ends the watch when nothing is left to say."""

    def __init__(self, answers: str, stopped: threading.Event, woken: threading.Event) -> None:
        self._answers = list(answers)
        self._stopped, self._woken = stopped, woken

    def list_topics(self, timeout: float) -> None:
        self._next(timeout).result()

    def describe_configs(self, resources: list[Any], request_timeout: float) -> dict[Any, Future[None]]:
        return {resource: self._next(request_timeout) for resource in resources}

    def _next(self, timeout: float) -> Future[None]:
        assert timeout <= 2.0
        self._woken.set()
        answer: Future[None] = Future()
        match self._answers.pop(0):
            case "+":
                answer.set_result(None)
            case "r":
                answer.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
            case "-":
                answer.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        if not self._answers:
            self._stopped.set()
        return answer


def watched(
    monkeypatch: pytest.MonkeyPatch, answers: str, found: dict[str, Incarnation], *, memory: bool = True
) -> tuple[list[Any], FakeFollower]:
    """What a watch tells while the broker answers ("+") or does not ("-")."""
    events: list[Any] = []
    failures: list[BaseException] = []
    stopped, woken = threading.Event(), threading.Event()
    admin, follower = FakeAdmin(answers, stopped, woken), FakeFollower()
    monkeypatch.setattr(module, "admin_of", lambda _address: admin)
    monkeypatch.setattr(module, "incarnations_of", lambda *_, **__: found)
    around = Surroundings("host:1", memory, events.extend, failures.append, woken.set, stopped)
    followers: Any = [follower]
    BrokerWatch(followers, ("trade",), around, woken).run()
    assert not failures
    return events, follower


@pytest.mark.parametrize(("answers", "memory"), [("++--++", True), ("+r--r+", False)])
def test_each_loss_and_each_return_is_told_once(
    monkeypatch: pytest.MonkeyPatch, answers: str, memory: bool
) -> None:
    events, _ = watched(monkeypatch, answers, KNOWN, memory=memory)
    away, back = events
    assert isinstance(away, Condition) and away.names == ("trade",) and "host:1" in str(away.away)
    assert isinstance(back, Condition) and back.away is None and back.since_ms >= away.since_ms


@pytest.mark.parametrize(
    ("found", "renewals"),
    [
        (KNOWN, 0),
        ({"market.trades": Incarnation("bbbbbb", 6)}, 1),
        ({"market.trades": Incarnation("aaaaaa", 12)}, 1),
        ({}, 1),
    ],
    ids=["as it was", "made anew", "more partitions", "deleted"],
)
def test_a_topic_that_is_another_one_is_followed_anew(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Incarnation], renewals: int
) -> None:
    _, follower = watched(monkeypatch, "+", found)
    assert follower.renewals == renewals
