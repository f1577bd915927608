"""Words of services, and whose they are."""

from __future__ import annotations

from cryptostream.embedded.evidence import State, looks_at_services
from cryptostream.embedded.words import Words


def said(service: str, pid: int, instance: str = "0"):
    return {"service": service, "instance": instance, "pid": pid}


def test_the_last_word_of_a_dead_process_is_not_that_of_the_one_after_it():
    words = Words()
    words.receive(said("producer", 41), 100.0)
    assert words.ages_s(104.0, 41) == {"producer": 4.0}
    assert words.ages_s(104.0, 42) == {} == words.ages_s(104.0, None)
    words.receive(said("producer", 42), 105.0)
    assert words.ages_s(106.0, 42) == {"producer": 1.0}


def test_each_service_of_a_process_has_spoken_for_itself():
    words = Words()
    words.receive(said("consumer-trades", 7), 1.0)
    words.receive(said("consumer-book", 6), 2.0)
    assert words.ages_s(3.0, 7) == {"consumer-trades": 2.0}
    assert words.of("consumer-book") == (2.0, said("consumer-book", 6))


def test_a_process_that_was_started_again_and_has_not_begun_leaves_unknown_what_it_missed():
    (look,) = looks_at_services(("producer",), {}, restarted=True)
    assert look.state is State.UNKNOWN
    assert "was started again" in look.said
