"""What REST knows of a recording: the records that were played, as far as they are readable."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any, Final

from simulator.exchange import AggregateRow, KlineRow, Quotes, TradeRow

_EIGHT_PLACES: Final = Decimal("1.00000000")
# ASCII only: Decimal takes any digits of Unicode, and exponents.
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_LARGEST_ID: Final = 2**53
_DIGITS: Final = 100
# The recorder's clock may have been behind the exchange's.
_CLOCKS_APART_MS: Final = 60_000


class PlayedRecords:
    """The exchange's database of a replay.

    A frame that no exchange would send is played as it was recorded, but is not in here: a database has rows
    of numbers.

    Attributes:
        trades: by symbol; those of the newest numbering, which stand last, by id.
        numbering: by symbol, the place of the newest numbering's first trade.
        newest_ms: by stream, the receive time of the newest readable frame.
    """

    def __init__(self, klines: dict[tuple[str, str], dict[int, KlineRow]]) -> None:
        self.klines = klines
        self.trades: defaultdict[str, list[TradeRow]] = defaultdict(list)
        self.numbering: defaultdict[str, int] = defaultdict(int)
        self.aggregates: defaultdict[str, list[AggregateRow]] = defaultdict(list)
        self.quotes: dict[str, Quotes] = {}
        self.newest_ms: dict[str, int] = {}
        # By stream: ids of unreadable frames, or their place where they have none. A later one may mend it.
        self._unreadable: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)

    def learn(self, stream: str, event: Mapping[str, Any], received_ms: int) -> bool:
        """Enter an event; False if it is not readable."""
        match event.get("e"):
            case "trade":
                readable = self._trade(event)
            case "aggTrade":
                readable = self._aggregate(event)
            case "kline":
                readable = self._kline(event, received_ms)
            case "depthUpdate":
                readable = _text(event, "s") and _ids(event, "U", "u") and _ids(event, "E")
            case None if stream.endswith("@bookTicker"):
                readable = self._quote(event)
            case _:
                return True
        identity = _identity(event)
        bad = self._unreadable[stream]
        if readable:
            self.newest_ms[stream] = received_ms
            bad.discard(identity)
        else:
            bad.add(identity if identity[1] >= 0 else ("place", len(bad)))
        return readable

    @property
    def unreadable(self) -> dict[str, int]:
        """By stream, how many frames are nothing that can be stored."""
        return {stream: len(bad) for stream, bad in self._unreadable.items() if bad}

    def _trade(self, event: Mapping[str, Any]) -> bool:
        if not (_text(event, "s") and _ids(event, "t", "T", "E") and _numbers(event, "p", "q")):
            return False
        if type(event.get("m")) is not bool:
            return False
        with localcontext(prec=_DIGITS):
            quote = (Decimal(event["p"]) * Decimal(event["q"])).quantize(_EIGHT_PLACES)
        row = TradeRow(event["t"], event["p"], event["q"], str(quote), event["T"], event["m"])
        rows = self.trades[symbol := event["s"]]
        if not rows or row.trade_id > rows[-1].trade_id:
            rows.append(row)
        elif row.trade_time_ms > rows[-1].trade_time_ms:
            # A lower id at a later time: by id an exchange gives only what it has issued since.
            self.numbering[symbol] = len(rows)
            rows.append(row)
        else:
            begin = self.numbering[symbol]
            at = bisect_left(rows, row.trade_id, begin, key=lambda known: known.trade_id)
            if rows[at].trade_id != row.trade_id:
                rows.insert(at, row)
        return True

    def _aggregate(self, event: Mapping[str, Any]) -> bool:
        if not (_text(event, "s") and _ids(event, "a", "f", "l", "T") and _numbers(event, "p", "q")):
            return False
        row = AggregateRow(*(event.get(letter) for letter in ("a", "p", "q", "f", "l", "T", "m")))  # type: ignore[arg-type]  # checked above
        insort(self.aggregates[event["s"]], row, key=lambda known: known.aggregate_id)
        return True

    def _kline(self, event: Mapping[str, Any], received_ms: int) -> bool:
        bar = event.get("k")
        if not (_text(event, "s") and isinstance(bar, dict) and _text(bar, "i") and _ids(bar, "t", "T", "n")):
            return False
        if not _numbers(bar, "o", "h", "l", "c", "v", "q", "V", "Q"):
            return False
        # What ends after it was received is a lie, of which no database has a row.
        if bar.get("x") is True and bar["T"] <= received_ms + _CLOCKS_APART_MS:
            row = KlineRow(
                *(bar[letter] for letter in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q"))
            )
            self.klines.setdefault((event["s"], bar["i"]), {})[row.open_time_ms] = row
        return True

    def _quote(self, event: Mapping[str, Any]) -> bool:
        if not (_text(event, "s") and _ids(event, "u") and _numbers(event, "b", "B", "a", "A")):
            return False
        self.quotes[event["s"]] = Quotes(event["b"], event["B"], event["a"], event["A"])
        return True


def _identity(event: Mapping[str, Any]) -> tuple[str, int]:
    """What tells the record from others of its stream; a negative number if it is not there."""
    bar = event.get("k")
    value = bar.get("t") if isinstance(bar, dict) else event.get("t", event.get("u"))
    return ("id", value) if type(value) is int and value >= 0 else ("id", -1)


def _text(fields: Mapping[str, Any], name: str) -> bool:
    return type(fields.get(name)) is str


def _ids(fields: Mapping[str, Any], *names: str) -> bool:
    """Whole numbers that are none of nonsense: ids and times."""
    return all(type(value := fields.get(name)) is int and 0 <= value < _LARGEST_ID for name in names)


def _numbers(fields: Mapping[str, Any], *names: str) -> bool:
    return all(
        type(value := fields.get(name)) is str and _NUMBER.fullmatch(value) is not None for name in names
    )
