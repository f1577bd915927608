"""Ledger events on their way to Kafka: how many, in which order, and progress behind them."""

from __future__ import annotations

import ctypes

import orjson
import pytest

from producers.effects import Publish
from producers.instrument import Instrument
from producers.ledger_writer import MOST_IN_FLIGHT
from producers.start_positions import OpenHole, StartPosition
from shared.topics import LEDGER, PROGRESS
from tests.builders import NOW_MS
from tests.unit.producers.shell import SERIES, Broker, Shell


@pytest.fixture
def shell() -> Shell:
    return Shell()


HOLES = 4_000


def many(instrument: Instrument) -> list[Publish]:
    """Ledger events of a start with thousands of holes."""
    holes = tuple(OpenHole(at, at, NOW_MS, NOW_MS, asked=1) for at in range(1, 2 * HOLES, 2))
    instrument.begin({SERIES: StartPosition(3 * HOLES, holes)}, NOW_MS)
    return instrument.tick()


def started(shell: Shell) -> None:
    shell.ledger.write([(shell.instrument, many(shell.instrument))])


def first_ids(broker: Broker) -> list[int]:
    return [orjson.loads(value or b"")["first"] for topic, _, value in broker.sent if topic == LEDGER]


def test_a_start_with_thousands_of_holes_has_few_ledger_events_on_their_way(shell: Shell) -> None:
    started(shell)
    assert shell.ledger.undelivered == HOLES
    on_their_way = []
    while shell.ledger.undelivered:
        before = len(shell.broker.reports)
        assert before
        on_their_way.append(before)
        shell.broker.deliver()
        shell.ledger.send_queued()
    assert max(on_their_way) == MOST_IN_FLIGHT
    assert first_ids(shell.broker) == list(range(1, 2 * HOLES, 2))  # all, once and in order


def test_events_that_wait_let_none_overtake_them(shell: Shell) -> None:
    started(shell)
    shell.instrument.stop(NOW_MS)
    shell.ledger.write([(shell.instrument, shell.instrument.tick())])
    shell.ledger.send_queued(most=shell.ledger.undelivered)  # the end waits for nothing
    kinds = [orjson.loads(value or b"")["kind"] for topic, _, value in shell.broker.sent if topic == LEDGER]
    assert kinds == ["expected"] * HOLES + ["stopped"] * 2


def test_no_progress_is_written_before_the_last_of_its_ledger_events_is_delivered(shell: Shell) -> None:
    shell.take(1, 0)
    shell.broker.deliver()
    started(shell)  # the progress of what is delivered is staged behind them
    while shell.ledger.undelivered:
        shell.ledger.write([(shell.instrument, [])])  # with those on their way delivered, others may wait
        assert all(topic != PROGRESS for topic, _, _ in shell.broker.sent)
        shell.broker.deliver()
    shell.ledger.write([(shell.instrument, [])])
    assert shell.broker.progress().last_id == 1


def test_ledger_events_that_wait_take_no_more_memory_than_they_need(shell: Shell) -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("only glibc says how much is in use")
    events = many(shell.instrument)
    before = _in_use()
    shell.ledger.write([(shell.instrument, events)])
    assert shell.ledger.undelivered == len(events)
    assert (_in_use() - before) / len(events) < 500


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _in_use() -> int:
    """Bytes that malloc has given and not got back."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Heap
    return int(ask().uordblks)
