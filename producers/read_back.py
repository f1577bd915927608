"""What earlier processes published last of a symbol, read back from its topics. Pure.

A closed bar is compared with its trades about a second after both were published. Where the process was
killed before that, or its entry in the ledger was lost in a power cut, only the topics still have them.
Nothing of what is read back is published or expected again: it is for the audit alone. Of bars that we build
of trades only bars are read back: one that an earlier process closed by its clock may lack a trade.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from producers.candle_audit import KnownTrade, audited_intervals
from producers.progress import Progress
from producers.start_positions import StartPosition, klines_series, trades_series
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage
from shared.topics import TRADES, klines_topic
from shared.trade_ids import number_of, split

_MINUTE_MS: Final = 60_000
# Of bars behind the newest: as many seconds as the audit lets wait for trades (`MAX_BARS`).
_LONGEST_MS: Final = 900_000
# Of bars that we built: trades that come later make them incomplete anyway (`bar_sums.REMEMBERED_MS`).
BUILT_MS: Final = 300_000
# How far a trade's time may be from its neighbours' on the topic, and a clock from the exchange's.
DISORDER_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Trades and closed bars of the last minutes on the topics of a symbol.

    Attributes:
        trades: by their numbers.
        bars: each once, in the order of open times.
    """

    trades: tuple[KnownTrade, ...] = ()
    bars: tuple[KlineMessage, ...] = ()

    def of_numbering(self, epoch: int) -> ReadBack:
        """What belongs to a numbering of trades; bars name ids, and not of which numbering they are."""
        trades = tuple(known for known in self.trades if split(known.number)[0] == epoch)
        if epoch == 0 and len(trades) == len(self.trades):
            return self
        since_ms = min((known.time_ms for known in trades), default=None)
        bars = () if since_ms is None else (bar for bar in self.bars if bar["open_time_ms"] >= since_ms)
        return ReadBack(trades, tuple(bars))


NOTHING_READ: Final = ReadBack()


@dataclass(frozen=True, slots=True)
class Windows:
    """What is to be read back.

    Attributes:
        topics: that have it.
        begins_ms: by symbol; symbols of which the topics have nothing are left out.
        end_ms: bars that close later are wrong.
    """

    topics: tuple[str, ...]
    begins_ms: Mapping[str, int]
    end_ms: int


def windows_of(
    exchange: str,
    symbols: Iterable[str],
    intervals: Sequence[str],
    server_time_ms: int,
    *,
    seen: Mapping[str, Progress],
    start_positions: Mapping[str, StartPosition],
) -> Windows:
    """From the minute before the bar that progress names on, of each symbol: whatever has not been compared,
    or whose entry a power cut may have taken, is younger, since that takes half a minute of a partition.

    Args:
        seen: the last record of each series on its topic.
        start_positions: what the topics hold.
    """
    audited = audited_intervals(intervals)
    begins_ms: dict[str, int] = {}
    for symbol in symbols if audited else ():
        bars = klines_series(exchange, symbol, audited[0])
        newest = [seen[bars].last_id] if bars in seen else []
        if bars in seen and bars in start_positions:
            newest += [found.last for found in start_positions[bars].later[-1:]]
        trades = seen.get(trades_series(exchange, symbol))
        known = [open_ms for open_ms in newest if open_ms is not None]
        if not known and trades is not None and trades.event_time_ms is not None:
            known = [trades.event_time_ms]
        if known:
            newest_ms = min(max(known), server_time_ms)
            # Bars of an outage come after it, and progress only once nothing is found lost.
            proven_ms = start_positions[bars].last_id if bars in start_positions else newest_ms
            since_ms = max(min(proven_ms, newest_ms), newest_ms - _LONGEST_MS)
            begins_ms[symbol] = (since_ms - _MINUTE_MS) // _MINUTE_MS * _MINUTE_MS
    topics = (TRADES, *map(klines_topic, audited))
    return Windows(topics, begins_ms, server_time_ms + DISORDER_MS)


def windows_of_built(
    exchange: str,
    symbols: Iterable[str],
    intervals: Sequence[str],
    server_time_ms: int,
    *,
    start_positions: Mapping[str, StartPosition],
) -> list[Windows]:
    """The newest bars of each interval, where bars are built of trades."""
    found: list[Windows] = []
    for interval in intervals:
        span_ms = max(BUILT_MS, 2 * INTERVAL_MS[interval])
        begins_ms: dict[str, int] = {}
        for symbol in symbols:
            known = start_positions.get(klines_series(exchange, symbol, interval))
            if known is not None and known.last_id <= server_time_ms:
                begins_ms[symbol] = known.last_id - span_ms
        if begins_ms:
            found.append(Windows((klines_topic(interval),), begins_ms, server_time_ms + DISORDER_MS))
    return found


class Gathering:
    """Takes the records of one symbol, in any order."""

    def __init__(self, begin_ms: int, end_ms: int) -> None:
        self._begin_ms = begin_ms
        self._end_ms = end_ms
        self._trades: dict[int, KnownTrade] = {}
        # With their offsets: of a bar that came again the later one is stored.
        self._bars: dict[tuple[int, str], tuple[int, KlineMessage]] = {}

    def receive(self, topic: str, offset: int, message: Any) -> None:
        """Take a checked message."""
        if topic == TRADES:
            number, time_ms = number_of(message), message["trade_time_ms"]
            # Of earlier ones a bar may have some nevertheless: the audit leaves out what it does not need.
            if time_ms >= self._begin_ms - DISORDER_MS:
                trade = message["price"], message["quantity"], message["buyer_is_maker"]
                self._trades[number] = KnownTrade(number, time_ms, trade)
        elif self._begin_ms <= message["open_time_ms"] and message["close_time_ms"] < self._end_ms:
            at = message["open_time_ms"], message["interval"]
            if at not in self._bars or self._bars[at][0] < offset:
                self._bars[at] = offset, message

    def found(self) -> ReadBack:
        trades = tuple(self._trades[number] for number in sorted(self._trades))
        return ReadBack(trades, tuple(self._bars[at][1] for at in sorted(self._bars)))


def stream_time_ms(topic: str, message: Any) -> int | None:
    """When the exchange sent a message, at the latest; None of one that was filled: it may stand after later
    ones."""
    if message["source"] != "stream":
        return None
    time_ms: int = message["trade_time_ms"] if topic == TRADES else message["close_time_ms"] + 1
    return time_ms
