"""Coinbase's streams as faults and the log see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from simulator.exchange import TradeRow
from simulator.faults.kinds import Scope, kinds_on
from simulator.faults.script import Fault
from simulator.faults.targets import Target
from simulator.outgoing import Outgoing
from simulator.protocols.alterations import Alterations, Change
from simulator.protocols.coinbase.feed import BARS
from simulator.protocols.coinbase.names import parse
from simulator.protocols.coinbase.rest import PATHS
from simulator.protocols.instants import ms_of, rfc3339_ms
from simulator.protocols.port import DepthIssued, Ids, Issued, KlineIssued, TradeIssued
from simulator.world.book import update_ids_at

_KINDS: Final = {"market_trades": "trade", "level2": "depth", "ticker": "quote"}
_NEEDED: Final = {
    "trade": ("product_id", "trade_id", "price", "size", "time", "side"),
    "depth": ("side", "price_level", "new_quantity"),
    "quote": ("product_id", "best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity"),
}
# Where an event has its entries.
_LISTS: Final = {"trade": "trades", "depth": "updates", "quote": "tickers"}
SCOPE: Final = Scope("coinbase", ("trade", "depth", "quote"), PATHS, kinds_on("coinbase"))


def _with_body(kind: str, payload: Mapping[str, Any], change: Change) -> dict[str, Any]:
    event, name = payload["events"][0], _LISTS[kind]
    first, *others = event[name]
    return {**payload, "events": [{**event, name: [change(first), *others]}]}


class CoinbaseDialect:
    """A message of several trades counts as a whole: struck in one, it is struck in all."""

    name = "coinbase"
    scope = SCOPE
    counted = True

    def __init__(self) -> None:
        self._alterations = Alterations(_NEEDED, _with_body)

    def target_of(self, stream: str) -> Target | None:
        channel, product = parse(stream)
        if channel.startswith(BARS):
            return Target("kline", product, channel.removeprefix(BARS))
        return Target(_KINDS[channel], product, "") if channel in _KINDS else None

    def carried(self, stream: str) -> bool:
        return not stream.startswith(BARS)

    def logged(self, stream: str) -> bool:
        return parse(stream).channel != "ticker"

    def followed(self, symbol: str, intervals: Sequence[str]) -> Iterable[str]:
        return [f"market_trades@{symbol}", *(f"{BARS}{interval}@{symbol}" for interval in intervals)]

    def identity_of(self, kind: str, event: Outgoing) -> int:
        return _ids(event)[1] if kind == "trade" else event.time_ms

    def is_final(self, event: Outgoing) -> bool:
        return "row" in event.event

    def issued(self, event: Outgoing) -> Iterable[Issued]:
        payload = event.event
        if "row" in payload:
            yield KlineIssued(payload["symbol"], payload["interval"], payload["row"])
        elif payload["channel"] == "market_trades":
            for entry in reversed(payload["events"][0]["trades"]):
                yield TradeIssued(entry["product_id"], _row(entry))
        elif payload["channel"] == "l2_data":
            yield DepthIssued(
                payload["events"][0]["product_id"], *update_ids_at(event.time_ms), event.time_ms
            )

    def ids_of(self, target: Target, event: Outgoing) -> Ids | None:
        match target.kind:
            case "trade":
                first, last = _ids(event)
                newest = event.event["events"][0]["trades"][0]
                return Ids(first, last, last + 1, ms_of(newest["time"]))
            case "kline":
                return None
            case _:
                first, last = update_ids_at(event.time_ms)
                return Ids(first, last, last + 1)

    def lie_of(self, target: Target, event: Outgoing) -> Mapping[str, Any]:  # noqa: ARG002
        entry = event.event["events"][0]["trades"][0]
        return {"trade_id": int(entry["trade_id"]), "trade_time_ms": ms_of(entry["time"])}

    def altered(self, fault: Fault, target: Target, event: Outgoing, draw: int) -> Outgoing:
        altered = self._alterations.altered(fault, target, event, draw)
        if altered is not None:
            return altered
        match fault.kind:
            case "counter_jump":
                jumped = event.changed(event.event)
                jumped.left_out = int(fault.options["distance"])
                return jumped
            case "wrong_trade_id":
                trade_id = str(fault.options["trade_id"])
                changed = _with_body("trade", event.event, lambda entry: {**entry, "trade_id": trade_id})
            case _:
                offset_ms = round(fault.options["offset_ms"])
                changed = _with_body(
                    "trade",
                    event.event,
                    lambda entry: {**entry, "time": rfc3339_ms(ms_of(entry["time"]) + offset_ms)},
                )
        return event.changed(changed, genuine=False)

    def with_clock(self, event: Outgoing, offset_ms: int) -> Outgoing | None:
        """Only the envelope's time changes, never an identity."""
        stamp = event.event.get("timestamp")
        if not isinstance(stamp, str):
            return None
        shifted = {**event.event, "timestamp": rfc3339_ms(ms_of(stamp) + offset_ms, 9)}
        return event.changed(shifted, genuine=event.genuine)


def _ids(event: Outgoing) -> tuple[int, int]:
    entries = event.event["events"][0]["trades"]
    return int(entries[-1]["trade_id"]), int(entries[0]["trade_id"])


def _row(entry: Mapping[str, Any]) -> TradeRow:
    # The maker bought: the aggressor sold.
    return TradeRow(
        int(entry["trade_id"]),
        entry["price"],
        entry["size"],
        "",
        ms_of(entry["time"]),
        entry["side"] == "BUY",
    )


COINBASE: Final = CoinbaseDialect()
