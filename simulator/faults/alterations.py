"""Events made wrong on purpose: broken frames, fields of other types, bars of other content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from simulator.protocol.envelopes import Outgoing

# Fields without which an event means nothing; klines have theirs inside `k`.
_NEEDED: Final = {
    "trade": ("t", "p", "q", "T", "m"),
    "kline": ("t", "o", "h", "l", "c", "v", "n", "x", "q"),
    "depth": ("U", "u", "b", "a"),
    "quote": ("u", "s", "b", "B", "a", "A"),
}
_EIGHT_PLACES: Final = Decimal("1.00000000")


class BrokenFrame(Outgoing):
    """An event whose frames are broken after they have been made."""

    __slots__ = ("_damage",)

    def __init__(self, event: Outgoing, damage: Callable[[bytes], bytes]) -> None:
        super().__init__(event.stream, event.event, time_ms=event.time_ms, genuine=False)
        self._damage = damage

    def encoded(self, *, combined: bool, microseconds: bool) -> bytes:
        return self._damage(super().encoded(combined=combined, microseconds=microseconds))


def malformed(event: Outgoing, draw: int) -> Outgoing:
    """Text of the right length that is not JSON."""
    damages: tuple[Callable[[bytes], bytes], ...] = (
        lambda frame: frame[:-1] + b"]",
        lambda frame: frame.replace(b":", b"=", 1),
        lambda frame: frame + b"}",
    )
    return BrokenFrame(event, damages[draw % len(damages)])


def truncated(event: Outgoing, draw: int) -> Outgoing:
    """The frame's beginning; text stays text (RFC 6455 §5.6)."""

    def cut(frame: bytes) -> bytes:
        length = 1 + draw % (len(frame) - 1)
        return frame[:length].decode(errors="ignore").encode()

    return BrokenFrame(event, cut)


def wrong_type(event: Outgoing, kind: str, draw: int) -> Outgoing:
    """A needed field has a value of another JSON type."""
    field = _field(kind, draw)
    return _with_body(event, kind, lambda body: {**body, field: _of_other_type(body[field])})


def missing_field(event: Outgoing, kind: str, draw: int) -> Outgoing:
    """A needed field is not there."""
    field = _field(kind, draw)
    return _with_body(
        event, kind, lambda body: {name: value for name, value in body.items() if name != field}
    )


def unknown_field(event: Outgoing, draw: int) -> Outgoing:
    """A field that no client knows (BINANCE_SPOT.md §13, trap 27)."""
    return event.changed({**event.event, "zz": {"draw": draw, "list": [None, True]}})


def other_bar(event: Outgoing) -> Outgoing:
    """The closed bar with one more trade, at a higher price: plausible, but not what was traded."""
    bar = event.event["k"]
    top = _shifted(bar["h"])
    more = {field: _doubled(bar[field]) for field in ("v", "q")}
    kline = {**bar, **more, "h": top, "c": top, "n": bar["n"] + 1}
    return event.changed({**event.event, "k": kline}, genuine=False)


def future_bar(event: Outgoing, ahead_s: float) -> Outgoing:
    """The closed bar once more, as one that has not begun: ahead by a whole number of its lengths."""
    bar = event.event["k"]
    length_ms = bar["T"] + 1 - bar["t"]
    ahead_ms = max(1, round(ahead_s * 1000 / length_ms)) * length_ms
    kline = {**bar, "t": bar["t"] + ahead_ms, "T": bar["T"] + ahead_ms}
    return event.changed({**event.event, "k": kline}, genuine=False)


def with_trade_id(event: Outgoing, trade_id: int) -> Outgoing:
    """The trade under an id that it does not have."""
    return event.changed({**event.event, "t": trade_id}, genuine=False)


def with_trade_time(event: Outgoing, offset_ms: int) -> Outgoing:
    """The trade at a time at which it was not made."""
    return event.changed({**event.event, "T": event.event["T"] + offset_ms}, genuine=False)


def with_clock(event: Outgoing, offset_ms: int) -> Outgoing:
    """The event as a server whose clock is wrong stamps it: only `E`, never an identity."""
    if "E" not in event.event:
        return event
    stamp = event.event["E"]
    # A field of the wrong type may already be there.
    if type(stamp) is not int:
        return event
    return event.changed({**event.event, "E": stamp + offset_ms}, genuine=event.genuine)


def _field(kind: str, draw: int) -> str:
    return _NEEDED[kind][draw % len(_NEEDED[kind])]


def _with_body(event: Outgoing, kind: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Outgoing:
    raw = event.event
    changed = {**raw, "k": change(raw["k"])} if kind == "kline" else change(raw)
    return event.changed(changed, genuine=False)


def _of_other_type(value: Any) -> Any:
    match value:
        case bool():
            return str(value)
        case int():
            return str(value)
        case str():
            return [value]
        case _:
            return {"0": value}


def _shifted(price: str) -> str:
    return str((Decimal(price) * Decimal("1.001")).quantize(_EIGHT_PLACES))


def _doubled(amount: str) -> str:
    return str((Decimal(amount) * 2 or Decimal(1)).quantize(_EIGHT_PLACES))
