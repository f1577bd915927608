"""The last day as one self-contained page: prices, spreads, completeness, quality. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

from pipelines.snapshots.rows import Measure, SnapshotRow
from pipelines.snapshots.slots import slot_text, slots_between
from pipelines.snapshots.table import computed, decimals_of, number, price, price_decimals

_WIDTH: Final = 640
_HEIGHT: Final = 120
# Of a chart: its label is above the line, the hours below.
_TOP: Final = 22
_BOTTOM: Final = 100
_HOURS_APART: Final = 6
_HOUR_MS: Final = 3_600_000
# Nearer to an edge the text of an hour would be clipped.
_EDGE: Final = 20
_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;max-width:720px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}
table{border-collapse:collapse;width:100%}
td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child,table.text td,table.text th{text-align:left}td{overflow-wrap:anywhere}
.why{color:#777}svg{width:100%;height:auto;display:block}svg text{font-size:11px;fill:currentColor}
.key{display:inline-block;width:.7em;height:.7em;margin:0 .3em 0 1em}.up{color:#2a9d5c}.down{color:#d1495b}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}}
"""
_COLOURS: Final = {"complete": "#2a9d5c", "backfilled": "#e0a426", "missing": "#d1495b"}
_ABSENT: Final = "#999"


def page(  # noqa: PLR0917
    rows: Sequence[SnapshotRow],
    symbols: Sequence[str],
    span: tuple[int, int],
    interval_ms: int,
    quality: Mapping[str, tuple[int, int]],
    quarantined: Sequence[tuple[str, str, str]],
) -> str:
    """The page as HTML.

    Args:
        span: first slot and the end after the last.
        quality: by rule, number of rows checked and failed.
        quarantined: slot, symbol and reason, newest first.
    """
    slots = list(slots_between(*span, interval_ms))
    scheduled = set(slots)
    by_symbol: defaultdict[str, dict[int, SnapshotRow]] = defaultdict(dict)
    for row in rows:
        # Rows of another schedule are left out.
        if row.slot_ms in scheduled:
            by_symbol[row.symbol][row.slot_ms] = row
    title = f"Market snapshots, {slot_text(span[0])} to {slot_text(span[1])} UTC"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>",
        _completeness(by_symbol, symbols, slots),
        *(_symbol(symbol, by_symbol[symbol], slots) for symbol in symbols),
        _quality(quality),
        _quarantined(quarantined),
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
    colours = {**_COLOURS, "not taken": _ABSENT}
    keys = "".join(
        f"<span class=key style=background:{colour}></span>{name}" for name, colour in colours.items()
    )
    return (
        f"<h2>Completeness, {len(slots)} slots</h2><table>{head}{''.join(lines)}</table>"
        f"<p class=why>In the strips below:{keys}</p>"
    )


def _symbol(symbol: str, rows: Mapping[int, SnapshotRow], slots: Sequence[int]) -> str:
    last = next((rows[slot] for slot in reversed(slots) if slot in rows and rows[slot].measures), None)
    decimals = price_decimals(list(rows.values())).get(symbol, 0)
    newest = price(last.measures.get("last_price"), decimals) if last else "–"
    percent = last.measures.get("change_24h_percent") if last else None
    change = "" if percent is None else _change(percent)
    return (
        f"<h2>{escape(symbol)} {newest} {change}</h2>"
        f"{_chart(rows, slots, 'last_price', 'price')}{_chart(rows, slots, 'spread_percent', 'spread, %')}"
        f"{_strip(rows, slots)}"
    )


def _change(percent: Measure) -> str:
    direction = "down" if percent < 0 else "up"
    sign = "" if percent < 0 else "+"
    return f"<span class={direction}>{sign}{number(percent, 3)} %</span>"


def _chart(rows: Mapping[int, SnapshotRow], slots: Sequence[int], name: str, label: str) -> str:
    """A line over the day, with gaps where the value is unknown."""
    known = {
        place: float(rows[slot].measures[name])
        for place, slot in enumerate(slots)
        if slot in rows and name in rows[slot].measures
    }
    if not known:
        return f"<p class=why>{escape(label)}: nothing is known</p>"
    low, high = min(known.values()), max(known.values())
    named = [rows[slots[place]].measures[name] for place in known]
    lowest, highest = min(named), max(named)
    decimals = max(map(decimals_of, named))
    if name == "last_price":
        span = f"{price(lowest, decimals)} to {price(highest, decimals)}"
    else:
        span = f"{computed(lowest, 5)} to {computed(highest, 5)}"
    step, height = _WIDTH / max(1, len(slots) - 1), (high - low) or 1.0
    path, joined = [], False
    for place in range(len(slots)):
        if place in known:
            y = _BOTTOM - (known[place] - low) / height * (_BOTTOM - _TOP)
            # A point between two gaps is a line without length, drawn as a dot by its round cap.
            path.append(f"{'L' if joined else 'M'}{place * step:.1f} {y:.1f}{'' if joined else 'h0'}")
        joined = place in known
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img aria-label="{escape(label)}">'
        f"<text x=0 y=12>{escape(label)}: {span}</text>{_hours(slots, step)}"
        f'<path d="{"".join(path)}" fill=none stroke=#2f6fb2 stroke-width=1.5 stroke-linecap=round '
        "stroke-linejoin=round /></svg>"
    )


def _hours(slots: Sequence[int], step: float) -> str:
    """A thin line and the time of day every six hours."""
    marks = [place for place, slot in enumerate(slots) if slot % (_HOURS_APART * _HOUR_MS) == 0]
    return "".join(
        f'<path d="M{place * step:.1f} {_TOP}V{_BOTTOM}" stroke=currentColor stroke-opacity=.15 />'
        f"<text x={place * step:.1f} y={_HEIGHT - 6} text-anchor={_anchor(place * step)}>"
        f"{slot_text(slots[place])[-5:]}</text>"
        for place in marks
    )


def _anchor(x: float) -> str:
    return "start" if x < _EDGE else "end" if x > _WIDTH - _EDGE else "middle"


def _strip(rows: Mapping[int, SnapshotRow], slots: Sequence[int]) -> str:
    """The status of every slot, as one strip of colours."""
    width = _WIDTH / max(1, len(slots))
    boxes, place = [], 0
    # Adjacent boxes leave seams where edges are rounded, so equal neighbours are one box.
    for colour, alike in groupby(_COLOURS[rows[slot].status] if slot in rows else _ABSENT for slot in slots):
        count = len(list(alike))
        boxes.append(
            f'<rect x="{place * width:.2f}" y=0 width="{count * width:.2f}" height=10 fill="{colour}"/>'
        )
        place += count
    return (
        f'<svg viewBox="0 0 {_WIDTH} 10" role=img aria-label="status of each slot" '
        f"shape-rendering=crispEdges>{''.join(boxes)}</svg>"
    )


def _quality(quality: Mapping[str, tuple[int, int]]) -> str:
    head = _line("rule", "checked", "failed", tag="th")
    lines = "".join(_line(rule, checked, failed) for rule, (checked, failed) in sorted(quality.items()))
    return f"<h2>Quality</h2><table>{head}{lines}</table>"


def _quarantined(quarantined: Sequence[tuple[str, str, str]]) -> str:
    if not quarantined:
        return "<p>Nothing was quarantined.</p>"
    head = _line("slot", "symbol", "reason", tag="th")
    lines = "".join(_line(*entry) for entry in quarantined)
    return f"<h2>Quarantined</h2><table class=text>{head}{lines}</table>"


def _line(*cells: Any, tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
