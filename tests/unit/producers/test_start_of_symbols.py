"""What the start of several symbols asks an exchange for that grants a request in two seconds, and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import pytest

import producers.service
from producers.assignment import Assignment
from producers.exchanges.kraken.exchange import Kraken
from producers.exchanges.kraken.pairs import rest_name
from producers.instrument import Instrument
from producers.progress_reader import StartState
from producers.service import ProducerService
from producers.start import StartReader
from shared.settings import load_settings
from shared.topics import klines_topic
from tests.unit.producers.exchanges.kraken.rest_host import LAST, Host
from tests.unit.producers.service_bench import AtOnce
from tests.virtual_time import run_with_clock

SYMBOLS: Final = ("BTC/USD", "ETH/USD", "XRP/USD", "SOL/USD")
# Virtual seconds; the slowest start is far from it.
_PATIENCE_S: Final = 300.0


class Taking:
    """In place of `Publisher`: notes when a symbol had its first closed bar of a second."""

    queue_messages = 100_000
    congested = False
    congested_s = 0.0
    held_back = ((), ())
    outstanding = retriable_errors = lost = delivered = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        self.dead_letters = self
        self.bars_s: dict[str, float] = {}
        self.begun = asyncio.Event()

    def start(self, _topics: frozenset[str]) -> None:
        """It is always there."""

    def poll(self) -> None:
        """Nothing waits."""

    def send(self, topic: str, key: bytes, _value: bytes | None, _delivered: Any = None) -> None:
        if topic == klines_topic("1s"):
            symbol = key.decode().partition(":")[2]
            self.bars_s.setdefault(symbol, asyncio.get_running_loop().time())
            if len(self.bars_s) == len(SYMBOLS):
                self.begun.set()

    def send_dead_letter(self, letter: Any) -> None:
        raise AssertionError(f"nothing is bad: {letter}")

    async def room(self) -> None:
        """There always is."""


class Started:
    """Attributes:
    asked: of each request in its order, the virtual second, the path, the pair or "", and since when.
    bases, bases_s: by symbol, the trade base, and the virtual second at which it was known.
    bars_s: by symbol, the virtual second of its first closed bar.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[float, str, str, str]] = []
        self.bases: dict[str, int] = {}
        self.bases_s: dict[str, float] = {}
        self.bars_s: dict[str, float] = {}

    def pairs_of(self, *, newest: bool) -> list[str]:
        """Pairs of the requests for trades, in their order: for the newest ones, or since a time."""
        return [pair for _, path, pair, since in self.asked if path == "Trades" and newest == (not since)]


class Watched(Host):
    """Notes when it is asked."""

    def __init__(self, started: Started) -> None:
        super().__init__()
        self.pairs |= {
            "XXRPZUSD": ("XRPUSD", "XRP/USD", 5, "online"),
            "SOLUSD": ("SOLUSD", "SOL/USD", 2, "online"),
        }
        self._started = started

    def _answer(self, path: str, query: Any) -> Any:
        at_s = asyncio.get_running_loop().time()
        pair = query.get("pair", "") if path == "Trades" else ""
        self._started.asked.append((at_s, path, pair, query.get("since", "")))
        return super()._answer(path, query)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Four symbols after their first start, until each has its base and a closed bar."""
    started = Started()
    begin_after = Instrument.listen_after

    def listen_after(self: Instrument, trade_id: int, *arguments: Any) -> Any:
        started.bases[self.symbol] = trade_id
        started.bases_s[self.symbol] = asyncio.get_running_loop().time()
        return begin_after(self, trade_id, *arguments)

    monkeypatch.setattr(Instrument, "listen_after", listen_after)
    monkeypatch.setattr(Kraken, "connections", lambda *_: [])
    monkeypatch.setattr(StartReader, "_read_topics", lambda *_: (StartState(bad=()), {}))
    monkeypatch.setattr(producers.service, "Publisher", Taking)

    async def start() -> None:
        async with Watched(started).serve() as host:
            settings = load_settings(
                exchange="kraken",
                symbols=",".join(SYMBOLS),
                kafka_bootstrap_servers="127.0.0.1:1",
                kraken_rest_url=host.url,
            )
            background: Any = AtOnce
            service: Any = ProducerService(
                settings, Assignment(SYMBOLS, ("1s", "1m", "1h", "1d")), background=background
            )
            await service._start()
            carrying = asyncio.create_task(service._carry(asyncio.create_task(asyncio.Event().wait())))
            await asyncio.wait_for(service._publisher.begun.wait(), _PATIENCE_S)
            while len(started.bases) < len(SYMBOLS):  # noqa: ASYNC110 -- virtual seconds
                await asyncio.sleep(1.0)
            started.bars_s |= service._publisher.bars_s
            carrying.cancel()
            with suppress(asyncio.CancelledError):
                await carrying
            await service._runner.repairs.finish(0.0)
            await service._rest.close()

    run_with_clock(start())
    return started


def test_four_symbols_have_their_bases_at_once_and_their_bars_in_half_a_minute(started: Started) -> None:
    assert started.bases == dict.fromkeys(SYMBOLS, LAST)
    assert max(started.bases_s.values()) < 1.0
    assert sorted(started.bars_s) == sorted(SYMBOLS)
    # Ten requests at once, then one in two seconds.
    assert max(started.bars_s.values()) <= 14.0


def test_no_symbol_waits_for_what_is_not_needed_or_behind_anothers_earlier_trades(started: Started) -> None:
    pairs = sorted(rest_name(symbol) for symbol in SYMBOLS)
    until_s = max(started.bars_s.values())
    needed = [each for each in started.asked if each[0] <= until_s]
    paths = Counter(path for _, path, _, _ in needed)
    # The clock for the start positions, for the streams' times, and beside the newest trades.
    assert (paths["AssetPairs"], paths["Time"]) == (1, 3)
    assert sorted(started.pairs_of(newest=True)) == pairs, "each newest trade is asked for once"
    first_page = next(at for at, (*_, since) in enumerate(started.asked) if since)
    assert {pair for *_, pair, _ in started.asked[:first_page]} >= set(pairs)
    # Two answers tell since when a market has few enough trades, and one of them is the first page.
    since = started.pairs_of(newest=False)
    assert sorted(since[:4]) == sorted(since[4:8]) == pairs
    assert len(needed) == 1 + 3 + 3 * len(pairs)
