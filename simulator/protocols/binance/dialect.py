"""Binance's streams as faults and the log see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from simulator.exchange import KlineRow, TradeRow
from simulator.faults.kinds import STREAM_KINDS, Scope, kinds_on
from simulator.faults.script import Fault
from simulator.faults.targets import Target
from simulator.outgoing import Outgoing
from simulator.protocols.alterations import Alterations, Change
from simulator.protocols.binance.rest import ENDPOINTS
from simulator.protocols.binance.stream_names import parse_stream_name
from simulator.protocols.port import DepthIssued, Ids, Issued, KlineIssued, TradeIssued

_KINDS: Final = {"trade": "trade", "kline": "kline", "depth": "depth", "bookTicker": "quote"}
# Fields without which an event means nothing; klines have theirs inside `k`.
_NEEDED: Final = {
    "trade": ("t", "p", "q", "T", "m"),
    "kline": ("t", "o", "h", "l", "c", "v", "n", "x", "q"),
    "depth": ("U", "u", "b", "a"),
    "quote": ("u", "s", "b", "B", "a", "A"),
}
_EIGHT_PLACES: Final = Decimal("1.00000000")
SCOPE: Final = Scope(
    "binance",
    STREAM_KINDS,
    tuple(ENDPOINTS),
    kinds_on("binance"),
)


@lru_cache(maxsize=4_096)
def _target_of(stream: str) -> Target | None:
    parsed = parse_stream_name(stream)
    if parsed is None or parsed.kind not in _KINDS or parsed.offset_ms:
        return None
    return Target(_KINDS[parsed.kind], parsed.symbol, parsed.interval)


class BinanceDialect:
    """Events have Binance's payloads (BINANCE_SPOT.md §4)."""

    name = "binance"
    scope = SCOPE
    counted = False

    def __init__(self) -> None:
        self._alterations = Alterations(_NEEDED, _with_body)

    def target_of(self, stream: str) -> Target | None:
        return _target_of(stream)

    def carried(self, stream: str) -> bool:  # noqa: ARG002
        return True

    def logged(self, stream: str) -> bool:
        target = _target_of(stream)
        if target is None or target.kind == "quote":
            return False
        return target.kind != "depth" or stream.endswith("@100ms")

    def followed(self, symbol: str, intervals: Sequence[str]) -> Iterable[str]:
        kinds = ("trade", *(f"kline_{interval}" for interval in intervals))
        return [f"{symbol.lower()}@{kind}" for kind in kinds]

    def identity_of(self, kind: str, event: Outgoing) -> int:
        payload = event.event
        match kind:
            case "trade":
                return int(payload["t"])
            case "kline":
                return int(payload["k"]["t"] if payload["k"]["x"] else payload["E"])
            case _:
                return int(payload["u"])

    def is_final(self, event: Outgoing) -> bool:
        bar = event.event.get("k")
        return isinstance(bar, dict) and bar.get("x") is True

    def issued(self, event: Outgoing) -> Iterable[Issued]:
        payload = event.event
        match payload.get("e"):
            case "trade":
                row = TradeRow(payload["t"], payload["p"], payload["q"], "", payload["T"], payload["m"])
                yield TradeIssued(payload["s"], row)
            case "kline" if payload["k"]["x"] and not event.stream.endswith("@+08:00"):
                yield KlineIssued(payload["s"], payload["k"]["i"], KlineRow.of_event(payload["k"]))
            case "depthUpdate" if event.stream.endswith("@depth@100ms"):
                yield DepthIssued(payload["s"], payload["U"], payload["u"], payload["E"])

    def ids_of(self, target: Target, event: Outgoing) -> Ids | None:
        payload = event.event
        match target.kind:
            case "trade":
                return Ids(payload["t"], payload["t"], payload["t"] + 1, payload["T"])
            case "kline":
                bar = payload["k"]
                return Ids(bar["t"], bar["t"], bar["T"] + 1) if self.is_final(event) else None
            case "depth":
                return Ids(payload["U"], payload["u"], payload["u"] + 1, event.time_ms)
            case _:
                return Ids(payload["u"], payload["u"], -1)

    def lie_of(self, target: Target, event: Outgoing) -> Mapping[str, Any]:
        payload = event.event
        if target.kind == "trade":
            return {"trade_id": payload["t"], "trade_time_ms": payload["T"]}
        return {"interval": target.interval, "open_time_ms": payload["k"]["t"]}

    def altered(self, fault: Fault, target: Target, event: Outgoing, draw: int) -> Outgoing:
        altered = self._alterations.altered(fault, target, event, draw)
        if altered is not None:
            return altered
        payload = event.event
        match fault.kind:
            case "future_bar":
                return _future_bar(event, fault.options["ahead"])
            case "wrong_trade_id":
                return event.changed({**payload, "t": fault.options["trade_id"]}, genuine=False)
            case "far_trade_time":
                time_ms = payload["T"] + round(fault.options["offset_ms"])
                return event.changed({**payload, "T": time_ms}, genuine=False)
            case "wrong_kline":
                return _with_bar(event, _lied(event.event["k"], draw))
            case _:
                return _with_bar(event, _one_trade_more(event.event["k"]))

    def with_clock(self, event: Outgoing, offset_ms: int) -> Outgoing | None:
        """Only `E` changes, never an identity."""
        if "E" not in event.event:
            return None
        stamp = event.event["E"]
        # A field of the wrong type may already be there.
        if type(stamp) is not int:
            return event
        return event.changed({**event.event, "E": stamp + offset_ms}, genuine=event.genuine)


