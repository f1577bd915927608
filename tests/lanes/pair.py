"""Two producers of a symbol read the same frames, one with lanes, one the long way: they must not differ."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from producers.clock import Clock
from producers.dead_letters import Rejections
from producers.effect_runner import EffectRunner
from producers.effects import AskNewestTrades, AuditBook, FetchSnapshot, FillKlines, FillTrades, ProveTrades
from producers.exchanges.binance.lanes import lanes_of
from producers.exchanges.binance.parse import parse_frame
from producers.exchanges.binance.streams import streams_of
from producers.exchanges.frame_types import StreamMessage
from producers.exchanges.wire_text import RULES
from producers.instrument import Instrument
from producers.progress import ProgressLog
from producers.progress_writer import ProgressWriter
from shared.intervals import INTERVAL_MS
from shared.messages import DepthMessage, KlineMessage, TradeMessage
from shared.metrics import ServiceMetrics
from tests.builders import kline
from tests.lanes.state import state_of

_NAME_AT: Final = len('{"stream":"')


class Different(AssertionError):
    """A frame after which the two are not the same."""


class Producer:
    """
    Attributes:
        sent: records since the last look: topic, key, value, and whether the delivery is followed.
        requests: what REST was asked.
        update_id: of the newest diff.
        trades: the newest genuine ones, which REST has too.
    """

    def __init__(self, symbol: str, intervals: Sequence[str], begin_ms: int) -> None:
        self.sent: list[tuple[str, bytes, bytes | None, bool]] = []
        self.requests: list[Any] = []
        self.update_id = 0
        self.trades: deque[TradeMessage] = deque(maxlen=10)
        publisher: Any = self
        rest: Any = None
        clock = Clock()
        progress = ProgressWriter(publisher, clock)
        progress.begin(ProgressLog({}))
        self.runner = EffectRunner(
            publisher,
            rest,
            clock,
            ServiceMetrics("producer"),
            progress=progress,
            rejections=Rejections("binance", lambda _: None),
            distrust=lambda *named: self.requests.append(named),
        )
        repairs: Any = self.runner.repairs
        repairs.start = lambda _instrument, request: self.requests.append(request)
        self.instrument = Instrument(
            "binance",
            symbol,
            intervals,
            book_interval_ms=1_000,
            warmup_bars=0,
            uniform=random.Random(1).random,
            book_audit_ms=60_000,
        )
        self.runner.register(self.instrument, intervals)
        self.runner.run(self.instrument, self.instrument.begin({}, begin_ms))

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Any = None) -> None:
        self.sent.append((topic, key, value, delivered is not None))

    def sender(self, topic: str, key: bytes) -> Callable[[bytes], None]:
        return partial(self.send, topic, key)

    async def room(self) -> None:
        """There always is."""

    def read(self, frame: bytes, now_ms: int, latest_ms: int, *, genuine: bool) -> None:
        """Take a frame the long way."""
        instrument = self.instrument
        [event] = parse_frame(frame, now_ms, latest_ms)
        if type(event) is StreamMessage and event.message["symbol"] == instrument.symbol:
            if event.kind == "depth":
                self.update_id = event.message["final_update_id"]
            if event.kind == "trade" and genuine:
                self.trades.append(cast(TradeMessage, {**event.message, "source": "backfill"}))
            self.runner.run(instrument, instrument.receive(event.kind, event.message))

    def answer(self, now_ms: int, now_s: float) -> None:
        """Answer requests as if REST had flat bars, an empty book and no trades."""
        requests, self.requests = self.requests, []
        for request in requests:
            self.runner.run(self.instrument, self._answer(request, now_ms, now_s))

    def second(self, now_ms: int, now_s: float) -> None:
        """What is done once a second."""
        instrument, run = self.instrument, self.runner.run
        run(instrument, instrument.watch(now_s, now_ms, now_ms))
        run(instrument, instrument.retry(now_ms, now_s))
        run(instrument, instrument.tick())

    def _answer(self, request: Any, now_ms: int, now_s: float) -> list[Any]:  # noqa: PLR0911 - a table
        instrument = self.instrument
        match request:
            case FetchSnapshot():
                return instrument.receive_snapshot(self._snapshot(now_ms), now_ms)
            case AuditBook():
                return instrument.receive_audit_snapshot(None, now_ms)
            case FillKlines(_, interval, first, last):
                step_ms = INTERVAL_MS[interval]
                opens = range(first, min(last, now_ms - step_ms) + 1, step_ms)
                rows = [self._flat_bar(interval, open_ms, now_ms) for open_ms in opens]
                return instrument.receive_kline_rows(interval, first, last, rows, now_ms, now_s=now_s)
            case FillTrades(_, first, last):
                return instrument.receive_trade_rows(first, last, [], now_ms, now_s=now_s)
            case ProveTrades(_, first, last):
                return instrument.receive_trade_proof(request, [], [(first, last)], now_ms, now_s=now_s)
            case AskNewestTrades():
                return instrument.receive_newest_trades(list(self.trades), now_ms)
        return []

    def _snapshot(self, now_ms: int) -> DepthMessage:
        """Of the newest diff, which a book goes on from."""
        return {
            "schema": 1,
            "exchange": "binance",
            "symbol": self.instrument.symbol,
            "event_time_ms": None,
            "received_time_ms": now_ms,
            "source": "backfill",
            "kind": "snapshot",
            "first_update_id": self.update_id,
            "final_update_id": self.update_id,
            "bids": [["0.00000001", "1.00000000"]],
            "asks": [["99999999.00000000", "1.00000000"]],
        }

    def _flat_bar(self, interval: str, open_ms: int, now_ms: int) -> KlineMessage:
        bar = kline(
            interval=interval, open_time_ms=open_ms, close_time_ms=open_ms + INTERVAL_MS[interval] - 1
        )
        of = {"symbol": self.instrument.symbol, "source": "backfill", "trade_count": 0}
        times = {"event_time_ms": None, "received_time_ms": now_ms}
        return cast(KlineMessage, bar | of | times | {"first_trade_id": None, "last_trade_id": None})


class Pair:
    """
    Args:
        rules: of the lanes' holes.

    Attributes:
        taken: number of frames that a lane took, by kind of stream.
        read: of all.
    """

    def __init__(
        self, symbol: str, intervals: Sequence[str], begin_ms: int, rules: Mapping[str, str] = RULES
    ) -> None:
        self.short, self.long = (Producer(symbol, intervals, begin_ms) for _ in range(2))
        instrument, runner = self.short.instrument, self.short.runner
        lanes = lanes_of(streams_of(symbol, intervals), {symbol: instrument.next_steps}, rules)
        self._name_at = lanes.name_at
        self._ways = {
            head: (lane.stream.kind, runner.short_way(instrument, lane))
            for head, lane in lanes.by_head.items()
        }
        self.taken = dict.fromkeys(("quote", "trade", "depth", "kline"), 0)
        self.read = 0

    def take(self, frame: bytes, now_ms: int, latest_ms: int, *, genuine: bool, wholly: bool = False) -> bool:
        """Whether a lane took it.

        Args:
            genuine: the exchange has sent it so.
            wholly: compare all that the instruments hold as well.

        Raises:
            Different: the two are not the same afterwards.
        """
        self.read += 1
        end = frame.find(b'"', self._name_at)
        kind, way = self._ways.get(frame[:end], ("", None))
        try:
            taken = way is not None and way(frame, end, now_ms, latest_ms) is not None
        except Exception as error:
            raise Different(f"{frame!r}: the lane raises {error!r}") from error
        if taken:
            self.taken[kind] += 1
        else:
            self.short.read(frame, now_ms, latest_ms, genuine=genuine)
        self.long.read(frame, now_ms, latest_ms, genuine=genuine)
        self.short.update_id, self.short.trades = self.long.update_id, self.long.trades
        self._compare(frame, wholly=wholly)
        return taken

    def second(self, now_ms: int, now_s: float, *, wholly: bool) -> None:
        """Let a second pass."""
        for producer in (self.short, self.long):
            producer.second(now_ms, now_s)
        self._compare(b"", wholly=wholly)

    def answer(self, now_ms: int, now_s: float) -> None:
        """Let REST answer."""
        for producer in (self.short, self.long):
            producer.answer(now_ms, now_s)

    def _compare(self, frame: bytes, *, wholly: bool) -> None:
        short, long = self.short, self.long
        if short.sent != long.sent or short.requests != long.requests:
            raise Different(
                f"{frame!r}: {short.sent} {short.requests}\n  instead of {long.sent} {long.requests}"
            )
        short.sent.clear()
        long.sent.clear()
        if wholly:
            one, other = state_of(short.instrument), state_of(long.instrument)
            if one != other:
                raise Different(f"{frame!r}: {_difference(one, other)}")


def _difference(one: Any, other: Any, path: str = "") -> str:
    """Where two states differ first."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        name = next(name for name in one if one[name] != other[name])
        return _difference(one[name], other[name], f"{path}.{name}")
    if isinstance(one, tuple) and isinstance(other, tuple) and one[:1] == other[:1]:
        return _difference(one[1], other[1], path)
    return f"{path}: {one!r:.500} instead of {other!r:.500}"
