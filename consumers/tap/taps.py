"""All taps of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from consumers.indicators.registry import indicator_set
from consumers.measurements import BOOK, QUOTE, TRADE, TRADE_SUMMARY
from consumers.stores.port import Reader
from consumers.tap.bars import BAR_KINDS
from consumers.tap.books import BookTap, QuoteTap
from consumers.tap.fetch import fetch
from consumers.tap.fill import RING_BOOKS, Filling, fill_newest
from consumers.tap.fill_bars import BarSources, fill_bars
from consumers.tap.fill_trades import fill_trades
from consumers.tap.follower import Follower, Surroundings
from consumers.tap.jobs import Jobs
from consumers.tap.kafka import Incarnations, KafkaReader, tap_config
from consumers.tap.keyed import Forget, KeyedWork
from consumers.tap.ledger import LedgerWork
from consumers.tap.open_bars import OpenBars
from consumers.tap.port import Fetched, OnEvents
from consumers.tap.reading import PartitionReader
from consumers.tap.records import BadRecords
from consumers.tap.series import LEVELS, LiveSeries
from consumers.tap.stored import StoredRows
from consumers.tap.watch import BrokerWatch
from shared import topics
from shared.errors import BrokerUnavailable, UsageError
from shared.kafka_reader import broker_address
from shared.messages import message_key
from shared.settings import Settings

# Instruments × sources. Viewers may name some that nobody produces: each costs some hundred bytes and a fill.
MAX_INSTRUMENTS = 2_000
# Of these, that the settings do not name; more than the series of them that viewers may have ask for.
MAX_UNCONFIGURED = 1_024
# Fills and older rows of those that wait for their one thread; of others, older rows.
_UNCONFIGURED_WAITING = 16
_OLDER_WAITING = 1_024

_TRADE_KINDS = (TRADE.name, TRADE_SUMMARY.name)
_BOOK_KINDS = (BOOK.name, LEVELS.name)


class KafkaTaps:
    """`consumers.tap.port.Taps` on Kafka: a thread for each source, a few for fills.

    Attributes:
        bad: counts records that break their contract.

    Args:
        on_failure: called once or more, from any thread: the process must end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        memory_broker: bool,
        open_reader: Callable[[], Reader] | None,
        rebuild_from_store: bool,
        on_events: OnEvents,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Raises:
        SettingsError: no broker is named.
        """
        address = broker_address(settings)
        self.bad = BadRecords()
        self._memory_broker = memory_broker
        self._config = tap_config(address, "fill", memory_broker=memory_broker)
        self._stopped, woken = threading.Event(), threading.Event()
        self._woken = woken
        self._stored = StoredRows(open_reader)
        self._sources = BarSources(
            indicator_set(settings.indicators),
            keeps_state=not memory_broker,
            stored=self._stored,
            seeded=rebuild_from_store,
            bad=self.bad,
        )
        self._lock = threading.Lock()
        self._configured = frozenset(message_key(each.exchange, each.symbol) for each in settings.markets)
        self._followed: dict[tuple[str, bytes], KeyedWork] = {}
        self._on_events = self._while_open(on_events)
        self._open_bars = OpenBars(self._on_events)
        around = Surroundings(address, memory_broker, self._on_events, on_failure, woken.set, self._stopped)
        self._fills = Jobs(self._open, on_failure, self._stopped)
        self._older = Jobs(self._open, on_failure, self._stopped, most=_OLDER_WAITING)
        # What anybody may ask for holds up nothing of the settings' instruments.
        self._others = Jobs(self._open, on_failure, self._stopped, 1, most=_UNCONFIGURED_WAITING, rests=True)
        self._bars = {
            interval: self._keyed(
                (topics.klines_topic(interval), topics.klines_live_topic(interval)),
                BAR_KINDS,
                partial(self._fill_bars, interval),
                partial(self._forget_bars, interval),
            )
            for interval in settings.intervals
        }
        self._trades = self._keyed(
            (topics.TRADES,),
            _TRADE_KINDS,
            self._fill_trades,
            lambda key: self._open_bars.drop_trades(_instrument(key)),
        )
        self._books = self._keyed((topics.BOOK,), _BOOK_KINDS, self._fill_books)
        self._quotes = self._keyed((topics.QUOTES,), (QUOTE.name,), self._fill_quotes)
        ledger = LedgerWork(self._config, self.bad, memory_broker=memory_broker)
        self._ledger_kinds = ledger.names
        self._followers = {
            **{
                f"klines-{interval}": Follower(f"klines-{interval}", work, around)
                for interval, work in self._bars.items()
            },
            "trades": Follower("trades", self._trades, around),
            "book": Follower("book", self._books, around),
            "quotes": Follower("quotes", self._quotes, around),
            "ledger": Follower("ledger", ledger, around),
        }
        names = tuple(dict.fromkeys(name for each in self._followers.values() for name in each.work.names))
        self._watch = BrokerWatch(list(self._followers.values()), names, around, woken)
        self._started = False

    def start(self) -> None:
        self._started = True
        for thread in (*self._followers.values(), self._watch):
            thread.start()

    def activate(self, series: LiveSeries) -> None:
        if series.name in self._ledger_kinds:
            return  # followed from the start
        key = message_key(*series.tags[:2])
        if series.name in BAR_KINDS:
            self._activate(f"klines {series.tags[2]}", self._bars_of(series), key)
            # The open bar has the trades since the exchange's last update.
            self._activate("trades", self._trades, key)
        elif series.name in _TRADE_KINDS:
            if series.name == TRADE_SUMMARY.name and series.tags[2] not in ("1s", "1m"):
                raise UsageError(f'interval: "{series.tags[2]}" has no trade summaries; choose 1s or 1m')
            self._activate("trades", self._trades, key)
        elif series.name in _BOOK_KINDS:
            self._activate("book", self._books, key)
        elif series.name == QUOTE.name:
            self._activate("quotes", self._quotes, key)
        else:
            raise UsageError(f'series: "{series.name}" is not followed')

    def fetch(self, request: int, series: LiveSeries, offset: int) -> None:
        follower = self._followers.get(
            f"klines-{series.tags[2]}"
            if series.name in BAR_KINDS
            else "trades"
            if series.name in _TRADE_KINDS
            else ""
        )
        incarnations = follower.incarnations if follower is not None else {}
        if not incarnations:
            reason = "the topic is not read at present" if follower else f"{series.name} is not read again"
            self._on_events([Fetched(request, series, None, reason)])
            return
        configured = message_key(*series.tags[:2]) in self._configured
        jobs = self._older if configured else self._others
        if not jobs.run(incarnations, partial(self._fetch, request, series, offset)):
            self._on_events([Fetched(request, series, None, "too many others ask for older rows at present")])

    def drop(self, exchange: str, symbol: str) -> None:
        key = message_key(exchange, symbol)
        with self._lock:
            for source, of in [each for each in self._followed if each[1] == key]:
                self._followed.pop((source, of)).drop(key)

    @property
    def bad_records(self) -> int:
        return self.bad.count

    def close(self) -> None:
        self._stopped.set()
        self._woken.set()
        if self._started:
            for thread in (*self._followers.values(), self._watch):
                thread.join()
        for jobs in (self._fills, self._older, self._others):
            jobs.close()
        self._stored.close()

    def _activate(self, source: str, work: KeyedWork, key: bytes) -> None:
        with self._lock:
            if (source, key) in self._followed:
                return
            others = key not in self._configured
            most = MAX_UNCONFIGURED if others else MAX_INSTRUMENTS
            count = (
                sum(each not in self._configured for _, each in self._followed)
                if others
                else len(self._followed)
            )
            if count >= most:
                raise UsageError(f"{most:,} instruments are followed already; ask again later")
            self._followed[source, key] = work
            work.activate(key)

    def _bars_of(self, series: LiveSeries) -> KeyedWork:
        interval = series.tags[2]
        if interval not in self._bars:
            raise UsageError(
                f'interval: "{interval}" is not read here; choose from {", ".join(self._bars)},'
                " or add it to INTERVALS"
            )
        return self._bars[interval]

    def _keyed(
        self,
        of: tuple[str, ...],
        names: tuple[str, ...],
        fill: Callable[[PartitionReader, bytes], Filling],
        forget: Forget = lambda _key: None,
    ) -> KeyedWork:
        return KeyedWork(of, names, fill, self._run_fill, forget, memory_broker=self._memory_broker)

    def _run_fill(
        self,
        key: bytes,
        incarnations: Incarnations,
        job: Callable[[PartitionReader], None],
        is_wanted: Callable[[], bool],
    ) -> bool:
        jobs = self._fills if key in self._configured else self._others
        return jobs.run(incarnations, job, is_wanted)

    def _open(self, incarnations: Incarnations) -> KafkaReader:
        return KafkaReader(self._config, incarnations, self._stopped, memory_broker=self._memory_broker)

    def _while_open(self, on_events: OnEvents) -> OnEvents:
        """No event comes after `close`."""
        return lambda events: None if self._stopped.is_set() else on_events(events)

    # -- fills, in threads of the pool -----------------------------------------------------------------

    def _fill_bars(self, interval: str, reader: PartitionReader, key: bytes) -> Filling:
        tags = (*_instrument(key), interval)
        self._open_bars.begin(tags)
        filling = fill_bars(reader, tags, self._sources, partial(self._open_bars.update, tags))
        self._open_bars.show(tags)
        return filling

    def _forget_bars(self, interval: str, key: bytes) -> None:
        self._open_bars.drop((*_instrument(key), interval))

    def _fill_trades(self, reader: PartitionReader, key: bytes) -> Filling:
        tags = _instrument(key)
        return fill_trades(reader, tags, self.bad, partial(self._open_bars.trade, tags))

    def _fill_books(self, reader: PartitionReader, key: bytes) -> Filling:
        tags = _instrument(key)
        series = [LiveSeries(name, tags) for name in _BOOK_KINDS]
        return fill_newest(reader, (topics.BOOK, key), BookTap(tags, self.bad), series, RING_BOOKS)

    def _fill_quotes(self, reader: PartitionReader, key: bytes) -> Filling:
        tags = _instrument(key)
        return fill_newest(
            reader, (topics.QUOTES, key), QuoteTap(tags, self.bad), [LiveSeries(QUOTE.name, tags)], 1
        )

    def _fetch(self, request: int, series: LiveSeries, offset: int, reader: PartitionReader) -> None:
        try:
            fetched = fetch(reader, request, series, offset, self._sources)
        except BrokerUnavailable as error:
            fetched = Fetched(request, series, None, str(error))
        self._on_events([fetched])


def open_taps(
    settings: Settings,
    *,
    memory_broker: bool,
    open_reader: Callable[[], Reader] | None,
    rebuild_from_store: bool,
    on_events: OnEvents,
    on_failure: Callable[[BaseException], None],
) -> KafkaTaps:
    """Taps on the broker of the settings; not started yet.

    Args:
        open_reader: opens the store's reader; None without a store.
        rebuild_from_store: on the in-memory broker, indicators begin with the store's bars.
        on_events: called from the taps' threads.
        on_failure: called when a thread ended by an unexpected error: the process must end.

    Raises:
        SettingsError: no broker is named.
    """
    return KafkaTaps(
        settings,
        memory_broker=memory_broker,
        open_reader=open_reader,
        rebuild_from_store=rebuild_from_store,
        on_events=on_events,
        on_failure=on_failure,
    )


def _instrument(key: bytes) -> tuple[str, str]:
    exchange, _, symbol = key.decode().partition(":")
    return exchange, symbol
