"""Kraken's streams as faults and the log see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from simulator.exchange import TradeRow
from simulator.faults.kinds import Scope, kinds_on
from simulator.faults.script import Fault
from simulator.faults.targets import Target
from simulator.outgoing import Outgoing
from simulator.protocols.alterations import Alterations, Change
from simulator.protocols.instants import ms_of, rfc3339_ms
from simulator.protocols.kraken.names import parse, stream_name
from simulator.protocols.kraken.rest import ENDPOINTS
from simulator.protocols.port import DepthIssued, Ids, Issued, KlineIssued, TradeIssued
from simulator.world.book import update_ids_at

_KINDS: Final = {"trade": "trade", "book": "depth", "ticker": "quote", "kline": "kline"}
_NEEDED: Final = {
    "trade": ("symbol", "side", "price", "qty", "trade_id", "timestamp"),
    "depth": ("symbol", "bids", "asks", "checksum"),
    "quote": ("symbol", "bid", "bid_qty", "ask", "ask_qty"),
}
SCOPE: Final = Scope("kraken", ("trade", "depth", "quote"), tuple(ENDPOINTS), kinds_on("kraken"))


def _with_body(_kind: str, payload: Mapping[str, Any], change: Change) -> dict[str, Any]:
    first, *others = payload["data"]
    return {**payload, "data": [change(first), *others]}


class KrakenDialect:
    """A message of several trades counts as a whole: struck in one, it is struck in all."""

    name = "kraken"
    scope = SCOPE
    counted = False

    def __init__(self) -> None:
        self._alterations = Alterations(_NEEDED, _with_body)

    def target_of(self, stream: str) -> Target | None:
        kind, symbol, detail = parse(stream)
        if kind not in _KINDS:
            return None
        return Target(_KINDS[kind], symbol, detail if kind == "kline" else "")

    def carried(self, stream: str) -> bool:
        return parse(stream).kind != "kline"

    def logged(self, stream: str) -> bool:
        return parse(stream).kind != "ticker"

    def followed(self, symbol: str, intervals: Sequence[str]) -> Iterable[str]:
        return [
            stream_name("trade", symbol), *(stream_name("kline", symbol, interval) for interval in intervals)
        ]  # fmt: skip

    def identity_of(self, kind: str, event: Outgoing) -> int:
        return int(event.event["data"][-1]["trade_id"]) if kind == "trade" else event.time_ms

    def is_final(self, event: Outgoing) -> bool:
        return "row" in event.event

    def issued(self, event: Outgoing) -> Iterable[Issued]:
        payload = event.event
        if "row" in payload:
            yield KlineIssued(payload["symbol"], payload["interval"], payload["row"])
        elif payload["channel"] == "trade":
            for entry in payload["data"]:
                yield TradeIssued(entry["symbol"], _row(entry))
        elif payload["channel"] == "book":
            yield DepthIssued(payload["data"][0]["symbol"], *update_ids_at(event.time_ms), event.time_ms)

    def ids_of(self, target: Target, event: Outgoing) -> Ids | None:
        match target.kind:
            case "trade":
                entries = event.event["data"]
                first, last = entries[0]["trade_id"], entries[-1]["trade_id"]
                return Ids(first, last, last + 1, event.time_ms)
            case "kline":
                return None
            case _:
                first, last = update_ids_at(event.time_ms)
                return Ids(first, last, last + 1)

    def lie_of(self, target: Target, event: Outgoing) -> Mapping[str, Any]:  # noqa: ARG002
        entry = event.event["data"][-1]
        return {"trade_id": entry["trade_id"], "trade_time_ms": ms_of(entry["timestamp"])}

    def altered(self, fault: Fault, target: Target, event: Outgoing, draw: int) -> Outgoing:
        altered = self._alterations.altered(fault, target, event, draw)
        if altered is not None:
            return altered
        *others, last = event.event["data"]
        match fault.kind:
            case "bad_checksum":
                last = {**last, "checksum": last["checksum"] ^ (1 + draw % 0xFFFF)}
            case "wrong_trade_id":
                last = {**last, "trade_id": fault.options["trade_id"]}
            case _:
                time_ms = ms_of(last["timestamp"]) + round(fault.options["offset_ms"])
                last = {**last, "timestamp": rfc3339_ms(time_ms)}
        return event.changed({**event.event, "data": [*others, last]}, genuine=False)

    def with_clock(self, event: Outgoing, offset_ms: int) -> Outgoing | None:  # noqa: ARG002
        """Times on the streams are the trades' own and the book's: REST alone shows the server's clock."""
        return None


def _row(entry: Mapping[str, Any]) -> TradeRow:
    return TradeRow(
        entry["trade_id"],
        str(entry["price"]),
        str(entry["qty"]),
        "",
        ms_of(entry["timestamp"]),
        entry["side"] == "sell",
    )


KRAKEN: Final = KrakenDialect()
