"""What a stopping run waits for, and what it does not call complete."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from cryptostream.run import metrics_tail, session, topic_tail
from cryptostream.run.deployment import LocalDeployment
from cryptostream.run.metrics_tail import MetricsTail
from cryptostream.run.options import add_arguments, read_options
from cryptostream.run.proof.checks import Result, Status
from cryptostream.run.services import CONSUMERS
from cryptostream.run.session import Session
from shared.ledger import LedgerSeries, ledger_record
from shared.messages import encode
from shared.models import LedgerKind
from shared.topics import LEDGER
from tests.kafka_doubles import Logs

COMPLETE = "complete: {} trades and bars expected, nothing lost"


class Deployment(LocalDeployment):
    """The real one's view of a broker, of which everything else is well.

    Attributes:
        at: what happens when, in seconds since the producers ended.
        consumers_end: what the consumers do at their end.
    """

    uptime_s = 60.0
    broker_kind = "memory"
    root = Path("data")

    def __init__(self, logs: Logs, *exchanges: str) -> None:
        self._logs = logs
        self._metrics_tail = MetricsTail("nowhere", memory=True, several=len(exchanges) > 1)
        self.venues: Any = [
            SimpleNamespace(name=name, producers_child=name, named=list, results=_all_well)
            for name in exchanges
        ]
        self.at: dict[float, Callable[[], object]] = {}
        self.consumers_end: Callable[[], object] = lambda: None
        self.children: Any = SimpleNamespace(
            terminate=lambda name: self.consumers_end() if name == CONSUMERS else None,
            running=lambda _name: False,
            finish=lambda _name: None,
        )
        self._began_s = logs.time.monotonic()

    def tick(self, timeout_s: float) -> None:
        for at_s in sorted(self.at):
            if self._logs.time.monotonic() >= self._began_s + at_s:
                self.at.pop(at_s)()
        self._tail.poll(timeout_s)

    @property
    def _tail(self) -> MetricsTail:
        assert self._metrics_tail is not None
        return self._metrics_tail

    uncarried = warnings = title_lines = instruments = services = ()

    def price_lag(self) -> int:
        return 0

    def has_begun(self, child: str) -> bool:
        return True

    def check_services(self, child: str) -> list[Result]:
        return [Result(child, Status.OK)]

    def store_faults(self) -> list[str]:
        return []


def _all_well(_uptime_s: float) -> tuple[list[Result], str]:
    return [Result("BTCUSDC trades", Status.OK)], "trades"


class Ending:
    """A run whose producers are about to end."""

    def __init__(self, logs: Logs, capsys: pytest.CaptureFixture[str], *exchanges: str) -> None:
        self.logs, self._capsys = logs, capsys
        self.deployment = Deployment(logs, *exchanges or ("binance",))
        self.enter("expected", 1, 10)
        self.enter("stored", 1, 10)
        self.deployment.tick(0.1)

    def enter(self, kind: LedgerKind, first: int, last: int, exchange: str = "binance") -> None:
        times: Any = {"event_time_ms": last, "received_time_ms": last, "source": "stream"}
        record = ledger_record(LedgerSeries(exchange, "BTCUSDC", "trades"), kind, first, last, **times)
        self.logs.put(LEDGER, b"", encode(record))

    def session(self) -> Session:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return Session(read_options(parser.parse_args(["--no-ui"])))

    def outcome(self) -> tuple[int, list[str]]:
        """The exit code, and the last lines."""
        run = self.session()
        run._end_producers(self.deployment)
        run._drain(self.deployment)
        run._end_consumers(self.deployment)
        run._check_store(self.deployment)
        return self.conclusion(run)

    def conclusion(self, run: Session) -> tuple[int, list[str]]:
        self._capsys.readouterr()
        code = run._conclude(self.deployment)
        return code, [line.strip() for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs()
    monkeypatch.setattr(topic_tail, "KAFKA", logs.clients())
    for module in (session, metrics_tail):
        monkeypatch.setattr(module, "time", logs.time)
    return logs


@pytest.fixture
def ending(logs: Logs, capsys: pytest.CaptureFixture[str]) -> Ending:
    return Ending(logs, capsys)


def hear(logs: Logs) -> None:
    logs.silent = False


def test_a_ledger_read_to_its_end_is_complete_at_once(ending: Ending) -> None:
    code, (line,) = ending.outcome()
    assert code == 0 and line.startswith(COMPLETE.format(10))
    assert ending.logs.time.monotonic() < ending.deployment._began_s + 3


def test_last_events_that_never_reach_the_run_leave_it_unknown(ending: Ending) -> None:
    ending.logs.silent = True
    ending.enter("expected", 11, 12)
    code, lines = ending.outcome()
    assert (code, lines[-1].partition(" [")[0]) == (1, "NOT COMPLETE")
    (fault,) = [line for line in lines if line.startswith(LEDGER)]
    assert "unknown" in fault and "cryptostream ledger" in fault


def test_why_the_broker_gives_nothing_is_said(ending: Ending) -> None:
    ending.logs.errors = [KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)] * 3
    ending.logs.silent = True
    _, lines = ending.outcome()
    assert any("authorization" in line.lower() for line in lines if line.startswith(LEDGER)), lines


@pytest.mark.parametrize("deaf_s", [2.0, 12.0, 40.0])
def test_last_events_that_come_late_are_waited_for_and_so_is_their_storing(
    ending: Ending, deaf_s: float
) -> None:
    ending.logs.silent = True
    ending.enter("expected", 11, 12)
    ending.deployment.at[deaf_s] = lambda: hear(ending.logs)
    ending.deployment.at[deaf_s + 5] = lambda: ending.enter("stored", 11, 12)
    code, lines = ending.outcome()
    assert code == 0 and lines[-1].startswith(COMPLETE.format(12))


def test_a_hole_that_is_read_late_is_named(ending: Ending) -> None:
    ending.logs.silent = True
    ending.enter("lost", 11, 12)
    ending.deployment.at[9.0] = lambda: hear(ending.logs)
    code, lines = ending.outcome()
    assert code == 1 and "BTCUSDC trades: 2 missing: trade ids 11–12" in lines


def test_what_the_consumers_enter_at_their_end_is_read(ending: Ending) -> None:
    ending.deployment.consumers_end = lambda: ending.enter("incomplete", 10, 10)
    code, lines = ending.outcome()
    assert code == 1 and "BTCUSDC trades: 1 missing: trade ids 10" in lines


def test_a_tail_that_fails_only_while_the_consumers_end_leaves_the_run_unknown(ending: Ending) -> None:
    def fail() -> None:
        ending.logs.silent = True

    ending.deployment.consumers_end = fail
    code, lines = ending.outcome()
    assert code == 1 and any(line.startswith(f"{LEDGER}: unknown") for line in lines)


def test_an_unread_ledger_leaves_each_exchange_unknown(
    logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    both = Ending(logs, capsys, "binance", "kraken")
    logs.silent = True
    both.enter("expected", 1, 2, "kraken")
    code, lines = both.outcome()
    assert code == 1 and lines[:2] == ["binance: NOT COMPLETE", "kraken: NOT COMPLETE"]


def test_an_event_that_cannot_be_read_may_be_of_a_loss(ending: Ending) -> None:
    ending.logs.put(LEDGER, b"", b"{")
    code, lines = ending.outcome()
    assert code == 1 and any(line.startswith(f"{LEDGER}: unknown: 1 ") for line in lines)


def test_a_run_that_was_stopped_at_once_names_the_services_that_were_silent(ending: Ending) -> None:
    silent = Result("producer", Status.UNKNOWN, "never reported")
    ending.deployment.check_services = lambda child: [silent]  # type: ignore[method-assign]
    run = ending.session()
    run._end_producers(ending.deployment)
    code, lines = ending.conclusion(run)
    assert code == 1 and "producer: never reported" in lines
