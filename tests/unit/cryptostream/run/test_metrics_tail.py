"""The latest metrics of services, and whose they are."""

from __future__ import annotations

from typing import Any

from cryptostream.run.metrics_tail import LatestMetrics
from cryptostream.run.proof.checks import Status, check_services


def said(service: str, pid: int, instance: str = "0") -> dict[str, Any]:
    return {"service": service, "instance": instance, "pid": pid}


def test_the_last_word_of_a_dead_process_is_not_that_of_the_one_after_it() -> None:
    metrics = LatestMetrics()
    metrics.receive(said("producer", 41), 100.0)
    assert metrics.ages_s(104.0, 41) == {"producer": 4.0}
    assert metrics.ages_s(104.0, 42) == {} == metrics.ages_s(104.0, None)
    metrics.receive(said("producer", 42), 105.0)
    assert metrics.ages_s(106.0, 42) == {"producer": 1.0}


def test_each_service_of_a_process_has_spoken_for_itself() -> None:
    metrics = LatestMetrics()
    metrics.receive(said("consumer-trades", 7), 1.0)
    metrics.receive(said("consumer-book", 6), 2.0)
    assert metrics.ages_s(3.0, 7) == {"consumer-trades": 2.0}
    assert metrics.of("consumer-book") == (2.0, said("consumer-book", 6))


def test_a_process_that_was_started_again_and_has_not_begun_leaves_unknown_what_it_missed() -> None:
    (result,) = check_services(("producer",), {}, restarted=True)
    assert result.status is Status.UNKNOWN
    assert "was restarted" in result.detail
