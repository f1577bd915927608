"""Kraken's lanes: they decline, or give what the long way gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers.exchanges.kraken.frames import KrakenFrames
from producers.exchanges.kraken.lanes import usual
from producers.exchanges.kraken.pairs import Pair, unlisted
from tests.builders import NOW_MS

ETH = Pair("ETH/USD", "ETH", "USD", "ETHUSD", 2, 8, "0.01", "0.00000001", "online")
_LEVEL = '{"price":3120.40,"qty":0.50000000}'
BOOK = (
    f'{{"channel":"book","type":"update","data":[{{"symbol":"ETH/USD","bids":[{_LEVEL},{_LEVEL}],'
    f'"asks":[{{"price":3120.41,"qty":0.00000000}}],"checksum":3310070434,'
    '"timestamp":"2026-08-03T14:25:03.120331Z"}]}'
)
TRADE = (
    '{"channel":"trade","type":"update","data":[{"symbol":"ETH/USD","side":"buy","price":3120.40,'
    '"qty":0.25000000,"ord_type":"market","trade_id":77000001,"timestamp":"2026-08-03T14:25:03.120331Z"}]}'
)
TICKER = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"ETH/USD","bid":3120.40,"bid_qty":1.00000000,'
    '"ask":3120.41,"ask_qty":2.50000000,"last":3120.40,"volume":2250.81090000,"vwap":3060.16,"low":2990.02,'
    '"high":3258.26,"change":-100.09,"change_pct":-0.10,"timestamp":"2026-08-03T14:25:03.120331Z"}]}'
)
FRAMES = (BOOK, TRADE, TICKER)
# What a changed frame may have in another place: marks, digits, and pieces of usual frames.
_PIECES = st.sampled_from(
    [
        *(
            '"',
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            ".",
            "-",
            "0",
            "00",
            "7",
            "e5",
            " ",
            "\\",
            "\n",
            "\u00e9",
            "null",
        ),
        *(
            _LEVEL,
            f",{_LEVEL}",
            '["1.00","1.00000000"]',
            ',"',
            '","',
            '{"price":',
            ',"qty":',
            '"price":1.00,',
        ),
        *(
            '],"asks":[',
            '],"checksum":',
            '],"bids":[',
            '"symbol":"BTC/USD",',
            "9999999999",
            "3.1E2",
            "5" * 25,
        ),
        *("2262-04-12T00:00:00Z", "+02:00", "Z", '"type":"snapshot"', '"side":"sell",', '"bid":1.00,'),
    ]
)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A usual frame with some of it cut out, replaced or repeated."""
    frame = draw(st.sampled_from(FRAMES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(frame)))
        end = at + draw(st.integers(0, 12))
        frame = frame[:at] + draw(_PIECES | st.just("")) + frame[end:]
    return frame


def both(pair: Pair, frame: str | bytes, latest_ms: int) -> tuple[object, object]:
    """The events of a frame by `parse` and by the long way, of a parser each."""

    def events(way: Callable[[KrakenFrames], Callable[..., object]]) -> object:
        return way(KrakenFrames({pair.symbol: pair}))(frame, NOW_MS, latest_ms)

    return events(lambda frames: frames.parse), events(lambda frames: frames.parse_by_field)


@pytest.mark.thorough
@given(changed(), st.sampled_from([ETH, unlisted("ETH/USD")]), st.sampled_from([2**42, 1_785_767_103_119]))
@example(BOOK.replace(_LEVEL, '["3120.40","0.50000000"]', 1), ETH, 2**42)
@example(BOOK.replace('3120.40,"qty":', '3120.40","', 1), ETH, 2**42)
@example(BOOK.replace("3120.41", "03120.41"), ETH, 2**42)
@example(BOOK.replace(f"{_LEVEL},", _LEVEL), ETH, 2**42)
@example(BOOK.replace("3310070434", "4310070434"), ETH, 2**42)
@example(TICKER.replace('"last":3120.40', '"bid":3120.39'), ETH, 2**42)
@example(TICKER.replace("1.00000000", "0.00000000"), ETH, 2**42)
@settings(max_examples=400)
def test_a_lane_declines_or_gives_what_the_long_way_gives(frame: str, pair: Pair, latest_ms: int) -> None:
    ours, long = both(pair, frame, latest_ms)
    assert ours == long
    assert both(pair, frame.encode(), latest_ms) == (long, long)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("pair", [ETH, unlisted("ETH/USD")])
def test_usual_frames_take_the_lane(frame: str, pair: Pair) -> None:
    assert usual(frame, {pair.symbol: pair}) is not None
    assert usual(frame.encode(), {pair.symbol: pair}) is not None
    assert both(pair, frame, 2**42)[0] == both(pair, frame, 2**42)[1]


@pytest.mark.parametrize(
    "frame",
    [
        BOOK.replace("3120.40", "3120.4"),
        BOOK.replace("update", "snapshot"),
        TRADE.replace("}]}", "},{}]}"),
        TRADE.replace("0.25000000", "2.5e-1"),
        TICKER.replace("ETH/USD", "BTC/USD"),
    ],
)
def test_others_are_declined(frame: str) -> None:
    assert usual(frame, {ETH.symbol: ETH}) is None
