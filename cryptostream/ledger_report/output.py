"""Prints a survey: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

import orjson

from cryptostream.ledger_report.report import (
    Freshness,
    Note,
    Range,
    Recount,
    SeriesReport,
    Shortfall,
    name_of,
)
from cryptostream.ledger_report.survey import Survey
from cryptostream.output import write_columns
from shared import trade_ids
from shared.ledger import KINDS_OF_TIMES, LedgerSeries
from shared.times import iso

_COUNTS: Final = ("expected", "stored", "backfilled", "halted", "offline", "lost", "duplicates", "unknown")
_LEAVING: Final = ("duplicates", "halted", "backfilled", "offline")
_RECOUNTED: Final = (
    *("agrees", "checked", "missing", "without_indicators", "stored_twice", "unclaimed"),
    *("on_their_way", "expired", "cut_short", "by_number", "fewer", "more", "uncompared"),
    "perhaps_late",
)
_LOST_SHOWN: Final = 5
_NOTES_SHOWN: Final = 3
_NO_CARRIAGE: Final = (
    "carriage: the store has no report that a stream was not carried; version 0.1.0 never wrote one, which"
    " proves nothing of its time: ask for what came after it (--from)"
)


def write_table(survey: Survey, out: TextIO) -> None:
    """Series, their faults, and freshness; the conclusion last."""
    several = survey.several
    rows = [_texts(report, several=several) for report in survey.series]
    write_columns(("symbol", "stream", "interval", *_COUNTS), rows, out, right=_COUNTS, leaving=_LEAVING)
    for line in (*_lost_lines(survey.series, several=several), *_unknown_lines(survey), *_note_lines(survey)):
        out.write(line + "\n")
    if survey.freshness:
        out.write("\n")
        write_columns(
            ("freshness (ms)", "hop", "p50", "p95", "p99"),
            [
                (
                    _stream_of(hop, survey),
                    hop.hop,
                    *(f"{value:,.0f}" for value in (hop.p50, hop.p95, hop.p99)),
                )
                for hop in survey.freshness
            ],
            out,
            right=("p50", "p95", "p99"),
        )
    elif survey.store_error is not None:
        out.write(f"\nfreshness: not known; {survey.store_error}\n")
    out.write("\n")
    for recount in survey.recounts or ():
        for line in disagreements(recount, several=several):
            out.write(line + "\n")
    if survey.carriage_reported is False:
        out.write(f"{_NO_CARRIAGE}\n")
    out.write(f"{_conclusion(survey)}\n")
    if survey.as_of_ms is not None:
        out.write(f"as of: {iso(survey.as_of_ms)}, the newest time of the exchange that was heard of\n")
    out.write(f"claims: {survey.source}\n")


def _stream_of(hop: Freshness, survey: Survey) -> str:
    """The stream's name, after its exchange where there are several."""
    several = len({each.exchange for each in survey.freshness}) > 1
    return f"{hop.exchange} {hop.stream}" if several else hop.stream


