"""The live screen: a run's view laid out for a terminal, best on 100×30."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cryptostream.output import computed, price
from cryptostream.run.proof.outcome import merged_by_stream
from cryptostream.run.view import LEDGER_COUNTS, BarView, InstrumentView, LedgerRow, RunView, ServiceView
from shared.shown import shown

_BLOCK_WIDTH: Final = 49  # two symbols side by side on 100 columns
# Figures after the close, with minimum widths, so that columns do not move when a figure grows.
# The last one leaves first if they do not fit.
_FIGURES: Final = (("RSI", 6), ("MACD", 8), ("signal", 8), ("ATR", 8))
_SIDE_BY_SIDE: Final = 96  # services beside the ledger
_TALL: Final = 40
_LOG_LINES: Final = 3
_STALE_S: Final = 5.0  # services report once a second
_ARROWS: Final = {-1: ("▼", "red"), 0: ("·", "dim"), 1: ("▲", "green")}
_LOST_STYLE: Final = "bold red"


def render(view: RunView, width: int, height: int) -> RenderableType:
    """The whole screen; each part leaves out at its bottom what does not fit, and names it."""
    header = [*_header(view), *(_line(warning, "yellow") for warning in view.warnings)]
    ledger = _ledger_table(merged_by_stream(view.ledger))
    services = _services_table(view.services)
    if width >= _SIDE_BY_SIDE:
        bottom: list[RenderableType] = [_beside((services, ledger))]
        bottom_height = max(services.row_count, ledger.row_count) + 1
    else:
        # A short terminal shows prices rather than services.
        bottom = [ledger, services] if height >= _TALL else [ledger]
        bottom_height = sum(table.row_count + 1 for table in (ledger, services)[: len(bottom)])
    # A blank line before and after the prices.
    room = height - len(header) - bottom_height - 2
    log_lines = view.log_lines[-min(_LOG_LINES, max(0, room)) :]
    prices, used = _prices(view.instruments, width, room - len(log_lines))
    spare = room - used - len(log_lines)
    if spare > 0:
        log_lines = view.log_lines[-(len(log_lines) + spare) :]
    return Group(*header, Text(), *prices, Text(), *bottom, *(_line(line, "dim") for line in log_lines))


def _header(view: RunView) -> list[Text]:
    first = Text("CryptoStream", style="bold cyan", no_wrap=True, overflow="ellipsis")
    first.append(f"  {shown(view.phase)}", style="bold")
    first.append(f"  up {duration(view.uptime_s)}  (Ctrl-C stops)", style="dim")
    return [first, *(_line(line) for line in view.title_lines)]


def _line(text: str, style: str = "") -> Text:
    return Text(shown(text), style=style, no_wrap=True, overflow="ellipsis")


def _prices(instruments: Sequence[InstrumentView], width: int, room: int) -> tuple[list[RenderableType], int]:
    """Blocks of prices in as many columns as fit, and the number of their lines."""
    across = max(1, min(len(instruments), width // _BLOCK_WIDTH))
    rows = [instruments[at : at + across] for at in range(0, len(instruments), across)]
    parts: list[RenderableType] = []
    left: set[str] = set()
    used = placed = 0
    for row in rows:
        taken = max(len(instrument.bars) for instrument in row) + 2
        if used + taken > room and placed:
            break
        # A column of the grid is followed by a blank.
        blocks = [_block(instrument, width // across - 1) for instrument in row]
        left.update(name for _, names in blocks for name in names)
        parts.append(_beside([block for block, _ in blocks]))
        used += taken
        placed += len(row)
    notes = []
    if placed < len(instruments):
        hidden = ", ".join(instrument.symbol for instrument in instruments[placed:])
        notes.append(f"+ {len(instruments) - placed} more: {hidden}")
    if left:
        notes.append(f"no room for {', '.join(name for name, _ in _FIGURES if name in left)}")
    parts += [_line(text, "dim") for text in notes]
    return parts, used + len(notes)


def _beside(parts: Sequence[RenderableType]) -> Table:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in parts:
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_row(*parts)
    return table


def _block(instrument: InstrumentView, width: int) -> tuple[RenderableType, list[str]]:
    """Prices of a symbol, and the names of figures without room: digits are never cut."""
    cells = [_cells(bar, instrument.decimals) for bar in instrument.bars]
    names, left = _that_fit(cells, width)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", min_width=3)
    table.add_column("close", justify="right", no_wrap=True, min_width=min(10, width - 4))
    for name, least in names:
        table.add_column(name, justify="right", no_wrap=True, min_width=least)
    for bar, texts in zip(instrument.bars, cells, strict=True):
        table.add_row(bar.interval, *texts[: 1 + len(names)])
    return Group(_title(instrument, width), table), left


def _that_fit(cells: Sequence[Sequence[Text]], width: int) -> tuple[list[tuple[str, int]], list[str]]:
    """The figures whose columns fit after interval and close, and the names of the others."""
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(_FIGURES) + 1)]
    used = 4 + max(10, widths[0])
    for at, (_, least) in enumerate(_FIGURES):
        used += 1 + max(least, widths[at + 1])
        if used > width:
            return list(_FIGURES[:at]), [name for name, _ in _FIGURES[at:]]
    return list(_FIGURES), []


def _title(instrument: InstrumentView, width: int) -> Text:
    """Price, best prices and spread; the best prices leave first if they do not fit."""
    arrow, style = _ARROWS[instrument.direction]
    decimals = instrument.decimals
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(f"{shown(instrument.symbol)} ", style="bold")
    title.append(f"{price(instrument.last_price, decimals)} {arrow}", style=f"bold {style}")
    synced = {True: (" ●", "green"), False: (" ○ book", "red"), None: (" ○", "dim")}[instrument.synced]
    best = f"  {price(instrument.bid, decimals)}/{price(instrument.ask, decimals)}"
    spread = f" {instrument.spread_bps:.2f}bp" if instrument.spread_bps is not None else ""
    room = width - title.cell_len - len(synced[0])
    for text in (best + spread, spread):
        if len(text) <= room:
            title.append(text)
            break
    title.append(*synced)
    return title


def _cells(bar: BarView, decimals: int) -> tuple[Text, ...]:
    texts = (
        price(bar.close, decimals),
        *(computed(value).replace(",", "") for value in (bar.rsi, bar.macd, bar.macd_signal, bar.atr)),
    )
    # The open bar's values are provisional.
    return tuple(Text(text, style="italic" if bar.open else "") for text in texts)


def _plain_table(first: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _services_table(services: Sequence[ServiceView]) -> Table:
    table = _plain_table("service", "msg/s", "lag", "lag s", "ms", "age s", "dead", "restarts")
    for service in grouped_services(services):
        table.add_row(
            shown(service.name),
            f"{service.messages_per_s:,.0f}",
            f"{service.lag_messages:,}",
            f"{service.lag_seconds:.1f}",
            "–" if service.freshness_ms is None else f"{service.freshness_ms:,.0f}",
            f"{service.age_s:.0f}",
            Text(str(service.dead_letters), style="red" if service.dead_letters else ""),
            Text(str(service.restarts), style="yellow" if service.restarts else ""),
            style="red" if service.age_s > _STALE_S else "",
        )
    return table


def grouped_services(services: Sequence[ServiceView]) -> list[ServiceView]:
    """One line for the consumers of all intervals of a stream: the sum of rates, the worst of the rest."""
    lines = []
    for name, members in groupby(sorted(services, key=_by_name), key=lambda service: _family(service.name)):
        group = list(members)
        latencies = [service.freshness_ms for service in group if service.freshness_ms is not None]
        lines.append(
            ServiceView(
                name=f"{name} ×{len(group)}" if len(group) > 1 else name,
                messages_per_s=sum(service.messages_per_s for service in group),
                lag_messages=sum(service.lag_messages for service in group),
                lag_seconds=max(service.lag_seconds for service in group),
                dead_letters=sum(service.dead_letters for service in group),
                restarts=max(service.restarts for service in group),
                age_s=max(service.age_s for service in group),
                freshness_ms=max(latencies) if latencies else None,
            )
        )
    return lines


def _by_name(service: ServiceView) -> tuple[bool, str]:
    return (not service.name.startswith("producer"), _family(service.name))


def _family(name: str) -> str:
    return "-".join(name.removeprefix("consumer-").split("-")[:1])


def _ledger_table(rows: Sequence[LedgerRow]) -> Table:
    table = _plain_table("ledger", "expected", "stored", "filled", "missing", "twice")
    for row in rows:
        waiting = row.lost > 0
        table.add_row(
            shown(f"{row.stream} {row.interval}".strip()),
            f"{row.expected:,}",
            f"{row.stored:,}",
            f"{row.backfilled:,}",
            # While services run these ids may still be on their way.
            Text(f"{row.lost:,}", style="yellow" if waiting else "green"),
            f"{row.duplicates:,}",
        )
    return table


def ledger_report(rows: Sequence[LedgerRow]) -> Table:
    """The aligned table at the end of a run: one line a series."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", title_justify="left")
    for name in ("stream", "interval", "symbol"):
        table.add_column(name, no_wrap=True)
    for name in LEDGER_COUNTS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        counts = [Text(f"{getattr(row, name):,}") for name in LEDGER_COUNTS]
        if row.lost:
            counts[LEDGER_COUNTS.index("lost")].stylize(_LOST_STYLE)
        table.add_row(shown(row.stream), shown(row.interval) or "–", shown(row.symbol), *counts)
    return table


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
