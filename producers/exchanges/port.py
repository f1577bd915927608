"""What an exchange is to the rest of the code, and what it promises.

An exchange is a folder beside this module with one value that fulfils `Exchange`, and a line in
`producers.exchanges.registry`. Generic code knows this port, `frame_types` and `rest_port`, and imports no
exchange's folder; a lint contract keeps it so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from producers.exchanges.frame_types import LATEST_MS, Stream
from producers.exchanges.lane_port import Lanes, Steps
from producers.exchanges.rest_port import Audit, Enquiry, Reject, Rest
from producers.exchanges.stream_events import StreamEvent
from shared.messages import Levels
from shared.settings import Settings

# --- Promises: docs/exchanges.md and the README's table are written from them. ---


@dataclass(frozen=True, slots=True)
class TradesPromise:
    """
    Attributes:
        repair: how REST gives missing trades: by their ids, by time, or not at all.
        guarantee, proof: what is promised, and by what it is proved; for the table.
        neighbours: it is not stated that REST counts trades as the stream does: missing ones are asked for
            with what the stream gave beside them, which proves it (`Rest.trades_beside`).
    """

    repair: Literal["id", "time"] | None
    guarantee: str
    proof: str
    neighbours: bool = False


@dataclass(frozen=True, slots=True)
class BarsPromise:
    """
    Attributes:
        source: closed bars come on a stream, or are built from trades.
        warm_up: where the bars before the first start come from.
    """

    source: Literal["native", "trades"]
    guarantee: str
    proof: str
    warm_up: str


# What shows a hole: update ids, a checksum in each message, or a counter of the connection.
BookIntegrity = Literal["ids", "crc", "counter"]


@dataclass(frozen=True, slots=True)
class BookPromise:
    """
    Attributes:
        integrity: None: the book is not carried.
        depth: of books that a stream brings whole, levels a side that the exchange keeps; None for all.
        checksum: the exchange's, of the best ten bids and asks, best first; None if it has none.
    """

    integrity: BookIntegrity | None
    guarantee: str
    proof: str
    depth: int | None = None
    checksum: Callable[[Levels, Levels], int] | None = None


@dataclass(frozen=True, slots=True)
class QuotesPromise:
    """
    Attributes:
        source: best prices come on a stream, or are those of the synchronised book.
    """

    source: Literal["stream", "book"]
    guarantee: str
    proof: str


@dataclass(frozen=True, slots=True)
class Promises:
    """What an exchange guarantees of each kind of data.

    Attributes:
        halts: how it is known that a symbol is not traded.
    """

    trades: TradesPromise
    bars: BarsPromise
    book: BookPromise
    quotes: QuotesPromise
    halts: str


# --- Connections. ---


class Addresses(NamedTuple):
    """URLs of an exchange, or the names of their settings.

    Attributes:
        history: of trades that `rest` does not have; equal to it if there is no such host.
    """

    rest: str
    stream: str
    history: str


@dataclass(frozen=True, slots=True)
class Liveness:
    """How long a connection that works may be silent, in seconds.

    Attributes:
        frame_s: without a frame of any kind; None: frames come only with events.
        bars_s: by interval, without an event of the bars' stream; intervals without a bound are measured with
            the others.
        acknowledged_s: within which a subscription is acknowledged; None: that is not watched.
        quiet_s: least bound of streams that are measured by their own usual gap.
        other_bars_s: likewise of bars.
    """

    frame_s: float | None = None
    bars_s: MappingProxyType[str, float] = field(default_factory=lambda: MappingProxyType({}))
    acknowledged_s: float | None = None
    quiet_s: float = 60.0
    other_bars_s: float = 130.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One connection: all streams of a symbol are on the same one.

    Attributes:
        url: to open; it begins with `host`, which errors name.
        host: as the user set it.
        streams: what it carries.
        opening: frames to send once it is open.
        max_frame_bytes: a longer frame ends the connection.
        age_s: when to replace it: less than the exchange lets it live.
        liveness: how long it may be silent.
        setting: the name of the host's setting.
        place_hint: what to do if the exchange does not serve this place.
        renewals: by symbol, frames that make the exchange send its book anew on the open connection.
        listed: by symbol, what its parser has to know (`Rest.listed`).
        messages_a_second: that a process may send on all its connections, `opening` included; None: as many
            as one likes.
    """

    url: str
    host: str
    streams: tuple[Stream, ...]
    opening: tuple[bytes, ...] = ()
    max_frame_bytes: int = 900_000
    age_s: float = 23.5 * 3600
    liveness: Liveness = Liveness()
    setting: str = ""
    place_hint: str = ""
    renewals: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    listed: Mapping[str, Any] = field(default_factory=dict)
    messages_a_second: float | None = None


