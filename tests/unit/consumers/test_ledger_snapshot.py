"""Snapshots and the events since say what all events say; what a power cut took is noticed."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ledger_book import LedgerBook
from consumers.ledger_snapshot import Restart, fingerprint, newer, restart
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage
from tests.builders import NOW_MS, ledger

KINDS = (
    "expected",
    "stored",
    "repaired",
    "halted",
    "offline",
    "duplicate",
    "lost",
    "incomplete",
    "gap",
    "late",
    "uncarried",
)
EVENTS = st.lists(
    st.builds(
        lambda kind, symbol, first, length, minutes: ledger(
            kind=kind,
            symbol=symbol,
            first=first,
            last=first + length,
            event_time_ms=NOW_MS + 60_000 * minutes,
            received_time_ms=NOW_MS + first,
            detail=f"{kind} {first}",
        ),
        st.sampled_from(KINDS),
        st.sampled_from(("BTCUSDC", "ETHUSDC")),
        st.integers(0, 60),
        st.integers(0, 15),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)
Topic = list[LedgerMessage]


def no_rows_wait(_series: object) -> IdRanges:
    return IdRanges()


def read(book: LedgerBook, topic: Topic, offset: int) -> None:
    for at in range(offset, len(topic)):
        book.receive(0, at, topic[at])


def found(records: dict[bytes, bytes], topic: Topic, low: int = 0) -> Restart:
    def mark(offset: int) -> int | None:
        return fingerprint(topic[offset]) if low <= offset < len(topic) else None

    return restart(records, low, len(topic), mark)


def opened(records: dict[bytes, bytes], topic: Topic, low: int = 0) -> LedgerBook:
    """What a reader knows after snapshots and all events since."""
    start = found(records, topic, low)
    book = LedgerBook()
    book.assign(0, start)
    read(book, topic, start.offset)
    return book


def snapshots(book: LedgerBook) -> dict[bytes, bytes]:
    return {key: value for _, key, value in book.snapshots(no_rows_wait)}


def said(book: LedgerBook) -> Any:
    series = book.ledger.series()
    return (
        book.ledger.totals(),
        {one: book.ledger.account(one).state() for one in series},
        {one: notes.state() for one, notes in book.incidents()},
        book.time.now_ms,
    )


@settings(max_examples=60)
@given(EVENTS, st.lists(st.integers(0, 40), max_size=4))
def test_snapshots_and_what_came_since_say_what_all_events_say(topic: Topic, stops: list[int]) -> None:
    records: dict[bytes, bytes] = {}
    for stop in sorted(stops):
        records |= snapshots(opened(records, topic[:stop]))
    assert said(opened(records, topic)) == said(opened({}, topic))


def event(number: int, **fields: Any) -> LedgerMessage:
    return ledger(first=number, last=number, received_time_ms=NOW_MS + number, **fields)


def test_only_what_came_since_is_read() -> None:
    topic = [event(n) for n in range(100)]
    records = snapshots(opened({}, topic[:90]))
    assert found(records, topic).offset == 90


def test_without_snapshots_everything_is_read_once() -> None:
    topic = [event(n) for n in range(10)]
    start = found({}, topic)
    assert (start.offset, start.uncovered) == (0, False)
    assert found({}, topic, low=3).uncovered  # and what is gone is not known


def test_a_tail_that_a_power_cut_took_is_noticed_also_when_others_took_its_offsets() -> None:
    topic = [event(n) for n in range(100)]
    records: dict[bytes, bytes] = {}
    for stop in range(0, 101, 10):
        records |= snapshots(opened(records, topic[:stop]))
    short = topic[:75]
    start = found(records, short)
    assert (start.offset, start.known_to) == (70, {})
    assert start.note == (
        "the ledger was counted up to offset 100, but later events are gone: read again from 70"
    )
    refilled = short + [event(1_000 + n) for n in range(50)]
    book = opened(records, refilled)
    (totals,) = book.ledger.totals().values()
    assert totals.expected == 150  # what was counted stays true, and the new ones are not passed over
    # The next snapshot counts by the new offsets, and replaces the old ones although its offset is lower.
    again = snapshots(opened(records, refilled[:80]))
    assert all(newer(value, records[key]) for key, value in again.items())
    assert not any(newer(records[key], value) for key, value in again.items())
    assert found(records | again, refilled).offset == 80


def test_a_ledger_that_was_made_anew_is_read_from_its_beginning() -> None:
    records = snapshots(opened({}, [event(n) for n in range(10)]))
    start = found(records, [event(n) for n in range(50, 70)])
    assert (start.offset, start.snapshot.generation, start.uncovered) == (0, 1, False)


def test_events_that_were_deleted_before_they_were_counted_leave_an_unknown_span() -> None:
    topic = [event(n) for n in range(100)]
    records = snapshots(opened({}, topic[:50]))
    assert opened(records, topic, low=50).uncovered() == []
    assert opened(records, topic, low=100).uncovered() == [(0, NOW_MS + 49, None)]  # nothing came since
    book = opened(records, topic, low=60)
    assert book.uncovered() == [(0, NOW_MS + 49, NOW_MS + 60)]
    # It stays known that it is not known.
    assert opened(snapshots(book), topic, low=99).uncovered() == [(0, NOW_MS + 49, NOW_MS + 60)]


def test_a_series_whose_record_is_gone_or_older_is_read_from_where_its_record_ends() -> None:
    topic = [event(n, symbol="BTCUSDC" if n % 2 else "ETHUSDC") for n in range(60)]
    first = snapshots(opened({}, topic[:20]))
    records = first | snapshots(opened(first, topic[:40]))
    key = b"binance:BTCUSDC:trades:"
    assert found(records | {key: first[key]}, topic).offset == 20
    assert said(opened(records | {key: first[key]}, topic)) == said(opened({}, topic))
    del records[key]
    assert found(records, topic).offset == 0


def test_records_that_cannot_be_read_are_none() -> None:
    topic = [event(n) for n in range(9)]
    records = snapshots(opened({}, topic))
    for garbage in (b"", b"\xff", b"[]", b'{"schema": 2}', b'{"schema": 1}', b'{"schema":1,"body":"x"}'):
        assert found(dict.fromkeys(records, garbage), topic).offset == 0