def write_csv(survey: Survey, out: TextIO) -> None:
    """One line per series; unknown counts are empty."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        (*LedgerSeries._fields, *_COUNTS, "missing_in_store", "without_indicators", "unclaimed_in_store")
    )
    recounts = {recount.series: recount for recount in survey.recounts or ()}
    for report in survey.series:
        recount = recounts.get(report.series)
        counted = (
            ("", "", "")
            if recount is None
            else (
                recount.missing.count + recount.fewer,
                recount.without_indicators.count,
                recount.unclaimed.count + recount.more,
            )
        )
        counts = (getattr(report, name) for name in _COUNTS)
        writer.writerow((*report.series, *("" if count is None else count for count in counts), *counted))


def write_json(survey: Survey, out: TextIO) -> None:
    """One object with everything."""
    content = {
        "source": survey.source,
        "complete": survey.complete,
        "as_of_ms": survey.as_of_ms,
        "unknown": [
            {
                "series": [list(series) for series in unknown.series],
                "since_ms": unknown.since_ms,
                "until_ms": unknown.until_ms,
                "why": unknown.why,
            }
            for unknown in survey.unknown
        ],
        "not_carried_now": [
            {**note.series._asdict(), "since_ms": note.first, "until_ms": note.last, "why": note.detail}
            for note in survey.uncarried
        ],
        "carriage_reported": survey.carriage_reported,
        "series": [_series_json(report) for report in survey.series],
        "found": [
            {**note.series._asdict(), **{k: v for k, v in note._asdict().items() if k != "series"}}
            for note in survey.notes
        ],
        "freshness": survey.freshness,
        "verification": None
        if survey.recounts is None
        else [
            {**recount.series._asdict(), **{name: getattr(recount, name) for name in _RECOUNTED}}
            for recount in survey.recounts
        ],
    }
    out.write(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n")


def disagreements(recount: Recount, *, several: bool = False) -> Iterator[str]:
    """One line for each way in which the store differs from the ledger's claims."""
    name = name_of(recount.series, several=several)
    for what, short in (
        ("claimed as stored are not in the store", recount.missing),
        ("have no indicator point", recount.without_indicators),
        ("in the store are in no claim", recount.unclaimed),
    ):
        if short.count:
            yield f"{name}: {short.count:,} {what}: {_ranges_of(recount, short)}"
    if recount.stored_twice:
        yield f"{name}: {recount.stored_twice:,} points have an id that another point has too"
    if recount.cut_short:
        yield f"{name}: the store has too many holes to count them all; counted up to the last one named"
    if recount.fewer:
        yield f"{name}: {recount.fewer:,} claimed by number alone are not in the store"
    if recount.more:
        yield f"{name}: {recount.more:,} in the store are more than were claimed by number alone"
    if recount.uncompared:
        yield f"{name}: {recount.by_number:,} in the store are of claims that are not kept by time"
    elif recount.by_number:
        yield f"{name}: {recount.by_number:,} in the store were compared by their number alone"
    if recount.perhaps_late:
        yield f"{name}: {recount.perhaps_late:,} have no indicator point; whether they came late is not known"
    if recount.expired:
        yield f"{name}: {recount.expired:,} claimed are older than the store keeps, and not counted"
    if recount.on_their_way:
        yield f"{name}: {recount.on_their_way:,} in the store are too new to be claimed already"


def _texts(report: SeriesReport, *, several: bool) -> tuple[str, ...]:
    counts = (getattr(report, name) for name in _COUNTS)
    return (
        f"{report.series.exchange}:{report.series.symbol}" if several else report.series.symbol,
        report.series.stream,
        report.series.interval,
        *("–" if count is None else f"{count:,}" for count in counts),
    )


def _lost_lines(reports: Sequence[SeriesReport], *, several: bool) -> Iterator[str]:
    for report in reports:
        name = name_of(report.series, several=several)
        if report.lost:
            shown = shown_ranges(
                report.series, report.lost_ranges[-_LOST_SHOWN:], by_minutes=report.by_minutes
            )
            more = len(report.lost_ranges) - _LOST_SHOWN
            newest = f", the newest of {len(report.lost_ranges):,} ranges" if more > 0 else ""
            wrong = f" ({report.different:,} stored, and not as their trades say)" if report.different else ""
            yield f"lost: {name}: {report.lost:,}{wrong}: {shown}{newest}"
        if report.on_their_way:
            yield f"on their way: {name}: {report.on_their_way:,} of the last two minutes"


def _unknown_lines(survey: Survey) -> Iterator[str]:
    for unknown in survey.unknown:
        names = (
            ", ".join(name_of(series, several=survey.several) for series in unknown.series) or "all series"
        )
        since = "" if unknown.since_ms is None else f" since {iso(unknown.since_ms)}"
        until = "" if unknown.until_ms is None else f" until {iso(unknown.until_ms)}"
        yield f"unknown: {names}{since}{until}: {unknown.why}"
    for note in survey.uncarried:
        yield (
            f"not carried now: {name_of(note.series, several=survey.several)} since {iso(note.first)}"
            f"{f' ({note.detail})' if note.detail else ''}"
        )


