"""Recordings of other exchanges than Binance."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from shared.errors import RecordingError
from simulator.recordings.cryptofeed_v2 import (
    ReceivedFrame,
    RecordedAnswer,
    RecordedHeader,
    RecordedRequest,
    read_cryptofeed_v2,
)
from simulator.recordings.kraken_v1 import RecordedFrame, RecordedPairs, read_kraken_v1

FILE = Path("recording.txt")


def test_krakens_v1_becomes_v2_digit_by_digit() -> None:
    lines = [
        "wss://ws.kraken.com <-> 1618678132.3858151",
        '1618678133.710264: [464,{"as":[["56218.30000","0.15000000","1618678117.243818"]],"bs":[]},'
        '"book-1000","XBT/CHF"]',
        '1618678134.5: [464,{"a":[["56218.40000","0.00000000","1618678134.1"]]},'
        '{"b":[["56000.10000","1.00000000","1618678134.2","r"]],"c":"974942666"},"book-1000","XBT/CHF"]',
        '1618678142.592855: [993,[["354.11000000","0.89594024","1618678142.557535","s","l",""]],'
        '"trade","XMR/USD"]',
        '1618678142.6: {"event":"heartbeat"}',
        '1618678142.7: [992,{"a":["1"]},"ticker","XMR/USD"]',
        'https://api.kraken.com/0/public/AssetPairs -> 1618678132.3: {"error":[],'
        '"result":{"A":{"altname":"A"}}}',
    ]
    snapshot, update, trade, heartbeat, pairs = read_kraken_v1(FILE, lines)
    assert isinstance(snapshot, RecordedFrame)
    assert snapshot.received_us == 1618678133_710264
    assert snapshot.body == (
        b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/CHF","bids":[],"asks":[{"price":56218.30000'
        b',"qty":0.15000000}],"timestamp":"2021-04-17T16:48:37.243818Z"}]}'
    )
    assert isinstance(update, RecordedFrame)
    assert (
        b'"bids":[{"price":56000.10000,"qty":1.00000000}],"asks":[{"price":56218.40000,"qty":0.00000000}]'
        in update.body
    )
    assert b'"checksum":974942666,"timestamp":"2021-04-17T16:48:54.200000Z"' in update.body
    assert isinstance(trade, RecordedFrame)
    assert orjson.loads(trade.body)["data"][0] == {
        "symbol": "XMR/USD",
        "side": "sell",
        "price": 354.11,
        "qty": 0.89594024,
        "ord_type": "limit",
        "trade_id": 1,
        "timestamp": "2021-04-17T16:49:02.557535Z",
    }
    assert heartbeat == RecordedFrame(1618678142_600000, b'{"channel":"heartbeat"}')
    assert pairs == RecordedPairs({"A": {"altname": "A"}})


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "1618678133.7: [1,2]",
        "1618678133.7: {",
        '1618678133.7: [464,{"a":[["1e5","1","1618678134.1"]]},"book-10","XBT/CHF"]',
        'https://api.binance.com/x -> 1618678132.3: {"result":{}}',
    ],
)
def test_another_line_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(RecordingError, match=r"^recording\.txt, line 2: "):
        list(read_kraken_v1(FILE, ['1618678142.6: {"event":"heartbeat"}', line]))


HEADER = '{"t":"header","format":2,"exchange":"COINBASE","config":{"trades":["BTC-USD"]}}'


def test_cryptofeeds_format_2_keeps_every_byte() -> None:
    lines = [
        HEADER,
        '{"t":"http","conn":"a","ts":1786309548.026294,"url":"https://x/products","data":"{\\"products\\":[]}"}',
        '{"t":"connect","conn":"b","ts":1786309548.03,"addr":"wss://x"}',
        '{"t":"send","conn":"b","ts":1786309548.17,"addr":"wss://x","data":"{\\"type\\":\\"subscribe\\"}"}',
        "",
        '{"t":"recv","conn":"b","ts":1786309548.6290078,"data":"{\\"sequence_num\\": 0}"}',
    ]
    assert list(read_cryptofeed_v2(FILE, lines)) == [
        RecordedHeader("COINBASE", {"trades": ["BTC-USD"]}),
        RecordedAnswer(1786309548_026294, "https://x/products", b'{"products":[]}'),
        RecordedRequest(1786309548_170000, "b", b'{"type":"subscribe"}'),
        ReceivedFrame(1786309548_629008, "b", b'{"sequence_num": 0}'),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "5",
        '{"t":"odd"}',
        '{"t":"recv","ts":1}',
        HEADER.replace("2", "3", 1),
        '{"t":"recv","ts":"x","data":""}',
    ],
)
def test_another_format_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(RecordingError, match=r"^recording\.txt, line 2: no line of cryptofeed's format 2"):
        list(read_cryptofeed_v2(FILE, [HEADER, line]))
