"""The numbered cases on recordings of the exchanges, as far as there are any.

Most stand with the figures of the recordings' README beside the cores that they are about; here is which case
they are. A case that needs a fault of the exchange is made of the recording: its frames are cut.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from producers.exchanges.frame_types import Rejected, StreamMessage
from producers.exchanges.port import Addresses, Exchange, Parser
from producers.exchanges.registry import EXCHANGES
from producers.exchanges.stream_events import BookUpdate
from simulator.recordings.cryptofeed_v2 import ReceivedFrame, read_cryptofeed_v2
from simulator.recordings.kraken_v1 import RecordedFrame
from tests.exchange_contract import test_contract
from tests.unit.producers import test_recorded_books, test_recorded_coinbase, test_recorded_kraken
from tests.unit.producers.exchanges.binance import test_parse

Test = Callable[..., None]
# By number of the case and exchange.
ON_RECORDINGS: Final[Mapping[str, Mapping[str, tuple[Test, ...]]]] = {
    "02": {
        "kraken": (test_recorded_kraken.test_recorded_trades_carry_the_takers_side,),
        "coinbase": (
            test_recorded_coinbase.test_every_trade_carries_the_aggressors_side_once,
            test_recorded_coinbase.test_aggressors_stand_on_the_side_of_the_book_that_they_took,
        ),
    },
    "03": {
        "binance": (test_parse.test_recorded_rest_answers_are_read,),
        "kraken": (test_recorded_kraken.test_rest_trades_keep_their_exact_text,),
    },
    "04": {
        "binance": (
            test_recorded_books.test_the_busy_instrument_publishes_every_trade_once_and_replays_its_book,
        ),
        "coinbase": (test_recorded_coinbase.test_every_trade_carries_the_aggressors_side_once,),
    },
    "13": {
        "binance": (
            test_recorded_books.test_the_busy_book_equals_the_recorded_one,
            test_recorded_books.test_three_books_of_one_connection,
        ),
        "kraken": (
            test_recorded_kraken.test_every_checksum_of_the_recorded_books_verifies,
            test_recorded_kraken.test_whatever_message_is_left_out_the_best_ten_levels_are_never_wrong_while_synced,
        ),
        "coinbase": (
            test_recorded_coinbase.test_both_books_stay_exact_to_their_end_and_no_ask_is_dropped,
            test_recorded_coinbase.test_a_frame_left_out_unsyncs_both_books,
        ),
    },
    "14": {"kraken": (test_recorded_kraken.test_every_minute_built_from_trades_equals_rest,)},
}


def test_the_table_names_cases_and_exchanges_that_there_are() -> None:
    numbers = {name.split("_")[1] for name in vars(test_contract) if name.startswith("test_")}
    for number, by_exchange in ON_RECORDINGS.items():
        assert number in numbers
        assert set(by_exchange) <= set(EXCHANGES)
    # The book of each, and whose trade it was where others have it wrong.
    assert set(ON_RECORDINGS["13"]) == set(EXCHANGES)


def frames(recordings: Path, exchange: str) -> Iterator[tuple[bytes, int]]:
    """Recorded frames and when they were received, in ms."""
    match exchange:
        case "binance":
            entries = test_recorded_books.recorder(recordings, "cf_20211012_BINANCE.ws.txt.gz")
            yield from ((body, at_ms) for at_ms, symbol, body in entries if symbol is None)
        case "kraken":
            for name in ("ws.48", "ws.50"):
                for item in test_recorded_kraken.read(recordings, name):
                    assert isinstance(item, RecordedFrame)
                    yield item.body, item.received_us // 1000
        case _:
            path = recordings / "coinbase" / "cf_20260809_COINBASE_advancedtrade.jsonl.gz"
            with gzip.open(path, "rt") as lines:
                for line in read_cryptofeed_v2(path, lines):
                    if isinstance(line, ReceivedFrame):
                        yield line.body, line.received_us // 1000


SYMBOLS: Final = {
    "binance": ("NKNUSDT", "LRCBTC", "BLZETH", "RUNEEUR"),
    "kraken": (
        *("XMR/USD", "SC/EUR", "BTC/CHF", "WAVES/EUR", "OMG/USD"),
        *("ADA/BTC", "KSM/BTC", "ETH/CHF", "OCEAN/BTC", "GRT/ETH"),
    ),
    "coinbase": ("BTC-USD", "ETH-USD"),
}
every_exchange = pytest.mark.parametrize("exchange", SYMBOLS)


def parser_of(exchange: Exchange) -> Parser:
    hosts = Addresses("https://a", "wss://a", "https://a")
    (plan,) = exchange.connections(hosts, SYMBOLS[exchange.name], ("1m",))
    return exchange.parser(plan)


@every_exchange
def test_01_recorded_messages_have_the_names_that_were_asked_for(recordings: Path, exchange: str) -> None:
    parser, symbols = parser_of(EXCHANGES[exchange]), set()
    for frame, at_ms in islice(frames(recordings, exchange), 1_500):
        for event in parser(frame, at_ms):
            if isinstance(event, StreamMessage | BookUpdate):
                assert event.message["exchange"] == exchange
                symbols.add(event.message["symbol"])
    assert symbols >= set(SYMBOLS[exchange][:2])


@every_exchange
def test_11_a_cut_recorded_frame_is_rejected_and_costs_only_itself(recordings: Path, exchange: str) -> None:
    parser, rejected = parser_of(EXCHANGES[exchange]), 0
    for number, (frame, at_ms) in enumerate(islice(frames(recordings, exchange), 600)):
        for length in {1, len(frame) // 3, len(frame) - 1} if number % 10 == 0 else ():
            said = parser(frame[:length], at_ms)
            assert not [each for each in said if isinstance(each, StreamMessage | BookUpdate)]
            rejected += any(isinstance(each, Rejected) for each in said)
        assert not [each for each in parser(frame, at_ms) if isinstance(each, Rejected)]
    assert rejected >= 75
