"""The live screen: a snapshot laid out for a terminal, made for 100×30, fit for larger and narrower ones."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cryptostream.embedded.snapshot import BarView, InstrumentView, LedgerRow, ServiceView, Snapshot
from cryptostream.embedded.verdict import merged_by_stream

_BLOCK_WIDTH: Final = 49  # two symbols side by side on 100 columns
_NARROW: Final = 40  # below it MACD and ATR give way
_SIDE_BY_SIDE: Final = 96  # services beside the ledger
_TALL: Final = 40
_LOG_LINES: Final = 3
_STALE_S: Final = 5.0  # services speak once a second
_ARROWS: Final = {-1: ("▼", "red"), 0: ("·", "dim"), 1: ("▲", "green")}
_LOST_STYLE: Final = "bold red"


def render(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """The whole screen; what does not fit is left out from the bottom of each part, with a word about it."""
    header = [*_header(snapshot), *(_line(warning, "yellow") for warning in snapshot.warnings)]
    ledger = _ledger_table(merged_by_stream(snapshot.ledger))
    services = _services_table(snapshot.services)
    if width >= _SIDE_BY_SIDE:
        bottom: list[RenderableType] = [_beside((services, ledger))]
        bottom_height = max(services.row_count, ledger.row_count) + 1
    else:
        # Prices come first: services give way on a short terminal.
        bottom = [ledger, services] if height >= _TALL else [ledger]
        bottom_height = sum(table.row_count + 1 for table in (ledger, services)[: len(bottom)])
    # A blank line before and after the prices.
    room = height - len(header) - bottom_height - 2
    log_lines = snapshot.log_lines[-min(_LOG_LINES, max(0, room)) :]
    prices, used = _prices(snapshot.instruments, width, room - len(log_lines))
    spare = room - used - len(log_lines)
    if spare > 0:
        log_lines = snapshot.log_lines[-(len(log_lines) + spare) :]
    return Group(*header, Text(), *prices, Text(), *bottom, *(_line(line, "dim") for line in log_lines))


def _header(snapshot: Snapshot) -> list[Text]:
    first = Text("CryptoStream", style="bold cyan", no_wrap=True, overflow="ellipsis")
    first.append(f"  {snapshot.phase}", style="bold")
    first.append(f"  up {duration(snapshot.uptime_s)}  (Ctrl-C stops)", style="dim")
    return [first, *(_line(line) for line in snapshot.title_lines)]


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _prices(instruments: Sequence[InstrumentView], width: int, room: int) -> tuple[list[RenderableType], int]:
    """Blocks of prices in as many columns as fit, and the lines they take."""
    across = max(1, min(len(instruments), width // _BLOCK_WIDTH))
    rows = [instruments[at : at + across] for at in range(0, len(instruments), across)]
    parts: list[RenderableType] = []
    used = shown = 0
    for row in rows:
        taken = max(len(instrument.bars) for instrument in row) + 2
        if used + taken > room and shown:
            break
        parts.append(_beside([_block(instrument, width // across) for instrument in row]))
        used += taken
        shown += len(row)
    if shown < len(instruments):
        hidden = ", ".join(instrument.symbol for instrument in instruments[shown:])
        parts.append(_line(f"+ {len(instruments) - shown} more: {hidden}", "dim"))
        used += 1
    return parts, used


def _beside(parts: Sequence[RenderableType]) -> Table:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in parts:
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_row(*parts)
    return table


def _block(instrument: InstrumentView, width: int) -> RenderableType:
    arrow, style = _ARROWS[instrument.direction]
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(f"{instrument.symbol} ", style="bold")
    title.append(f"{price(instrument.last_price)} {arrow}", style=f"bold {style}")
    if width >= _NARROW:
        title.append(f"  {price(instrument.bid)}/{price(instrument.ask)}")
        if instrument.spread_bps is not None:
            title.append(f" {instrument.spread_bps:.2f}bp")
    synced = {True: (" ●", "green"), False: (" ○ book", "red"), None: (" ○", "dim")}[instrument.synced]
    title.append(*synced)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    names = ("close", "RSI", "MACD", "signal", "ATR") if width >= _NARROW else ("close", "RSI")
    table.add_column("", min_width=3)
    # Of fixed width, so that nothing jumps when a figure changes its length.
    for name, least in zip(names, (10, 5, 8, 8, 8), strict=False):
        table.add_column(name, justify="right", no_wrap=True, min_width=least)
    for bar in instrument.bars:
        table.add_row(bar.interval, *_cells(bar)[: len(names)])
    return Group(title, table)


def _cells(bar: BarView) -> tuple[Text, ...]:
    texts = (
        price(bar.close),
        "–" if bar.rsi is None else f"{bar.rsi:.1f}",
        small(bar.macd),
        small(bar.macd_signal),
        small(bar.atr),
    )
    # The open bar's values are provisional, and look it.
    return tuple(Text(text, style="italic" if bar.open else "") for text in texts)


def _services_table(services: Sequence[ServiceView]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("service", no_wrap=True)
    for name in ("msg/s", "lag", "lag s", "ms", "age s", "dead", "restarts"):
        table.add_column(name, justify="right", no_wrap=True)
    for service in grouped_services(services):
        table.add_row(
            service.name,
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
    """The consumers of the intervals of one stream become one line: rates add up, the rest is the worst."""
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
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("ledger", no_wrap=True)
    for name in ("expected", "stored", "filled", "missing", "twice"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        waiting = row.lost > 0
        table.add_row(
            f"{row.stream} {row.interval}".strip(),
            f"{row.expected:,}",
            f"{row.stored:,}",
            f"{row.backfilled:,}",
            # While services run this is what is still on its way.
            Text(f"{row.lost:,}", style="yellow" if waiting else "green"),
            f"{row.duplicates:,}",
        )
    return table


def ledger_report(rows: Sequence[LedgerRow]) -> Table:
    """The aligned table at the end of a run: one line a series."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", title_justify="left")
    for name in ("stream", "interval", "symbol"):
        table.add_column(name, no_wrap=True)
    figures = ("expected", "stored", "backfilled", "halted", "offline", "lost", "duplicates")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        counts = [Text(f"{getattr(row, name):,}") for name in figures]
        if row.lost:
            counts[figures.index("lost")].stylize(_LOST_STYLE)
        table.add_row(row.stream, row.interval or "–", row.symbol, *counts)
    return table


def price(value: float | None) -> str:
    """A price with as many decimals as its size needs."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 2 if size >= 1000 else 3 if size >= 10 else 4 if size >= 1 else _own_decimals(value)
    return f"{value:,.{decimals}f}"


def _own_decimals(value: float) -> int:
    """Of a price below 1: as many as it was quoted with, but no fewer than 6."""
    exponent = Decimal(repr(value)).as_tuple().exponent
    return min(12, max(6, -exponent if isinstance(exponent, int) else 6))


def small(value: float | None) -> str:
    """An indicator in the price's unit, in at most 8 characters."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 1 if size >= 1000 else 2 if size >= 10 else 3 if size >= 1 else 5
    return f"{value:.{decimals}f}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
