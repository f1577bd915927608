"""Binance's lanes: they decline, or leave bytes, effects and cores as the long way does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from producers.exchanges.frame_types import LATEST_MS
from producers.exchanges.wire_text import RULES
from tests.lanes.loosened import LOOSENED
from tests.lanes.market import BEGIN_MS, INTERVALS, SYMBOL, Market
from tests.lanes.pair import Different, Pair
from tests.lanes.run import RECORDED, recordings, run, run_recorded

_KINDS = ("quote", "trade", "depth", "kline")


def _assert_taken(counts: Counter[str], kinds: tuple[str, ...], share: float) -> None:
    """A comparison in which lanes decline says nothing."""
    assert sum(counts[kind] for kind in kinds) > share * counts["all"], counts
    assert all(counts[kind] > 0.005 * counts["all"] for kind in kinds), counts


def test_lanes_do_as_the_long_way_does_with_right_and_changed_frames() -> None:
    _assert_taken(run(0, 5_000), _KINDS, 0.4)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(1, 5))
def test_lanes_do_as_the_long_way_does_with_a_day_of_them(seed: int) -> None:
    _assert_taken(run(seed, 25_000), _KINDS, 0.4)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(100, 104))
def test_after_each_frame_the_cores_hold_the_same(seed: int) -> None:
    _assert_taken(run(seed, 600, wholly=True), _KINDS, 0.3)


@pytest.mark.thorough
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_lanes_do_as_the_long_way_does_with_recordings(share: float) -> None:
    missing = [name for name in RECORDED if not (recordings() / name).exists()]
    if missing:
        pytest.skip(f"recording {missing[0]} not found under {recordings()} (set CRYPTOSTREAM_DATA)")
    _assert_taken(run_recorded(recordings(), share, 1, 10_000), ("quote", "trade", "depth"), 0.4)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_million_frames() -> None:
    _assert_taken(run(1_000, 1_000_000), _KINDS, 0.4)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOOSENED)
def test_with_any_rule_loosened_a_frame_is_found_that_differs(name: str) -> None:
    rule, pattern = LOOSENED[name]
    with pytest.raises(Different):
        run(5, 40_000, {**RULES, rule: pattern})


class Begun(NamedTuple):
    """A pair whose book is exact and whose series have begun, and what comes next."""

    pair: Pair
    market: Market
    frames: Iterator[bytes]

    def next(self, stream: str) -> bytes:
        """The next frame of a stream that is a usual one; those before it are taken."""
        head = f'{{"stream":"{SYMBOL.lower()}@{stream}'.encode()
        for frame in self.frames:
            if frame.startswith(head) and b"receivedTime" not in frame:
                return frame
            self.pair.take(frame, self.market.now_ms, LATEST_MS, genuine=True)
        raise AssertionError("a market has no end")

    def take(self, frame: bytes, after_ms: int = 0, latest_ms: int = LATEST_MS) -> bool:
        """Whether a lane took it; both have done the same."""
        return self.pair.take(frame, self.market.now_ms + after_ms, latest_ms, genuine=False, wholly=True)


@pytest.fixture
def begun() -> Begun:
    market = Market(7)
    begun = Begun(Pair(SYMBOL, INTERVALS, BEGIN_MS), market, market.frames())
    for number in range(300):
        begun.pair.take(next(begun.frames), market.now_ms, LATEST_MS, genuine=True)
        if number % 20 == 0:
            begun.pair.answer(market.now_ms, 0.0)
    return begun


@pytest.mark.parametrize("stream", ["bookTicker", "trade", "depth@100ms", "kline_1m"])
@pytest.mark.parametrize(
    "unusual",
    [
        pytest.param(lambda frame: frame + b"\n", id="a line's end"),
        pytest.param(lambda frame: frame.replace(b":", b": ", 3), id="spaces"),
        pytest.param(lambda frame: frame.replace(b'"s":"FUZZUSDC"', b'"s":"BTCUSDC"'), id="another symbol"),
        pytest.param(
            lambda frame: frame.replace(b"}}", b'},"receivedTime":1785767100000}', 1), id="a replay"
        ),
        pytest.param(lambda frame: frame.replace(b'"s"', b'"\\u0073"'), id="an escaped name"),
        pytest.param(lambda frame: frame.replace(b'"data":{', b'"data":{"new":1,'), id="a new field"),
    ],
)
def test_an_unusual_frame_is_declined(begun: Begun, stream: str, unusual: Callable[[bytes], bytes]) -> None:
    frame = begun.next(stream)
    assert unusual(frame) != frame
    assert not begun.take(unusual(frame))


@pytest.mark.parametrize(("stream", "field"), [("trade", "t"), ("depth@100ms", "U"), ("kline_1m", "t")])
def test_what_is_not_next_is_declined(begun: Begun, stream: str, field: str) -> None:
    def later(found: re.Match[str]) -> str:
        return f'"{field}":{int(found[1]) + 60_000}'

    frame = begun.next(stream).decode()
    assert not begun.take(re.sub(rf'"{field}":([0-9]+)', later, frame).encode())


@pytest.mark.parametrize("stream", ["trade", "depth@100ms", "kline_1m"])
def test_a_time_ahead_of_the_clock_is_declined(begun: Begun, stream: str) -> None:
    assert not begun.take(begun.next(stream), latest_ms=BEGIN_MS - 1)


def test_a_delivery_that_is_to_be_followed_is_declined(begun: Begun) -> None:
    frame = begun.next("bookTicker")
    assert not begun.take(frame, 60_000)
    assert begun.take(frame, 60_001)