def _with_body(kind: str, payload: Mapping[str, Any], change: Change) -> dict[str, Any]:
    return {**payload, "k": change(payload["k"])} if kind == "kline" else change(payload)


def _with_bar(event: Outgoing, bar: Mapping[str, Any]) -> Outgoing:
    return event.changed({**event.event, "k": bar}, genuine=False)


def _one_trade_more(bar: Mapping[str, Any]) -> dict[str, Any]:
    """The closed bar with one more trade, at a higher price: plausible, but wrong."""
    top = _shifted(bar["h"])
    more = {field: _doubled(bar[field]) for field in ("v", "q")}
    return {**bar, **more, "h": top, "c": top, "n": bar["n"] + 1}


def _lied(bar: Mapping[str, Any], draw: int) -> dict[str, Any]:
    """The closed bar with one more trade, or with a single field wrong, within the bounds of the others."""
    lowest, highest = sorted((bar["l"], bar["h"]), key=Decimal)
    ways: Sequence[Mapping[str, Any]] = (
        {},
        {"h": _shifted(bar["h"])},
        {"l": _shifted(bar["l"], "0.999")},
        {"o": lowest if bar["o"] == highest else highest},
        {"c": lowest if bar["c"] == highest else highest},
        {"v": _doubled(bar["v"])},
        {"q": _doubled(bar["q"])},
        {"V": "0.00000000" if Decimal(bar["V"]) else bar["v"]},
        {"Q": "0.00000000" if Decimal(bar["Q"]) else bar["q"]},
        {"n": bar["n"] + 1},
    )
    lied = {**bar, **ways[draw % len(ways)]}
    return lied if lied != bar else _one_trade_more(bar)


def _future_bar(event: Outgoing, ahead_s: float) -> Outgoing:
    """A copy of the closed bar in the future: ahead by a whole number of its lengths."""
    bar = event.event["k"]
    length_ms = bar["T"] + 1 - bar["t"]
    ahead_ms = max(1, round(ahead_s * 1000 / length_ms)) * length_ms
    kline = {**bar, "t": bar["t"] + ahead_ms, "T": bar["T"] + ahead_ms}
    return event.changed({**event.event, "k": kline}, genuine=False)


def _shifted(price: str, factor: str = "1.001") -> str:
    return str((Decimal(price) * Decimal(factor)).quantize(_EIGHT_PLACES))


def _doubled(amount: str) -> str:
    return str((Decimal(amount) * 2 or Decimal(1)).quantize(_EIGHT_PLACES))


BINANCE: Final = BinanceDialect()