def _note_lines(survey: Survey) -> Iterator[str]:
    for (series, kind), count in survey.note_counts.items():
        notes = [note for note in survey.notes if note.series == series and note.kind == kind]
        if not notes:
            continue
        shown = "; ".join(_note_text(note) for note in notes[-_NOTES_SHOWN:])
        newest = f" (newest {_NOTES_SHOWN} of {count:,})" if count > _NOTES_SHOWN else ""
        yield f"{kind}: {name_of(series, several=survey.several)}{newest}: {shown}"


def _note_text(note: Note) -> str:
    if note.kind in KINDS_OF_TIMES:
        where = " – ".join(dict.fromkeys((iso(note.first), iso(note.last))))
        return f"{where}{f' ({note.detail})' if note.detail else ''}"
    where = shown_ranges(note.series, ((note.first, note.last),))
    at = f" at {iso(note.time_ms)}" if note.time_ms is not None and not note.series.interval else ""
    return f"{where}{at}{f' ({note.detail})' if note.detail else ''}"


def _conclusion(survey: Survey) -> str:
    lost = sum(report.lost for report in survey.series)
    wrong = [recount for recount in survey.recounts or () if not recount.agrees]
    nothing = "nothing lost" if survey.looked_at else "nothing is known of the time asked for"
    parts = [f"{lost:,} lost" if lost else nothing]
    bars = sum(report.unknown or 0 for report in survey.series)
    if bars or (survey.unknown and survey.looked_at):
        parts.append(f"{bars:,} bars unknown" if bars else "not all is known")
    if survey.uncarried:
        parts.append(f"{len(survey.uncarried)} streams not carried now")
    if any(recount.uncompared for recount in survey.recounts or ()):
        parts.append("not all of the store could be compared")
    if survey.recounts is not None:
        checked = sum(recount.checked for recount in survey.recounts)
        parts.append(
            f"THE STORE DISAGREES in {len(wrong)} of {len(survey.recounts)} series"
            if wrong
            else f"the store has all of {checked:,} claimed"
        )
    return f"{'complete' if survey.complete else 'NOT COMPLETE'}: {', '.join(parts)}"


def _ranges_of(recount: Recount, short: Shortfall) -> str:
    shown = shown_ranges(recount.series, short.ranges[:_LOST_SHOWN], by_minutes=recount.by_minutes)
    return shown + (", …" if len(short.ranges) > _LOST_SHOWN else "")


def _kind_of_ranges(series: LedgerSeries, *, by_minutes: bool) -> str:
    return "minutes" if by_minutes else "open times" if series.interval else "ids"


def shown_ranges(series: LedgerSeries, ranges: Sequence[Range], *, by_minutes: bool = False) -> str:
    """Ranges in the ledger's units as text: ids, open times, or minutes."""
    times = by_minutes or bool(series.interval)
    shown = trade_ids.shown if series.stream == "trades" else str
    texts = (
        tuple(iso(value) if times else shown(value) for value in dict.fromkeys((first, last)))
        for first, last in ranges
    )
    kind = _kind_of_ranges(series, by_minutes=by_minutes)
    return f"{kind} {', '.join(' – '.join(pair) if times else '–'.join(pair) for pair in texts)}"


def _series_json(report: SeriesReport) -> dict[str, Any]:
    return {
        **report.series._asdict(),
        **{name: getattr(report, name) for name in _COUNTS},
        "on_their_way": report.on_their_way,
        "lost_ranges": report.lost_ranges,
        "lost_ranges_are": _kind_of_ranges(report.series, by_minutes=report.by_minutes),
    }
