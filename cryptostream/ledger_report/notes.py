"""The notes of the ledger, each with the end of its time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumers.ledger_incidents import SeriesIncidents
from cryptostream.ledger_report.report import Note, uncarried_to_ms
from shared.ledger import LedgerSeries


def notes_of(
    series: LedgerSeries, incidents: SeriesIncidents, as_of_ms: int | None
) -> Iterator[tuple[Note, int | None]]:
    """The newest gaps, revised records, unsynced and uncarried spans of a series.

    Args:
        as_of_ms: the exchange's time of the report; None if it is not known.

    Yields:
        A note, and the end of its time in ms, itself not included; None if it goes on or has no time.
    """
    notes = [Note(series, *each) for each in incidents.newest() if each.kind != "late"]
    for note, later in zip(notes, _later(notes), strict=True):
        yield note, _end_ms(note, later, as_of_ms)


def _later(notes: Sequence[Note]) -> list[Note | None]:
    """Of each note the next one of its kind."""
    following = (*notes[1:], None)
    return [
        after if after is not None and after.kind == note.kind else None
        for note, after in zip(notes, following, strict=False)
    ]


def _end_ms(note: Note, later: Note | None, as_of_ms: int | None) -> int | None:
    if not note.goes_on:
        return note.end_ms
    if note.kind == "uncarried":
        return note.end_ms if later is not None else uncarried_to_ms(note.last, as_of_ms)
    # A book is out of step until the next word of it.
    return None if later is None else later.end_ms
