"""A producer without sockets, in virtual time: its reader, cores, REST client and repairs, all as they are.

What it reads comes of a `World`, and what it sends goes to a list.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final, cast
from unittest.mock import patch

import orjson
from websockets.exceptions import ConnectionClosedError

import producers.clock
import producers.connection
import producers.progress_writer
import producers.reader
import producers.repairs
from producers.clock import Clock
from producers.dead_letters import Rejections
from producers.effect_runner import EffectRunner
from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.binance.rest import BinanceRest
from producers.exchanges.binance.streams import streams_of
from producers.instrument import Instrument
from producers.ledger_writer import LedgerWriter
from producers.progress_writer import ProgressWriter
from producers.reader import FrameReader
from producers.watchdog import Watchdog
from shared.dead_letters import MOST_BYTES, DeadLetter
from shared.messages import check
from shared.metrics import ServiceMetrics
from shared.shown import shown
from shared.topics import BOOK, DEPTH, LEDGER, QUOTES, TRADES
from tests.builders import plan
from tests.frames.extremes import extreme
from tests.frames.generator import Generator
from tests.frames.world import BEGIN_MS, INTERVALS, SYMBOL, World

# What librdkafka and a broker take where nobody has set another bound, less what the format needs.
_KAFKA_TAKES: Final = 999_000
_LONGEST_HEADERS: Final = 5_000
_KINDS: Final = {TRADES: "trade", DEPTH: "depth", BOOK: "book", QUOTES: "quote", LEDGER: "ledger"}


class Kafka:
    """In place of the publisher: takes what Kafka would take, and fails for all else.

    Attributes:
        trades: how often each trade id was published; bars: likewise each interval and open time.
        letters: how many there were; of_frames: those of them that are no rows of REST. reasons: the newest.
        newest: the last message of each topic.
    """

    held_back = ((), ())

    def __init__(self) -> None:
        self.trades: Counter[int] = Counter()
        self.bars: Counter[tuple[str, int]] = Counter()
        self.newest: dict[str, bytes] = {}
        self.letters = 0
        self.of_frames = 0
        self.reasons: deque[str] = deque(maxlen=5)
        self.published = 0
        self.longest = 0

    def send(self, topic: str, key: bytes, value: bytes | None, delivered: Any = None) -> None:
        assert value is not None
        size = len(key) + len(value)
        assert size <= _KAFKA_TAKES, f"a record of {size:,} bytes for {topic}"
        self.longest = max(self.longest, size)
        self.published += 1
        message = orjson.loads(value)
        check(_KINDS.get(topic, "kline"), message)
        self.newest[topic] = value
        if topic == TRADES:
            self.trades[message["trade_id"]] += 1
        elif topic.startswith("market.klines."):
            self.bars[message["interval"], message["open_time_ms"]] += 1
        if delivered is not None:
            delivered(0, self.published)

    def sender(self, topic: str, key: bytes) -> Callable[[bytes], None]:
        return partial(self.send, topic, key)

    def send_dead_letter(self, letter: DeadLetter) -> None:
        headers = sum(len(name) + len(value) for name, value in letter.headers)
        size = len(letter.key or b"") + len(letter.value or b"") + headers
        assert headers <= _LONGEST_HEADERS, f"headers of {headers:,} bytes"
        assert size <= _KAFKA_TAKES, f"a letter of {size:,} bytes"
        assert len(letter.value or b"") <= MOST_BYTES
        for name, value in letter.headers:
            text = value.decode() if isinstance(value, bytes) else value
            assert shown(text) == text, f"header {name}: {text!r}"
        self.longest = max(self.longest, size)
        told = {name: value for name, value in letter.headers if isinstance(value, bytes)}
        self.letters += 1
        self.of_frames += told["source_topic"].startswith(b"websocket:")
        self.reasons.append(told["reason"].decode())

    async def room(self) -> None:
        return


class Frames(deque[bytes]):
    """What a connection has brought; tells when the next one is taken: what became of the last is known."""

    taken: Callable[[], None] = staticmethod(lambda: None)

    def popleft(self) -> bytes:
        self.taken()
        return super().popleft()


class Connection:
    """In place of a connection: what is put in `frames` comes at once, and then it ends."""

    replace_reason = None

    def __init__(self) -> None:
        self.frames = Frames()
        self.out_of_bounds: dict[str, int] = {}
        self.parse = BINANCE.parser()
        self.plan = plan(streams=streams_of(SYMBOL, INTERVALS))
        self.watchdog = Watchdog([stream[:3] for stream in self.plan.streams], 0.0, self.plan.liveness)

    async def more(self) -> None:
        raise ConnectionClosedError(None, None)


class Rest(BinanceRest):
    """Asks the world in place of the exchange; some of the answers come changed.

    Attributes:
        hostile: share of answers that are changed. bodies: how many were.
    """

    def __init__(self, world: World, generator: Generator, rejections: Rejections, clock: Clock) -> None:
        super().__init__("http://exchange", "http://history", clock.exchange_ms, rejections.reject)
        self.bounds_ms = clock.bounds_ms
        self._world = world
        self._generator = generator
        self.hostile = 0.0
        self.bodies = 0

    def forgive(self) -> None:
        """Forget that the exchange asked to wait: for hours, if it was told so."""
        self._closed_until_ms.clear()
        self.budget.set_limit(6_000)

    async def _send(self, url: str, parameters: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        path = url.partition("/api/v3/")[2]
        answer = self._world.answer(path, parameters)
        chance = self._generator.chance
        # What a clock that lies does is another question (oracle/plan.py).
        honest = self.hostile < 1.0 and path == "time"
        if honest or chance.random() >= self.hostile:
            return 200, {"date": "Mon, 03 Aug 2026 14:25:00 GMT"}, orjson.dumps(answer)
        self.bodies += 1
        body = self._generator.broken(orjson.loads(orjson.dumps(answer)))
        if self.hostile < 1.0:
            # A host that refuses, or asks to wait for days, is no matter of what it says.
            return 200, {}, body
        status = (
            200
            if chance.random() < 0.8
            else chance.choice((100, 204, 302, 400, 403, 404, 418, 429, 451, 500, 999))
        )
        headers = {
            name: _header(chance)
            for name in ("date", "retry-after", "x-mbx-used-weight-1m", "location")
            if chance.random() < 0.3
        }
        return status, headers, body


def _header(chance: random.Random) -> str:
    return str(chance.choice(_HEADERS)) if chance.random() < 0.8 else repr(extreme(chance, 0.0))[:8_000]


_HEADERS: Final = (
    *(
        "",
        "0",
        "-1",
        "1.5",
        "9" * 400,
        "9" * 5_000,
        "\u0661\u0662",
        "\xb2",
        "NaN",
        "Mon, 01 Jan 0001 00:00:00 +2359",
    ),
    *(
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "0 0 0 0 0",
        "\x1b[2J",
        "http://[",
        "://",
    ),
    *(
        "Mon, 03 Aug " + "9" * 5_000 + " 14:25:00 GMT",
        "Mon, 03 Aug 2026 14:25:00 +" + "9" * 30,
        "60",
        "//evil/\n",
    ),
)


class _Time:
    """In place of the module `time`: that of the event loop."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    @staticmethod
    def time_ns() -> int:
        return BEGIN_MS * 1_000_000 + round(asyncio.get_running_loop().time() * 1e9)


