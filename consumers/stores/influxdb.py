"""InfluxDB 2 as a store: line protocol over `/api/v2/write`, every answer handled in one switch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple

from consumers.measurements import SERVICE, BucketRole, Point, Series
from consumers.stores.influxdb_answers import Answer, misconfigured, unavailable
from consumers.stores.influxdb_session import InfluxSession, compressed
from consumers.stores.line_protocol import LineEncoder
from consumers.stores.storable import EXCHANGE_TIMED, TICKS_EXPIRY_NS, ExpiryClock
from shared.background import Background
from shared.errors import PointsRejected
from shared.settings import Settings

# InfluxDB's manual names 5,000 lines as the best batch. 1 MB keeps a wide request within a second.
MAX_LINES: Final = 5_000
MAX_BYTES: Final = 1_000_000
_BUCKET_SETTING: Final[dict[BucketRole, str]] = {
    "market": "INFLUX_BUCKET_MARKET",
    "ticks": "INFLUX_BUCKET_TICKS",
}
# In the message of a 422 about points older than the bucket keeps (InfluxDB 2.9.1, `PartialWriteError`).
_BEYOND_RETENTION: Final = "retention policy"
_ANY_POINT: Final = Point(Series(SERVICE, ("", "")), 0, (None,) * len(SERVICE.columns))


# A point and its line.
_Line = tuple[Point, bytes]


class _Request(NamedTuple):
    """The lines of one request, and its body."""

    role: BucketRole
    lines: Sequence[_Line]
    body: bytes

    @classmethod
    def of(cls, role: BucketRole, lines: Sequence[_Line]) -> _Request:
        return cls(role, lines, compressed(b"\n".join([text for _, text in lines])))


class _Outcome:
    """The points of one `write` that were not stored."""

    def __init__(self) -> None:
        self.rejected: list[tuple[Point, str]] = []
        self.expired: list[Point] = []
        self._found_too_old_ns: dict[BucketRole, int] = {}

    def without_expired(self, role: BucketRole, lines: Sequence[_Line]) -> Sequence[_Line]:
        """The lines newer than the newest one that the bucket rejected as too old; the others are expired."""
        too_old_ns = self._found_too_old_ns.get(role)
        if too_old_ns is None:
            return lines
        self.expired += [point for point, _ in lines if point.time_ns <= too_old_ns]
        return [line for line in lines if line[0].time_ns > too_old_ns]

    def refuse(self, role: BucketRole, line: _Line, answer: Answer) -> None:
        """A single line was rejected, for its age or its content."""
        if answer.message is not None and _BEYOND_RETENTION in answer.message:
            self.expired.append(line[0])
            self._found_too_old_ns[role] = line[0].time_ns
        else:
            self.rejected.append((line[0], answer.described()))


class InfluxStore:
    """A `Store` on InfluxDB 2; keeps connections alive, never retries by itself.

    Args:
        settings: INFLUX_URL, INFLUX_ORG, INFLUX_TOKEN, INFLUX_BUCKET_MARKET, INFLUX_BUCKET_TICKS. A common
            bucket for both has no expiry.
        ticks_expiry_ns: how long the bucket of `ticks` keeps points, None for ever. Points older by the
            exchange's time are not sent; the server rejects points too old by its own clock.

    Raises:
        StoreMisconfigured: the token is missing or cannot be sent.
    """

    def __init__(self, settings: Settings, *, ticks_expiry_ns: int | None = TICKS_EXPIRY_NS) -> None:
        self._settings = settings
        self._buckets: dict[BucketRole, str] = {
            "market": settings.influx_bucket_market,
            "ticks": settings.influx_bucket_ticks,
        }
        one_bucket = settings.influx_bucket_market == settings.influx_bucket_ticks
        self._ticks_expiry_ns = None if one_bucket else ticks_expiry_ns
        self._clock = ExpiryClock()
        self._encoder = LineEncoder()
        self.expired = 0
        self._session = InfluxSession(settings)
        self._sender: Background | None = None  # made for the first call of more than one request

    @property
    def oldest_kept_ns(self) -> int | None:
        """See `Store.oldest_kept_ns`."""
        return self._clock.oldest_kept_ns(self._ticks_expiry_ns)

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        """See `Store.write`. Each request is encoded while the one before it is sent."""
        written, sent = _Outcome(), _Outcome()
        on_its_way: Future[None] | None = None
        for start in range(0, len(points), MAX_LINES):
            end = start + MAX_LINES
            requests = self._requests(points[start:end], written)
            if on_its_way is not None:
                on_its_way.result()
            if end < len(points):
                self._sender = self._sender or Background("InfluxDB sender")
                on_its_way = self._sender.submit(partial(self._send_all, requests, sent))
            else:
                self._send_all(requests, sent)
        # Counted at the end, since a call that fails is repeated with the same points.
        expired = written.expired + sent.expired
        self.expired += len(expired)
        rejected = written.rejected + sent.rejected
        if rejected:
            order = {id(point): position for position, point in enumerate(points)}
            raise PointsRejected(sorted(rejected, key=lambda pair: order[id(pair[0])]), expired)
        return expired

    def _requests(self, points: Sequence[Point], outcome: _Outcome) -> list[_Request]:
        return [
            _Request.of(role, batch)
            for role, lines in self._lines(points, outcome).items()
            for batch in _batches(lines)
        ]

    def _send_all(self, requests: Sequence[_Request], outcome: _Outcome) -> None:
        for request in requests:
            self._send(request, outcome)

    def check(self) -> None:
        """Check that the server answers and the token may write to both buckets; stores nothing.

        Raises:
            StoreUnavailable, StoreMisconfigured: as `write`.
        """
        for role in dict.fromkeys(self._buckets):
            # A comment stores nothing, but organisation, bucket and permission are checked.
            self._send(_Request.of(role, [(_ANY_POINT, b"# check")]), _Outcome())

    def close(self) -> None:
        """Close the connections."""
        if self._sender is not None:
            self._sender.close()
        self._session.close()

    def _lines(self, points: Sequence[Point], outcome: _Outcome) -> dict[BucketRole, list[_Line]]:
        oldest_ns, newest_ns = self.oldest_kept_ns, self._clock.newest_ns or 0
        newer: list[int] = []
        timed = False
        lines: dict[BucketRole, list[_Line]] = {"market": [], "ticks": []}
        encoder, series = self._encoder, None
        for point in points:
            if point[0] is not series:  # points of one series are mostly contiguous
                series = point[0]
                encoding = encoder.encoding(series)
                kept_ns = oldest_ns if encoding.role == "ticks" else None
                append = lines[encoding.role].append
                timed = series.measurement.name in EXCHANGE_TIMED
            if kept_ns is not None and point[1] < kept_ns:
                outcome.expired.append(point)
                continue
            try:
                text = encoding.line(point)
            except PointsRejected as error:
                outcome.rejected += error.rejected
                continue
            if text:
                append((point, text))
                if timed and point[1] > newest_ns:
                    newer.append(point[1])
        self._clock.receive(newer)
        return lines

    def _send(self, request: _Request, outcome: _Outcome) -> None:
        """Write to one bucket; points that can never be stored go to `outcome`."""
        role = request.role
        lines = outcome.without_expired(role, request.lines)
        if not lines:
            return
        body = request.body if lines is request.lines else _Request.of(role, lines).body
        answer = self._session.write(self._buckets[role], body)
        match answer.status:
            case 204:
                return
            case 413 | 400 | 422 if answer.status == 413 or answer.message is not None:
                # Halve down to single lines: the server's count of rejected lines is unreliable.
                if len(lines) == 1:
                    outcome.refuse(role, lines[0], answer)
                    return
                for half in _halves(lines):
                    self._send(_Request.of(role, half), outcome)
            case 401 | 403 | 404:
                raise misconfigured(answer, self._settings, _BUCKET_SETTING[role], "write")
            case _:  # 429, 5xx, and unknown answers; a 400 that is not InfluxDB's own rejects no point
                raise unavailable(answer, self._settings)


def _batches(lines: Sequence[_Line]) -> Iterator[Sequence[_Line]]:
    """The lines in their order, in batches of bounded size (a longer line is a batch of its own)."""
    start = size = 0
    for position, line in enumerate(lines):
        length = len(line[1]) + 1
        if position > start and (position - start >= MAX_LINES or size + length > MAX_BYTES):
            yield lines[start:position]
            start, size = position, 0
        size += length
    if lines:
        yield lines[start:]


def _halves(lines: Sequence[_Line]) -> tuple[Sequence[_Line], Sequence[_Line]]:
    """The newer half first, so that the first line found too old decides all older ones.

    The sort is stable: lines of one identity keep their order, so that the last one wins.
    """
    newest_first = sorted(lines, key=lambda line: line[0].time_ns, reverse=True)
    middle = len(newest_first) // 2
    return newest_first[:middle], newest_first[middle:]
