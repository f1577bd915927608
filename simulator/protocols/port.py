"""What the server, the faults and the log ask of an exchange's protocol; one folder beside this file each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from simulator.exchange import KlineRow, TradeRow
from simulator.faults.kinds import Scope
from simulator.faults.script import Fault
from simulator.faults.targets import Target
from simulator.outgoing import Outgoing

JSON: Final = "application/json"


class TradeIssued(NamedTuple):
    """A trade, for the log."""

    symbol: str
    row: TradeRow


class KlineIssued(NamedTuple):
    """A closed bar, for the log."""

    symbol: str
    interval: str
    row: KlineRow


class DepthIssued(NamedTuple):
    """An update of a book, for the log."""

    symbol: str
    first_update_id: int
    final_update_id: int
    event_time_ms: int


Issued = TradeIssued | KlineIssued | DepthIssued


class Ids(NamedTuple):
    """What an event identifies, for the log.

    Attributes:
        following: first id of the next event; −1 if ids are not contiguous.
        numbered_ms: the time whose numbering counts; None: the ids never begin again.
    """

    first: int
    last: int
    following: int
    numbered_ms: int | None = None


class Dialect(Protocol):
    """The streams of a protocol, as faults and the log see them. Pure.

    Attributes:
        name: of the exchange, as in `--exchange`.
        scope: what a script of faults may name.
        counted: messages of a connection have numbers, which show a client that one is missing.
    """

    name: str
    scope: Scope
    counted: bool

    def target_of(self, stream: str) -> Target | None:
        """The target of a stream; None for streams that are never struck."""

    def carried(self, stream: str) -> bool:
        """Whether clients can have it; others serve the log alone."""

    def logged(self, stream: str) -> bool:
        """Whether the log follows a stream with a target."""

    def followed(self, symbol: str, intervals: Sequence[str]) -> Iterable[str]:
        """Streams with the trades of a symbol and its bars of these intervals."""

    def identity_of(self, kind: str, event: Outgoing) -> int:
        """Identifies an event within its stream, whenever it is sent."""

    def is_final(self, event: Outgoing) -> bool:
        """Whether an event closes a bar; altered events may lack any field."""

    def issued(self, event: Outgoing) -> Iterable[Issued]:
        """The records of a genuine event."""

    def ids_of(self, target: Target, event: Outgoing) -> Ids | None:
        """The ids of an event; None: it is no entry of the log."""

    def lie_of(self, target: Target, event: Outgoing) -> Mapping[str, Any]:
        """The false content of a lie, for the log."""

    def altered(self, fault: Fault, target: Target, event: Outgoing, draw: int) -> Outgoing:
        """The event as a fault alters it."""

    def with_clock(self, event: Outgoing, offset_ms: int) -> Outgoing | None:
        """The event stamped by a server with a wrong clock; None if it carries no such stamp."""


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A GET request.

    Attributes:
        path: the endpoint's name, such as "klines".
        time_unit: header X-MBX-TIME-UNIT (Binance).
        now_ms: the market's time.
        named: the symbol, where it is not the parameter `symbol`.
    """

    path: str
    query: Sequence[tuple[str, str]]
    time_unit: str | None
    now_ms: int
    named: str | None = None

    @property
    def symbol(self) -> str:
        return dict(self.query).get("symbol", "") if self.named is None else self.named


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """Status and JSON body, and the records that it shows (for the exchange log)."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    klines: tuple[str, str, Sequence[KlineRow]] | None = None
    trades: tuple[str, Sequence[TradeRow]] | None = None


@dataclass(frozen=True, slots=True)
class Verbatim:
    """An answer in place of the exchange's; the body need not be JSON, the type may be empty."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class RestManners(Protocol):
    """How a protocol's REST fails, for the faults of requests. Pure.

    Attributes:
        only_paths: the endpoints of kinds of faults that do not strike all.
    """

    only_paths: Mapping[str, tuple[str, ...]]

    def error(self, status: int) -> Verbatim:
        """The answer of a failing exchange, or of a proxy before it."""

    def limited(self, kind: str, retry_after_s: float, now_ms: int) -> Verbatim:
        """The answer to one request too many: of "rest_429" or "rest_418"."""

    def with_server_time(self, answer: RestAnswer, offset_ms: int) -> RestAnswer:
        """The answer with its server time, if it has one, shifted; else the same object."""

    def without_open_row(self, answer: RestAnswer, from_ms: int, until_ms: float) -> RestAnswer:
        """Bars without one whose end lies in a span: open for the server, closed for the client."""


class FrameLimit:
    """At most so many frames from a client in any second."""

    def __init__(self, most: int) -> None:
        self._times: deque[float] = deque(maxlen=most)

    def exceeded(self, now_s: float) -> bool:
        """Count a frame; True if it is one too many."""
        full = len(self._times) == self._times.maxlen and now_s - self._times[0] < 1.0
        self._times.append(now_s)
        return full


class Session(Protocol):
    """One connection as its protocol sees it: subscriptions, answers, the form of its frames.

    Attributes:
        streams: names in the order of their subscription.
        limit: of the client's frames, pings and pongs included; None: there is none.
        deadline_s: seconds in which the client has to send its first message; None: any time.
        beats: `beat` is to be called each second.
    """

    streams: dict[str, None]
    limit: FrameLimit | None
    deadline_s: float | None
    beats: bool

    def opening(self) -> Sequence[bytes]:
        """Frames sent unasked when the connection opens."""

    def subscribes(self, text: str) -> bool:
        """Whether a message asks for streams."""

    def replies(self, text: str, *, wrong: bool = False) -> Sequence[bytes]:
        """Act on one text frame; the frames that answer it.

        Args:
            wrong: what it asks for is acknowledged under another name, and does not happen.
        """

    def number(self, event: Outgoing) -> None:
        """Reserve an event's place in the connection's count."""

    def frame(self, event: Outgoing) -> bytes | None:
        """The bytes of an event; None if it was issued before this connection could have it."""

    def beat(self, *, quiet: bool) -> Sequence[bytes]:
        """Frames of this second; `quiet`: nothing was sent in it."""

    def farewell(self) -> bytes | None:
        """What announces that the connection will be closed."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a face needs of the server.

    Attributes:
        now_ms: the market's time.
        show: enters trades into the log that an answer on a stream shows.
        market_data_only: without the endpoints that Binance's market-data host lacks.
        far_levels: levels that nobody reaches on each side of a whole book (Coinbase); None: the usual ones.
    """

    now_ms: Callable[[], int]
    show: Callable[[str, Sequence[TradeRow]], None]
    market_data_only: bool = False
    far_levels: int | None = None


class Face(Protocol):
    """A market as its clients see it: the protocol's endpoints and sessions."""

    dialect: Dialect
    manners: RestManners

    def session(self, path: str, raw_query: str) -> Session | Verbatim | None:
        """The session of a handshake, or its refusal; None: the path has no WebSocket."""

    def read(
        self, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], now_ms: int
    ) -> RestRequest | None:
        """The request of an endpoint; None: there is none at this path."""

    def charge(self, address: str, request: RestRequest) -> tuple[Mapping[str, str], Verbatim | None]:
        """Charge a request; headers of its answer, and the refusal if it is one too many."""

    def answer(self, request: RestRequest) -> RestAnswer:
        """Answer a request; refusals are answers, too."""

    def summed(self, request: RestRequest) -> bool:
        """Whether the answer sums long history: it is made outside the loop that feeds the streams."""

    def is_ping(self, request: RestRequest) -> bool:
        """Whether a request only asks if the exchange is there."""