@contextmanager
def virtual_clocks() -> Iterator[None]:
    """The producer's modules read the event loop's clock."""
    modules: tuple[ModuleType, ...] = (
        producers.clock,
        producers.progress_writer,
        producers.reader,
        producers.repairs,
    )
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(patch.object(module, "time", _Time))
        yield


class Stand:
    """
    Attributes:
        worst_s: the longest that it took until all was right again, in virtual seconds.
    """

    def __init__(self, generator: Generator) -> None:
        self.world = World()
        self.kafka = Kafka()
        self.clock = Clock(_Time.monotonic)
        self._metrics = ServiceMetrics("producer")
        publisher: Any = self.kafka
        self.rejections = Rejections("binance", self.kafka.send_dead_letter)
        self.rest = Rest(self.world, generator, self.rejections, self.clock)
        progress = ProgressWriter(publisher, self.clock)
        self._ledger = LedgerWriter(publisher, progress)
        self.runner = EffectRunner(
            publisher,
            self.rest,
            self.clock,
            self._metrics,
            progress=progress,
            rejections=self.rejections,
            distrust=lambda *_: None,
        )
        self.clock.ask = self._measure_clock
        self.instrument = Instrument("binance", SYMBOL, INTERVALS, book_interval_ms=1_000, warmup_bars=0)
        self.runner.register(self.instrument, INTERVALS)
        self.announced = self.distrusted = 0
        steps = {SYMBOL: self.instrument.next_steps}
        self.reader = FrameReader(
            {SYMBOL: self.instrument},
            self.runner,
            self._metrics,
            self.clock,
            lanes=BINANCE.lanes(plan(streams=streams_of(SYMBOL, INTERVALS)), steps),
            announced=self._announced,
            distrusted=self._distrusted,
        )
        self.connection = Connection()
        self.worst_s = 0

    def _announced(self, _connection: Any) -> None:
        self.announced += 1

    def _distrusted(self, _connection: Any, reason: str) -> None:
        assert len(reason) < 3_000, "the reason of a distrust is not bounded"
        self.distrusted += 1

    async def _measure_clock(self) -> None:
        sent_ms = self.clock.steady_ms()
        self.clock.receive(sent_ms, await self.rest.time_ms())

    async def begin(self) -> None:
        await self._measure_clock()
        self.runner.run(self.instrument, self.instrument.begin({}, self.clock.exchange_ms()))
        self.instrument.await_trade_base()
        newest = self.world.trade_id
        raised = self.instrument.listen_after(newest, self.clock.message_ms(), self.clock.exchange_ms())
        self.runner.run(self.instrument, raised)

    async def read(self, frames: Iterable[bytes]) -> None:
        """Let the reader take the frames, as they come from a connection."""
        self.connection.frames.extend(frames)
        await self.reader.read(cast(producers.connection.Connection, self.connection))

    async def second(self) -> None:
        """A second passes for all of them, as it does in the service."""
        await asyncio.sleep(1.0)
        await self.read(self.world.second())
        instrument, run = self.instrument, self.runner.run
        now_s, now_ms = _Time.monotonic(), self.clock.message_ms()
        self._ledger.write([(instrument, instrument.tick())])
        run(instrument, instrument.retry(now_ms, now_s))
        run(instrument, instrument.watch(now_s, self.clock.exchange_ms(), now_ms))
        self._metrics.message(now_ms)
        self.runner.repairs.check()
        if self.world.now_ms % 60_000 == 0:
            await self._measure_clock()

    def wrong(self) -> str:
        """What is not right now, in words; "" if all is."""
        world, kafka = self.world, self.kafka
        absent = [
            number for number in range(self._first_trade, world.trade_id + 1) if not kafka.trades[number]
        ]
        if absent:
            return f"{len(absent)} trades are missing, the first is {absent[0]}"
        for interval, step in (("1s", 1_000), ("1m", 60_000)):
            opens = range(-(-self._since_ms // step) * step, world.now_ms - step + 1, step)
            if bars := [at for at in opens if not kafka.bars[interval, at]]:
                return f"{len(bars)} bars of {interval} are missing, the first is {bars[0]}"
        if not self.instrument.synced:
            return "the book is not synced"
        quote = orjson.loads(kafka.newest[QUOTES])
        if quote["update_id"] != world.update_id:
            return f"the newest quote is {quote['update_id']}, not {world.update_id}"
        return ""

    async def recover(self, most_s: int = 60) -> None:
        """Let good frames come until all of them are right.

        Raises:
            AssertionError: after `most_s` virtual seconds something still is not.
        """
        self._since_ms, self._first_trade = self.world.now_ms, self.world.trade_id + 1
        wrong = ""
        for passed in range(1, most_s + 1):
            await self.second()
            wrong = self.wrong()
            if not wrong:
                self.worst_s = max(self.worst_s, passed)
                return
        raise AssertionError(f"after {most_s} s of good frames {wrong}")


Ask = Callable[[Rest], Awaitable[Any]]


def questions(world: World) -> Mapping[str, Ask]:
    """Everything that a producer asks of REST."""
    begin, end, last = world.now_ms - 20_000, world.now_ms, world.trade_id
    return {
        "klines": lambda rest: rest.klines(SYMBOL, "1s", begin, end, end),
        "trades": lambda rest: rest.trades(SYMBOL, last - 5, last, end),
        "newest": lambda rest: rest.newest_trades(SYMBOL, 10, end),
        "aggregates": lambda rest: rest.issued_trades(SYMBOL, begin, end),
        "depth": lambda rest: rest.depth(SYMBOL, lambda: end),
        "ticker": lambda rest: rest.day_ticker(SYMBOL),
        "newest id": lambda rest: rest.newest_trade_id(SYMBOL),
        "newest ids": lambda rest: rest.newest_trade_ids([SYMBOL]),
        "statuses": lambda rest: rest.statuses([SYMBOL]),
        "time": lambda rest: rest.time_ms(),
    }
