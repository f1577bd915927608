"""The usual form is a part of the contract: whatever has it breaks no rule, and producers write it."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.exchanges.binance.parse import parse_frame
from producers.exchanges.frame_types import StreamMessage
from producers.exchanges.kraken.frames import KrakenFrames
from producers.exchanges.kraken.pairs import Pair
from shared.errors import InvalidMessage
from shared.message_forms import IS_USUAL
from shared.messages import decode, decode_by_field, encode
from tests.builders import kline, quote, trade

USUAL = {
    "trade": [encode(trade()), encode(trade(source="backfill", event_time_ms=None, buyer_is_maker=True))],
    "kline": [
        encode(kline()),
        encode(kline(source="backfill", event_time_ms=None, first_trade_id=None, last_trade_id=None)),
        encode(kline(trade_count=0, first_trade_id=-1, last_trade_id=-1, closed=False)),
    ],
    "quote": [encode(quote()), encode(quote(bid_price=None, bid_quantity=None))],
}
RECORDS = [(kind, value) for kind, values in USUAL.items() for value in values]
TRADE = USUAL["trade"][0]
# What a changed record may have in another place: marks, numbers at the bounds, and pieces of usual records.
PIECES = st.sampled_from(
    [
        *rb'" { } [ ] , : . - + \ \u0041 0 00 7 e5 E 0. .5 -1 -0 1.5 null true false ""'.split(b" "),
        *(b" ", b"\n", b"\x00", b"\xff", b"\xc3\xa9", b"X" * 65, b"5" * 21, b"9" * 15, b"9" * 18),
        *(b"%d" % bound for bound in (2**53 - 1, 2**53, 2**63 - 1, 2**63, 10**15, 10**18)),
        *(b'"stream"', b'"replay"', b'"schema":1,', b'"schema":2,', b'"price":"1",', b',"epoch":true'),
    ]
)


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, bytes]:
    """A usual record with some of it cut out, replaced or repeated."""
    kind, value = draw(st.sampled_from(RECORDS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        end = at + draw(st.integers(0, 20))
        value = value[:at] + draw(PIECES | st.just(b"")) + value[end:]
    return kind, value


def outcome(way: Any, kind: str, value: bytes | None) -> tuple[Any, ...]:
    try:
        message = way(kind, value)
    except InvalidMessage as error:
        return type(error), str(error)
    return [*message.items()], [type(each) for each in message.values()]


@pytest.mark.thorough
@given(changed())
@settings(max_examples=800)
def test_the_short_way_gives_what_the_long_one_gives(record: tuple[str, bytes]) -> None:
    kind, value = record
    assert outcome(decode, kind, value) == outcome(decode_by_field, kind, value)


def fields_of(kind: str, value: bytes) -> list[tuple[str, bytes]]:
    """Each field of a record, with the record's bytes up to its value, its value, and the rest."""
    return [(name, orjson.dumps(found)) for name, found in orjson.loads(value).items()]


VALUES = [
    *b'0 1 2 -1 -2 00 01 1.0 1e3 true false null "" []'.split(b" "),
    *(b"%d" % (bound + by) for bound in (2**53, 2**63, 10**15, 10**18) for by in (-2, -1, 0, 1)),
    *rb'"1" "1." ".1" "1.5" "-1" "1e5" "1\n" "A" "B\u0054C" "stream" "replay" "live" "Stream"'.split(b" "),
    *(b'" 1"', b'"1 "', b'"B\xc3\xa9"'),
    *(b'"' + before + b"5" * digits + b'"' for before in (b"", b"1.") for digits in (20, 21)),
    *(b'"' + b"A" * length + b'"' for length in (64, 65)),
]


@pytest.mark.parametrize(("kind", "value"), RECORDS)
def test_every_field_is_held_to_its_rule(kind: str, value: bytes) -> None:
    for name, given_value in fields_of(kind, value):
        for other in VALUES:
            before, after = b'"%b":%b' % (name.encode(), given_value), b'"%b":%b' % (name.encode(), other)
            altered = value.replace(before, after, 1)
            assert outcome(decode, kind, altered) == outcome(decode_by_field, kind, altered), altered


@pytest.mark.parametrize(("kind", "value"), RECORDS)
def test_usual_records_take_the_short_way(kind: str, value: bytes) -> None:
    assert IS_USUAL[kind](value)


BINANCE = {
    "trade": (
        '{"stream":"ethusdt@trade","data":{"e":"trade","E":1785767103121,"s":"ETHUSDT","t":77,"p":"3120.40",'
        '"q":"0.25","T":1785767103120,"m":true,"M":true}}'
    ),
    "quote": (
        '{"stream":"ethusdt@bookTicker","data":{"u":400900217,"s":"ETHUSDT","b":"25.3","B":"31.2","a":"25.4",'
        '"A":"40.6"}}'
    ),
    "kline": (
        '{"stream":"ethusdt@kline_1m","data":{"e":"kline","E":1785767160001,"s":"ETHUSDT","k":{'
        '"t":1785767100000,"T":1785767159999,"s":"ETHUSDT","i":"1m","f":100,"L":200,"o":"3100.1","c":"3120.4",'
        '"h":"3130.0","l":"3090.5","v":"1000","n":101,"x":true,"q":"3120400.0","V":"500","Q":"1560200.0",'
        '"B":"0"}}}'
    ),
}


@pytest.mark.parametrize("kind", BINANCE)
def test_what_the_producer_of_binance_writes_is_usual(kind: str) -> None:
    (parsed,) = parse_frame(BINANCE[kind], 1785767160002)
    assert isinstance(parsed, StreamMessage)
    assert IS_USUAL[kind](encode(parsed.message))


def test_what_the_producer_of_kraken_writes_is_usual() -> None:
    eth = Pair("ETH/USD", "ETH", "USD", "ETHUSD", 2, 8, "0.01", "0.00000001", "online")
    frame = (
        '{"channel":"trade","type":"update","data":[{"symbol":"ETH/USD","side":"buy","price":3120.40,'
        '"qty":0.25000000,"ord_type":"market","trade_id":77000001,"timestamp":"2026-08-03T14:25:03.120331Z"}]}'
    )
    (parsed,) = KrakenFrames({"ETH/USD": eth}).parse(frame, 1785767160002)
    assert isinstance(parsed, StreamMessage)
    assert IS_USUAL["trade"](encode(parsed.message))


@pytest.mark.parametrize(
    "value",
    [
        encode(trade(epoch=1)),
        TRADE.replace(b",", b", "),
        TRADE.replace(b'"schema":1,', b"").replace(b"}", b',"schema":1}'),
        TRADE.replace(b"BTCUSDC", b"BTC\\u0055SDC"),
        TRADE.replace(b"BTCUSDC", "BTC€".encode()),
        TRADE.replace(b'"trade_id":1', b'"trade_id":9007199254740991'),
        TRADE.replace(b"}", b',"venue":"x"}'),
    ],
)
def test_what_is_sound_and_unusual_goes_the_long_way(value: bytes) -> None:
    assert not IS_USUAL["trade"](value)
    assert decode("trade", value) == orjson.loads(value)


@pytest.mark.parametrize("kind", ["depth", "book", "ledger"])
def test_other_kinds_have_the_long_way_only(kind: str) -> None:
    assert kind not in IS_USUAL
    with pytest.raises(InvalidMessage):
        decode(kind, b"{}")


@pytest.mark.parametrize("kind", ["trade", "book"])
def test_a_record_without_a_value_is_refused(kind: str) -> None:
    with pytest.raises(InvalidMessage, match=re.escape("JSON")):
        decode(kind, None)
