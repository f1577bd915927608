"""The last day as one page without anything from elsewhere: prices, spreads, completeness, quality. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.slots import slot_text, slots_between
from pipelines.snapshots.table import number

_WIDTH: Final = 640
_HEIGHT: Final = 120
_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;max-width:720px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}
table{border-collapse:collapse;width:100%}
td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}.why{color:#777}svg{width:100%;height:auto;display:block}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}}
"""
_COLOURS: Final = {"complete": "#2a9d5c", "backfilled": "#e0a426", "missing": "#d1495b"}
_ABSENT: Final = "#999"


def page(  # noqa: PLR0917 - what a day is made of
    rows: Sequence[SnapshotRow],
    symbols: Sequence[str],
    span: tuple[int, int],
    interval_ms: int,
    quality: Mapping[str, tuple[int, int]],
    held: Sequence[tuple[str, str, str]],
) -> str:
    """The page as HTML.

    Args:
        span: first slot and the end after the last.
        quality: by rule: how many rows were checked, how many failed.
        held: slot, symbol and reason of what was quarantined, newest first.
    """
    slots = list(slots_between(*span, interval_ms))
    by_symbol: defaultdict[str, dict[int, SnapshotRow]] = defaultdict(dict)
    for row in rows:
        by_symbol[row.symbol][row.slot_ms] = row
    title = f"Market snapshots, {slot_text(span[0])} to {slot_text(span[1])} UTC"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>",
        _completeness(by_symbol, symbols, slots),
        *(_symbol(symbol, by_symbol[symbol], slots) for symbol in symbols),
        _quality(quality),
        _held(held),
    ]
    return "\n".join(parts) + "\n"


def _completeness(
    by_symbol: Mapping[str, Mapping[int, SnapshotRow]], symbols: Sequence[str], slots: Sequence[int]
) -> str:
    lines = []
    for symbol in symbols:
        counts = Counter(row.status for row in by_symbol[symbol].values())
        absent = len(slots) - sum(counts.values())
        share = 100 * counts["complete"] / len(slots) if slots else 0.0
        cells = (counts["complete"], counts["backfilled"], counts["missing"], absent, f"{share:.2f} %")
        lines.append(_line(symbol, *cells))
    head = _line("symbol", "complete", "backfilled", "missing", "not taken", "complete of all", tag="th")
    return f"<h2>Completeness, {len(slots)} slots</h2><table>{head}{''.join(lines)}</table>"


def _symbol(symbol: str, rows: Mapping[int, SnapshotRow], slots: Sequence[int]) -> str:
    last = next((rows[slot] for slot in reversed(slots) if slot in rows and rows[slot].measures), None)
    price = number(last.measures.get("last_price")) if last else "–"
    change = number(last.measures.get("change_24h_percent"), 3) if last else "–"
    return (
        f"<h2>{escape(symbol)} {price} ({change} %)</h2>"
        f"{_chart(rows, slots, 'last_price', 'price')}{_chart(rows, slots, 'spread_percent', 'spread, %')}"
        f"{_strip(rows, slots)}"
    )


def _chart(rows: Mapping[int, SnapshotRow], slots: Sequence[int], name: str, label: str) -> str:
    """A line over the day; where nothing is known it is broken."""
    known = {
        place: float(rows[slot].measures[name])
        for place, slot in enumerate(slots)
        if slot in rows and name in rows[slot].measures
    }
    if not known:
        return f"<p class=why>{escape(label)}: nothing is known</p>"
    low, high = min(known.values()), max(known.values())
    step, height = _WIDTH / max(1, len(slots) - 1), (high - low) or 1.0
    path, joined = [], False
    for place in range(len(slots)):
        if place in known:
            y = _HEIGHT - 8 - (known[place] - low) / height * (_HEIGHT - 30)
            path.append(f"{'L' if joined else 'M'}{place * step:.1f} {y:.1f}")
        joined = place in known
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img aria-label="{escape(label)}">'
        f"<text x=0 y=12 font-size=11 fill=currentColor>{escape(label)}: {low:,.6g} to {high:,.6g}</text>"
        f'<path d="{"".join(path)}" fill=none stroke=#2f6fb2 stroke-width=1.5 stroke-linecap=round /></svg>'
    )


def _strip(rows: Mapping[int, SnapshotRow], slots: Sequence[int]) -> str:
    """The status of every slot, as one strip of colours."""
    width = _WIDTH / max(1, len(slots))
    boxes = [
        f'<rect x="{place * width:.2f}" y=0 width="{width:.2f}" height=10 '
        f'fill="{_COLOURS[rows[slot].status] if slot in rows else _ABSENT}"/>'
        for place, slot in enumerate(slots)
    ]
    return f'<svg viewBox="0 0 {_WIDTH} 10" role=img aria-label="status of each slot">{"".join(boxes)}</svg>'


def _quality(quality: Mapping[str, tuple[int, int]]) -> str:
    head = _line("rule", "checked", "failed", tag="th")
    lines = "".join(_line(rule, checked, failed) for rule, (checked, failed) in sorted(quality.items()))
    return f"<h2>Quality</h2><table>{head}{lines}</table>"


def _held(held: Sequence[tuple[str, str, str]]) -> str:
    if not held:
        return "<p>Nothing was quarantined.</p>"
    head = _line("slot", "symbol", "reason", tag="th")
    return f"<h2>Quarantined</h2><table>{head}{''.join(_line(*entry) for entry in held)}</table>"


def _line(*cells: Any, tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
