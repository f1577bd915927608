"""The exchange log, JSON lines: each trade, closed bar and diff issued, once, and those withheld."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from shared.errors import UsageError
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from simulator.exchange import KlineRow, TradeRow
from simulator.faults.targets import Target
from simulator.outgoing import Outgoing
from simulator.protocols.port import DepthIssued, Dialect, KlineIssued, TradeIssued
from simulator.world.calendar import INTERVALS

_BUFFERED_LINES: Final = 5_000


class _Run:
    """Neighbouring records with the same fault: one line."""

    __slots__ = ("first", "following", "last")

    def __init__(self, first: int, last: int, following: int) -> None:
        self.first = first
        self.last = last
        self.following = following


class ExchangeLog:
    """Writes what the market has issued and what faults did to it; without a path it only counts.

    Args:
        symbols: those of the market.
        dialect: tells what an event issues and which ids it has.
        numbering: by record ("trade", "depth"), symbol and time: how often the ids have begun anew.

    Memory grows with the holes in what was issued, not with its size.

    Attributes:
        counts: entries by kind.
    """

    def __init__(
        self,
        path: Path | None,
        symbols: Sequence[str],
        numbering: Callable[[str, str, int], int],
        dialect: Dialect,
    ) -> None:
        self._dialect = dialect
        self._numbering = numbering
        self._symbols = frozenset(symbols)
        self.counts = {"trade": 0, "kline": 0, "depth": 0}
        self._issued: defaultdict[tuple[str | int, ...], IdRanges] = defaultdict(IdRanges)
        self._lines: list[bytes] = []
        self._runs: dict[tuple[str, str, Target, int], _Run] = {}
        try:
            self._file = path.open("wb") if path else None
        except OSError as error:
            raise UsageError(
                f"--log {path} cannot be written ({error.strerror}); name a file in a directory that exists"
            ) from None

    def follows(self, stream: str) -> bool:
        """Whether all events of this stream are to be logged, once it has had a subscriber."""
        target = self._dialect.target_of(stream)
        # Clients may subscribe to unknown symbols, of which nothing is issued.
        return target is not None and target.symbol in self._symbols and self._dialect.logged(stream)

    def issued(self, outgoing: Outgoing) -> None:
        """Enter an event of the market, whoever gets it, if it is genuine."""
        if not outgoing.genuine:
            return
        for record in self._dialect.issued(outgoing):
            match record:
                case TradeIssued(symbol, row):
                    self._trade(symbol, row)
                case KlineIssued(symbol, interval, bar):
                    self._kline(symbol, interval, bar)
                case DepthIssued():
                    self._depth(record)

    def struck(self, fault: str, outgoing: Outgoing, *, withheld: bool) -> None:
        """Enter that an event was withheld, altered or delayed; open bars are not entered."""
        target = self._dialect.target_of(outgoing.stream)
        ids = target and self._dialect.ids_of(target, outgoing)
        if target is None or ids is None:
            return
        numbering = 0
        if ids.numbered_ms is not None:
            numbering = self._numbering(target.kind, target.symbol, ids.numbered_ms)
        first, last, following = ids.first, ids.last, ids.following
        key = ("withheld" if withheld else "altered", fault, target, numbering)
        run = self._runs.get(key)
        if run is not None and run.following == first:
            run.last, run.following = last, following
            return
        if run is not None:
            self._write_run(key, run)
        self._runs[key] = _Run(first, last, following)

    def lied(self, fault: str, outgoing: Outgoing) -> None:
        """Enter an event that was sent and never issued: a trade's wrong id or time, a bar in the future."""
        target = self._dialect.target_of(outgoing.stream)
        if target is None:
            return
        entry: dict[str, Any] = {"kind": "lie", "fault": fault, "stream": target.kind}
        entry["symbol"] = target.symbol
        self._line({**entry, **self._dialect.lie_of(target, outgoing)})

    def faults(self, listed: Sequence[Mapping[str, Any]]) -> None:
        """Enter what every fault has done, as in `GET /simulator/faults`."""
        self._close_runs()
        self._line({"kind": "faults", "faults": listed})

    def asked(self, counts: Mapping[str, int]) -> None:
        """Enter how often clients have asked."""
        self._line({"kind": "asked", **counts})

    def answered_trades(self, symbol: str, rows: Sequence[TradeRow]) -> None:
        for row in rows:
            self._trade(symbol, row)

    def answered_klines(self, symbol: str, interval: str, rows: Sequence[KlineRow], now_ms: int) -> None:
        for row in rows:
            if row.close_time_ms < now_ms:
                self._kline(symbol, interval, row)

    def flush(self) -> None:
        self._close_runs()
        self._write_lines()

    def _write_lines(self) -> None:
        if self._file:
            self._file.writelines(self._lines)
            self._file.flush()
        self._lines.clear()

    def close(self) -> None:
        self.flush()
        if self._file:
            self._file.close()

    def _trade(self, symbol: str, row: TradeRow) -> None:
        numbering = self._numbering("trade", symbol, row.trade_time_ms)
        if self._first_time(("trade", symbol, numbering), row.trade_id, row.trade_id):
            entry: dict[str, Any] = {"kind": "trade", "symbol": symbol, **row._asdict(), **_of(numbering)}
            del entry["quote_quantity"]
            self._write(entry)

    def _kline(self, symbol: str, interval: str, row: KlineRow) -> None:
        # Long intervals have no fixed length; there open times serve as ids.
        length = INTERVAL_MS.get(interval, 1)
        if interval in INTERVALS and self._first_time(
            ("kline", symbol, interval), *([row.open_time_ms // length] * 2)
        ):
            self._write({"kind": "kline", "symbol": symbol, "interval": interval, **row._asdict()})

    def _depth(self, update: DepthIssued) -> None:
        numbering = self._numbering("depth", update.symbol, update.event_time_ms)
        series = ("depth", update.symbol, numbering)
        if self._first_time(series, update.first_update_id, update.final_update_id):
            self._write({"kind": "depth", **update._asdict(), **_of(numbering)})

    def _first_time(self, series: tuple[str | int, ...], first: int, last: int) -> bool:
        issued = self._issued[series]
        if last in issued:
            return False
        issued.add(first, last)
        return True

    def _write(self, entry: Mapping[str, Any]) -> None:
        self.counts[str(entry["kind"])] += 1
        self._line(entry)

    def _line(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        self._lines.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= _BUFFERED_LINES:
            self._write_lines()

    def _close_runs(self) -> None:
        for key, run in self._runs.items():
            self._write_run(key, run)
        self._runs.clear()

    def _write_run(self, key: tuple[str, str, Target, int], run: _Run) -> None:
        kind, fault, target, numbering = key
        entry: dict[str, Any] = {"kind": kind, "fault": fault, "stream": target.kind, "symbol": target.symbol}
        if target.interval:
            entry["interval"] = target.interval
        self._line({**entry, "first": run.first, "last": run.last, **_of(numbering)})


def _of(numbering: int) -> dict[str, int]:
    """The entry's numbering, if it is not the first."""
    return {"numbering": numbering} if numbering else {}
