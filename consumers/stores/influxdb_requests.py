"""Points as requests of bounded size, split so that two may be on their way at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from consumers.measurements import BucketRole, Point
from consumers.stores.line_protocol import LineEncoder

# InfluxDB's manual names 5,000 lines as the best batch. 1 MB keeps a wide request within a second.
MAX_LINES: Final = 5_000
MAX_BYTES: Final = 1_000_000


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


def shares(points: Sequence[Point], count: int) -> list[list[Point]]:
    """The points in their order, split by series: of one identity, the last written wins.

    Series go to the share with the fewest columns so far, for an even split.
    """
    split: list[list[Point]] = [[] for _ in range(count)]
    columns = [0] * count
    chosen: dict[tuple[str, tuple[str, ...]], list[Point]] = {}
    known: dict[int, list[Point]] = {}  # by the series' object, which the points keep alive
    for point in points:
        share = known.get(id(point[0]))
        if share is None:
            measurement, tags = point[0].measurement, point[0].tags
            # By name and tags: series of one name may declare different columns.
            share = chosen.get((measurement.name, tags))
            if share is None:
                least = columns.index(min(columns))
                columns[least] += len(measurement.columns)
                share = chosen[measurement.name, tags] = split[least]
            known[id(point[0])] = share
        share.append(point)
    return split


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
