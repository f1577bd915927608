"""InfluxDB 2 as a store: line protocol over `/api/v2/write`, every answer handled in one switch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from consumers.measurements import SERVICE, BucketRole, Point, Series
from consumers.stores.influxdb_answers import Answer, misconfigured, unavailable
from consumers.stores.influxdb_requests import Filling, Request, in_turn, request_of, runs, shares
from consumers.stores.influxdb_session import InfluxSession
from consumers.stores.line_protocol import Encoding, LineEncoder
from consumers.stores.senders import Senders
from consumers.stores.storable import EXCHANGE_TIMED, TICKS_EXPIRY_NS, ExpiryClock
from shared.errors import PointsRejected
from shared.settings import Settings

# Requests on their way at once, each of up to 1 MB.
SENDERS: Final = 2
# So many points are about one request, even of the widest kind.
FEW: Final = 1_000
_BUCKET_SETTING: Final[dict[BucketRole, str]] = {
    "market": "INFLUX_BUCKET_MARKET",
    "ticks": "INFLUX_BUCKET_TICKS",
}
# In the message of a 422 about points older than the bucket keeps (InfluxDB 2.9.1, `PartialWriteError`).
_BEYOND_RETENTION: Final = "retention policy"
_ANY_POINT: Final = Point(Series(SERVICE, ("", "")), 0, (None,) * len(SERVICE.columns))


class _Outcome:
    """The points of one `write` that were not stored."""

    def __init__(self) -> None:
        self.rejected: list[tuple[Point, str]] = []
        self.expired: list[Point] = []
        self._found_too_old_ns: dict[BucketRole, int] = {}

    def since(self, oldest_ns: int, points: Sequence[Point]) -> Sequence[Point]:
        """The points from a time on; the others are expired."""
        kept = [point for point in points if point[1] >= oldest_ns]
        if len(kept) < len(points):
            self.expired += [point for point in points if point[1] < oldest_ns]
        return kept

    def without_expired(self, role: BucketRole, points: Sequence[Point]) -> Sequence[Point]:
        """The points newer than the newest that the bucket rejected as too old; the others are expired."""
        too_old_ns = self._found_too_old_ns.get(role)
        if too_old_ns is None:
            return points
        self.expired += [point for point in points if point.time_ns <= too_old_ns]
        return [point for point in points if point.time_ns > too_old_ns]

    def refuse(self, role: BucketRole, point: Point, answer: Answer) -> None:
        """A single point was rejected, for its age or its content."""
        if answer.message is not None and _BEYOND_RETENTION in answer.message:
            self.expired.append(point)
            self._found_too_old_ns[role] = point.time_ns
        else:
            self.rejected.append((point, answer.described()))


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
        self._compressed = self._session.compression.compressed
        self._senders = Senders("InfluxDB sender", SENDERS)

    @property
    def oldest_kept_ns(self) -> int | None:
        """See `Store.oldest_kept_ns`."""
        return self._clock.oldest_kept_ns(self._ticks_expiry_ns)

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        """See `Store.write`. Of many points two requests are on their way while the next is encoded."""
        outcomes = [_Outcome() for _ in range(1 + SENDERS)]
        encoded, *sent = outcomes
        if len(points) <= FEW:
            (together,) = shares(points, 1)
            for request in self._requests(together, encoded):
                self._send(request, encoded)
        else:
            split = [self._requests(share, encoded) for share in shares(points, SENDERS)]
            with self._senders as senders:
                for number, request in in_turn(split):
                    senders.send(number, partial(self._send, request, sent[number]))
        # Counted at the end, since a call that fails is repeated with the same points.
        expired = [point for outcome in outcomes for point in outcome.expired]
        self.expired += len(expired)
        rejected = [pair for outcome in outcomes for pair in outcome.rejected]
        if rejected:
            order = {id(point): position for position, point in enumerate(points)}
            raise PointsRejected(sorted(rejected, key=lambda pair: order[id(pair[0])]), expired)
        return expired

    def check(self) -> None:
        """Check that the server answers and the token may write to both buckets; stores nothing.

        Raises:
            StoreUnavailable, StoreMisconfigured: as `write`.
        """
        for role in dict.fromkeys(self._buckets):
            # A comment stores nothing, but organisation, bucket and permission are checked.
            self._send(Request(role, [_ANY_POINT], self._compressed(b"# check")), _Outcome())

    def close(self) -> None:
        """Close the connections."""
        self._senders.close()
        self._session.close()

    def _requests(self, points: Sequence[Point], outcome: _Outcome) -> Iterator[Request]:
        """Full requests as soon as they are encoded; points that are not to be sent go to `outcome`."""
        oldest_ns, newest_ns = self.oldest_kept_ns, self._clock.newest_ns or 0
        newer: list[int] = []
        fillings = {role: Filling(role, self._compressed) for role in self._buckets}
        for of_series in runs(points):  # mostly many: points of one series are contiguous
            series = of_series[0][0]
            encoding = self._encoder.encoding(series)
            expires = oldest_ns is not None and encoding.role == "ticks"
            kept = outcome.since(oldest_ns or 0, of_series) if expires else of_series
            lines = encoding.lines(kept)
            if lines is None:
                kept, lines = _one_by_one(encoding, kept, outcome)
            yield from fillings[encoding.role].add_all(kept, lines)
            if series.measurement.name in EXCHANGE_TIMED:
                newer += [point[1] for point in kept if point[1] > newest_ns]
        self._clock.receive(newer)
        for filling in fillings.values():
            if (rest := filling.take()) is not None:
                yield rest

    def _send(self, request: Request, outcome: _Outcome) -> None:
        """Write to one bucket; points that can never be stored go to `outcome`."""
        role = request.role
        points = outcome.without_expired(role, request.points)
        if not points:
            return
        if points is not request.points:
            request = request_of(role, points, self._encoder, self._compressed)
        answer = self._session.write(self._buckets[role], request.body)
        match answer.status:
            case 204:
                return
            case 413 | 400 | 422 if answer.status == 413 or answer.message is not None:
                # Halve down to single points: the server's count of rejected lines is unreliable.
                if len(points) == 1:
                    outcome.refuse(role, points[0], answer)
                    return
                for half in _halves(points):
                    self._send(request_of(role, half, self._encoder, self._compressed), outcome)
            case 401 | 403 | 404:
                raise misconfigured(answer, self._settings, _BUCKET_SETTING[role], "write")
            case _:  # 429, 5xx, and unknown answers; a 400 that is not InfluxDB's own rejects no point
                raise unavailable(answer, self._settings)


def _one_by_one(
    encoding: Encoding, points: Sequence[Point], outcome: _Outcome
) -> tuple[list[Point], list[bytes]]:
    """Those points that have lines, and these; those that can never be stored go to `outcome`."""
    kept, lines = [], []
    for point in points:
        try:
            line = encoding.line(point)
        except PointsRejected as error:
            outcome.rejected += error.rejected
            continue
        if line:
            kept.append(point)
            lines.append(line)
    return kept, lines


def _halves(points: Sequence[Point]) -> tuple[Sequence[Point], Sequence[Point]]:
    """The newer half first, so that the first point found too old decides all older ones.

    The sort is stable: points of one identity keep their order, so that the last one wins.
    """
    newest_first = sorted(points, key=lambda point: point.time_ns, reverse=True)
    middle = len(newest_first) // 2
    return newest_first[:middle], newest_first[middle:]
