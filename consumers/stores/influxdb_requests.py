"""Points as requests of bounded size, split so that two may be on their way at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from consumers.measurements import BucketRole, Point
from consumers.stores.line_protocol import LineEncoder

# InfluxDB's manual names 5,000 lines as the best batch. 1 MB keeps a wide request within a second.
MAX_LINES: Final = 5_000
MAX_BYTES: Final = 1_000_000
# Points encoded at once: a part of a request, so that few of them straddle two.
PIECE: Final = 1_000


class Request(NamedTuple):
    """The points of one request, and its body as it is sent."""

    role: BucketRole
    points: Sequence[Point]
    body: bytes


class Filling:
    """The next request to one bucket.

    Args:
        compressed: makes a body of lines.
    """

    __slots__ = ("_compressed", "_lines", "_points", "_role", "_size")

    def __init__(self, role: BucketRole, compressed: Callable[[bytes], bytes]) -> None:
        self._role = role
        self._compressed = compressed
        self._points: list[Point] = []
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, point: Point, line: bytes) -> Request | None:
        """Enter a point; the request before it if there is no room for it in that one.

        A line beyond the bound is a request of its own.
        """
        size = len(line) + 1
        full = None
        if self._points and (len(self._points) >= MAX_LINES or self._size + size > MAX_BYTES):
            full = self.take()
        self._points.append(point)
        self._lines.append(line)
        self._size += size
        return full

    def add_all(self, points: Sequence[Point], lines: Sequence[bytes]) -> Sequence[Request]:
        """As `add` for each; the requests that became full."""
        size = sum(map(len, lines)) + len(lines)
        if len(self._points) + len(points) <= MAX_LINES and self._size + size <= MAX_BYTES:
            self._points += points
            self._lines += lines
            self._size += size
            return ()
        entered = [self.add(point, line) for point, line in zip(points, lines, strict=True)]
        return [request for request in entered if request is not None]

    def take(self) -> Request | None:
        """The request with what has been entered since the last one; None if that is nothing."""
        if not self._points:
            return None
        request = Request(self._role, self._points, self._compressed(b"\n".join(self._lines)))
        self._points, self._lines, self._size = [], [], 0
        return request


def request_of(
    role: BucketRole, points: Sequence[Point], encoder: LineEncoder, compressed: Callable[[bytes], bytes]
) -> Request:
    """One request of points that have lines."""
    return Request(role, points, compressed(b"\n".join(map(encoder.line, points))))


def runs(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """The points in their order, cut where another series begins, and into pieces of at most `PIECE`."""
    begin = 0
    while begin < len(points):
        series, end = points[begin][0], begin + 1
        last = min(begin + PIECE, len(points))
        while end < last and points[end][0] is series:
            end += 1
        yield points[begin:end]
        begin = end


def shares(points: Sequence[Point], count: int) -> list[list[Point]]:
    """The points split by series, those of each together and in their order: of one identity, the last
    written wins.

    Series go to the share with the fewest columns so far, for an even split.
    """
    split: list[list[list[Point]]] = [[] for _ in range(count)]
    columns = [0] * count
    chosen: dict[tuple[str, tuple[str, ...]], list[Point]] = {}
    known: dict[int, list[Point]] = {}  # by the series' object, which the points keep alive
    for point in points:
        of_series = known.get(id(point[0]))
        if of_series is None:
            measurement, tags = point[0].measurement, point[0].tags
            # By name and tags: series of one name may declare different columns.
            of_series = chosen.get((measurement.name, tags))
            if of_series is None:
                of_series = chosen[measurement.name, tags] = []
                least = columns.index(min(columns))
                columns[least] += len(measurement.columns)
                split[least].append(of_series)
            known[id(point[0])] = of_series
        of_series.append(point)
    return [list(chain.from_iterable(share)) for share in split]


def in_turn(requests: Sequence[Iterator[Request]]) -> Iterator[tuple[int, Request]]:
    """One request of each share, then the next of each; with the number of its share."""
    left = dict(enumerate(requests))
    while left:
        for number, of_share in list(left.items()):
            request = next(of_share, None)
            if request is None:
                del left[number]
            else:
                yield number, request
