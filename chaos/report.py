"""Results for people and programs: a table, JSON, and the matrix of docs/faults.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from chaos.differences import Kind
from chaos.result import Result
from chaos.scenarios import SCENARIOS
from chaos.venues import VENUES, Venue, left_out
from cryptostream.output import write_columns

_BINANCE: Final = VENUES["binance"]
_STREAMS: Final = ("trade", "kline", "depth", "quote", "rest")
_MEASUREMENTS: Final = ("trade", "kline", "indicator")
_KINDS: Final[tuple[Kind, ...]] = ("missing", "twice", "different")


def begin_of(venue: Venue) -> str:
    """The line before the results of an exchange."""
    return f"<!-- results{_of(venue)}: written by make chaos -->"


def end_of(venue: Venue) -> str:
    """The line after them."""
    return f"<!-- end of results{_of(venue)} -->"


def _of(venue: Venue) -> str:
    return "" if venue is _BINANCE else f" on {venue.exchange}"


def listed(venue: Venue) -> str:
    """One line a scenario: name, what it does, or why this exchange cannot have it."""
    rows = []
    for name, scenario in SCENARIOS.items():
        reason = left_out(scenario, venue)
        rows.append((name, scenario.about if reason is None else f"not here: {reason}"))
    out = StringIO()
    write_columns(("", ""), rows, out)
    return out.getvalue()


def as_table(results: Sequence[Result]) -> str:
    """For a terminal; broken promises follow below."""
    out = StringIO()
    write_columns(_HEADER, [_cells(result) for result in results], out, right=_HEADER[1:])
    out.writelines(f"{result.scenario.name}: {line}\n" for result in results for line in result.broken())
    return out.getvalue()


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One object a scenario."""
    return [
        {
            "scenario": result.scenario.name,
            "fired": result.fired,
            "records": dict(result.records),
            "kills": result.kills,
            "kills_in_a_start": result.early_kills,
            "rollovers": result.rollovers,
            "messages_per_s": round(result.messages_per_s, 1),
            "rows_compared": result.rows,
            "books_compared": result.books,
            "differences": {
                f"{what} {kind}": number for (what, kind), number in result.differences.counts.items()
            },
            "lost": result.lost,
            "dead_letters": result.dead_letters,
            "recoveries_s": [round(seconds, 2) for seconds in result.recoveries_s],
            "most_mb": {name: round(most, 1) for name, most in result.most_mb.items()},
            "seconds": round(result.seconds, 1),
            "ends": list(result.unexpected_exits),
            "verdict": result.outcome,
            "broken": result.broken(),
        }
        for result in results
    ]


def as_page(page: str, results: Sequence[Result], at: datetime, venue: Venue = _BINANCE) -> str:
    """The page with the results between the exchange's markers; without these it gets them at its end.

    Scenarios that were not run keep their row and its date.
    """
    begin, end = begin_of(venue), end_of(venue)
    before, found, rest = page.partition(begin)
    former, _, after = rest.partition(end) if found else ("", "", "")
    matrix = _matrix(_rows_of(former), results, at, venue)
    apart = "\n" if after.lstrip().startswith("#") else ""
    return f"{before.rstrip()}\n\n{begin}\n\n{matrix}\n{end}\n{apart}{after.lstrip()}".lstrip()


def _rows_of(former: str) -> dict[str, str]:
    """The rows of a page, by scenario."""
    rows = (line for line in former.splitlines() if line.startswith("| "))
    return {row[2:].partition(" |")[0]: row for row in rows}


def _matrix(rows: dict[str, str], results: Sequence[Result], at: datetime, venue: Venue) -> str:
    rows |= {
        result.scenario.name: f"| {' | '.join((*_cells(result), f'{at:%Y-%m-%d}'))} |" for result in results
    }
    lines = [
        f"Last run: {at:%Y-%m-%d %H:%M} UTC, {len(results)} scenarios, "
        f"{sum(result.kills for result in results)} kills, "
        f"{sum(result.outcome == 'kept' for result in results)} kept every promise.",
        "",
        f"| {' | '.join((*_HEADER, 'run on'))} |",
        f"|---|{'--:|' * len(_HEADER)}",
        *(rows[name] for name in SCENARIOS if name in rows),
    ]
    absent = _absent(venue, rows)
    broken = [f"- {result.scenario.name}: {line}" for result in results for line in result.broken()]
    return "\n".join([*lines, "", *absent, *broken, *([""] if broken else [])])


def _absent(venue: Venue, rows: dict[str, str]) -> list[str]:
    """The scenarios without a row: why there is none."""
    reasons: dict[str, list[str]] = {}
    for name, scenario in SCENARIOS.items():
        if name not in rows:
            reason = left_out(scenario, venue)
            reasons.setdefault("no run is entered" if reason is None else reason, []).append(name)
    if not reasons:
        return []
    said = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    return [f"Without a row: {said}.", ""]


_HEADER: Final = (
    *("scenario", "fired", *_STREAMS, "kills", "msg/s", "rows"),
    *(f"{name} m/t/d" for name in _MEASUREMENTS),
    *("lost", "recovery s p50", "max", "verdict"),
)


def _cells(result: Result) -> tuple[str, ...]:
    recovery = result.recovery()
    counts = (
        "/".join(str(result.differences.count(name, kind)) for kind in _KINDS) for name in _MEASUREMENTS
    )
    return (
        result.scenario.name,
        _some(result.fired),
        *(_some(result.records[stream]) for stream in _STREAMS),
        _some(result.kills),
        f"{result.messages_per_s:,.0f}",
        f"{result.rows:,}",
        *counts,
        str(result.lost),
        *((f"{recovery[0]:.1f}", f"{recovery[1]:.1f}") if recovery else ("–", "–")),
        result.outcome,
    )


def _some(number: int) -> str:
    return f"{number:,}" if number else "–"
