"""The log, as JSON lines: what was issued, each trade, closed bar and diff once, and what was withheld."""

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
from simulator.faults.targets import Target, is_final, target_of
from simulator.protocol.envelopes import Outgoing
from simulator.world.calendar import INTERVALS

_BUFFERED_LINES: Final = 5_000


class _Run:
    """Neighbouring records that met the same fate: one line."""

    __slots__ = ("first", "following", "last")

    def __init__(self, first: int, last: int, following: int) -> None:
        self.first = first
        self.last = last
        self.following = following


class TruthLog:
    """Writes what the market has issued and what faults did to it; without a path it only counts.

    Args:
        symbols: those of the market.
        numbering: of a record ("trade", "depth"), symbol and time: how often the ids have begun anew.

    Memory grows with the holes in what was issued, not with its size.

    Attributes:
        counts: entries by kind.
    """

    def __init__(
        self, path: Path | None, symbols: Sequence[str], numbering: Callable[[str, str, int], int]
    ) -> None:
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
        """Whether everything on this stream is to be entered, once someone has asked for it."""
        target = target_of(stream)
        # Of symbols that are not there nothing is issued, whatever clients ask for.
        if target is None or target.kind == "quote" or target.symbol not in self._symbols:
            return False
        return target.kind != "depth" or stream.endswith("@100ms")

    def issued(self, outgoing: Outgoing) -> None:
        """Enter an event of the market, whoever gets it; what is not genuine is no record of anything."""
        if not outgoing.genuine:
            return
        event = outgoing.event
        match event.get("e"):
            case "trade":
                self._trade(
                    event["s"],
                    TradeRow(event["t"], event["p"], event["q"], "", event["T"], event["m"]),
                )
            case "kline" if event["k"]["x"] and not outgoing.stream.endswith("@+08:00"):
                self._kline(event["s"], event["k"]["i"], _row(event["k"]))
            case "depthUpdate" if outgoing.stream.endswith("@depth@100ms"):
                self._depth(event)

    def struck(self, fault: str, outgoing: Outgoing, *, withheld: bool) -> None:
        """Enter that an event was withheld, or altered or delayed; open bars are no records."""
        target, event = target_of(outgoing.stream), outgoing.event
        if target is None:
            return
        numbering = 0
        match target.kind:
            case "trade":
                numbering = self._numbering("trade", target.symbol, event["T"])
                first = last = event["t"]
                following = last + 1
            case "kline":
                if not is_final(event):
                    return
                first = last = event["k"]["t"]
                following = event["k"]["T"] + 1
            case "depth":
                numbering = self._numbering("depth", target.symbol, outgoing.time_ms)
                first, last, following = event["U"], event["u"], event["u"] + 1
            case _:
                first, last, following = event["u"], event["u"], -1
        key = ("withheld" if withheld else "altered", fault, target, numbering)
        run = self._runs.get(key)
        if run is not None and run.following == first:
            run.last, run.following = last, following
            return
        if run is not None:
            self._write_run(key, run)
        self._runs[key] = _Run(first, last, following)

    def lied(self, fault: str, outgoing: Outgoing) -> None:
        """Enter what was sent and never issued: a trade's id or time, a bar's open time that are none."""
        target, event = target_of(outgoing.stream), outgoing.event
        if target is None:
            return
        entry: dict[str, Any] = {"kind": "lie", "fault": fault, "stream": target.kind}
        entry["symbol"] = target.symbol
        if target.kind == "trade":
            entry |= {"trade_id": event["t"], "trade_time_ms": event["T"]}
        else:
            entry |= {"interval": target.interval, "open_time_ms": event["k"]["t"]}
        self._line(entry)

    def faults(self, listed: Sequence[Mapping[str, Any]]) -> None:
        """Enter what every fault has done, as `GET /simulator/faults` tells it."""
        self._close_runs()
        self._line({"kind": "faults", "faults": listed})

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
        # Bars of the calendar's long intervals have no fixed length; their open times are ids of their own.
        length = INTERVAL_MS.get(interval, 1)
        if interval in INTERVALS and self._first_time(
            ("kline", symbol, interval), *([row.open_time_ms // length] * 2)
        ):
            self._write({"kind": "kline", "symbol": symbol, "interval": interval, **row._asdict()})

    def _depth(self, event: Mapping[str, Any]) -> None:
        numbering = self._numbering("depth", event["s"], event["E"])
        if self._first_time(("depth", event["s"], numbering), event["U"], event["u"]):
            self._write(
                {
                    "kind": "depth",
                    "symbol": event["s"],
                    "first_update_id": event["U"],
                    "final_update_id": event["u"],
                    "event_time_ms": event["E"],
                    **_of(numbering),
                }
            )

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
    """The entry's numbering, where it is not the first."""
    return {"numbering": numbering} if numbering else {}


def _row(kline: Mapping[str, Any]) -> KlineRow:
    return KlineRow(*(kline[letter] for letter in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")))