class Parser(Protocol):
    """Reads the frames of one connection, in their order."""

    def __call__(self, frame: bytes, now_ms: int, latest_ms: int = LATEST_MS - 1) -> Sequence[StreamEvent]:
        """What one frame says, in order; never raises.

        Called again at once with the same frame and a later `latest_ms`, if one of its events is rejected as
        ahead: what it gave for this frame before is forgotten.

        Args:
            now_ms: receive time.
            latest_ms: times after this lie beyond the exchange's clock.
        """


# --- Costs. ---


class Pace(NamedTuple):
    """Seconds between two probes of REST for a silent symbol, and between two fills of its trades."""

    probe_s: float = 10.0
    fill_s: float = 10.0


class Limits(Protocol):
    """How often an exchange may be asked by all processes of a deployment together."""

    def start_delay_s(self, position: int, intervals: Sequence[str], warmup_bars: int) -> float:
        """Seconds that a process waits at its start, for those before it.

        Args:
            position: of its first symbol among all of the deployment.
            warmup_bars: bars that a new series asks for.
        """

    def share(self, own: int, deployed: int) -> float | None:
        """What a process with `own` of `deployed` symbols may use of the limit.

        None: the usual share, since the exchange's answers tell each process what all have used.
        """

    def status_period_s(self, symbols: int) -> float:
        """Seconds between two polls of the symbols' statuses, in a deployment of so many symbols."""

    def probe_pace(self, symbols: int) -> Pace:
        """The pace of one symbol of a deployment of so many."""


@dataclass(frozen=True, slots=True)
class SnapshotCost:
    """What the snapshot pipeline's requests cost, in the unit of `limit` a minute.

    Attributes:
        symbol: ticker, top of the book and last trades of one symbol.
        statuses: one request for the statuses of up to `statuses_at_once` symbols.
        clock: the exchange's clock.
        limit: of the exchange, a minute.
        share: of it that a client takes without need for more.
    """

    symbol: int
    statuses: int
    statuses_at_once: int
    clock: int
    limit: int
    share: float


# --- The port. ---


class Exchange(Protocol):
    """One exchange.

    Attributes:
        name: in keys, tags and the setting EXCHANGE.
        title: for people.
        promises: of each kind of data.
        settings: the names of the settings of its addresses.
        limits: how often it may be asked.
        snapshot_cost: what the snapshot pipeline's requests cost.
        audit: questions about what it has issued.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def promises(self) -> Promises: ...

    @property
    def settings(self) -> Addresses: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def snapshot_cost(self) -> SnapshotCost: ...

    @property
    def audit(self) -> Audit: ...

    def addresses(self, settings: Settings) -> Addresses:
        """The addresses that the settings give."""

    def symbol(self, text: str) -> str:
        """The symbol that a user means, in the exchange's own form; whether it is listed, REST knows.

        Raises:
            UsageError: it cannot be a symbol there; with the right form.
        """

    def connections(
        self, addresses: Addresses, symbols: Sequence[str], intervals: Sequence[str]
    ) -> Sequence[Plan]:
        """The connections that carry all streams of these symbols."""

    def parser(self, plan: Plan | None = None) -> Parser:
        """The parser of one connection; without one, of single frames out of their order (dead letters)."""

    def lanes(self, plan: Plan, steps: Mapping[str, Steps]) -> Lanes:
        """The short ways of a connection's usual frames, beside its parser; `NO_LANES` if there are none.

        Args:
            steps: by symbol, of all that the plan carries.
        """

    def rest(
        self,
        addresses: Addresses,
        exchange_ms: Callable[[], int],
        reject: Reject,
        share: float | None = None,
    ) -> Rest:
        """A client of the REST interface.

        Args:
            exchange_ms: the exchange's clock as far as known.
            reject: takes rows that break the contract.
            share: of the exchange's limit; None for the usual one.

        Raises:
            SettingsError: the environment names an unusable proxy.
        """

    def enquiry(self, addresses: Addresses) -> Enquiry:
        """A client for single questions, within an event loop."""

    def read_row(
        self, path: str, symbol: str, row: Any, received_ms: int, latest_ms: int
    ) -> tuple[Literal["kline", "trade"], Any] | None:
        """A row that `rest` rejected, read again: its kind and message. None: it is of no use any more.

        Args:
            path: of the source that it was rejected with, without `rest:`.
            latest_ms: times after this lie beyond the exchange's clock.

        Raises:
            InvalidMessage: it still breaks the contract, or `path` has no bars or trades.
        """
