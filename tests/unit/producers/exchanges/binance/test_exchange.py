from __future__ import annotations

import orjson
import pytest

from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.frame_types import Rejected
from producers.exchanges.port import Addresses
from shared.errors import InvalidMessage
from shared.settings import Settings
from tests.builders import NOW_MS

ADDRESSES = Addresses("http://rest", "ws://stream", "http://history")


def test_its_addresses_are_those_of_its_settings() -> None:
    given = Settings(binance_rest_url="http://a", binance_ws_url="ws://b", binance_history_url="http://c")
    assert BINANCE.addresses(given) == ("http://a", "ws://b", "http://c")
    assert BINANCE.settings == ("BINANCE_REST_URL", "BINANCE_WS_URL", "BINANCE_HISTORY_URL")


def test_a_connection_has_whole_symbols_and_ends_before_the_exchange_ends_it() -> None:
    symbols = [f"S{number}USDC" for number in range(60)]
    plans = BINANCE.connections(ADDRESSES, symbols, ("1s", "1m"))
    carried = [{stream.symbol for stream in plan.streams} for plan in plans]
    assert len(plans) > 1 and sum(map(len, carried)) == len(symbols)
    for plan in plans:
        assert plan.url.startswith("ws://stream/stream") and plan.host == "ws://stream"
        assert plan.age_s < 24 * 3600
        assert plan.liveness.bars_s == {"1s": 10.0, "1m": 130.0}


def test_a_rejected_frame_names_its_symbol() -> None:
    [event] = BINANCE.parser()(orjson.dumps({"stream": "btcusdc@trade", "data": {"e": "trade"}}), NOW_MS)
    assert isinstance(event, Rejected)
    assert (event.stream, event.symbol) == ("btcusdc@trade", "BTCUSDC")


def test_a_row_of_another_path_is_none_of_bars_or_trades() -> None:
    assert BINANCE.read_row("depth", "BTCUSDC", {}, NOW_MS, NOW_MS) is None
    with pytest.raises(InvalidMessage, match="rest:ticker"):
        BINANCE.read_row("ticker", "BTCUSDC", {}, NOW_MS, NOW_MS)


def test_what_may_be_left_out_is_weighed_before_it_is_asked() -> None:
    rest = BINANCE.rest(ADDRESSES, lambda: NOW_MS, lambda *_: None, 0.01)
    # 60 a minute, half of it for what may be left out: the top of a book weighs 5, a whole one 50.
    assert rest.has_spare("top of book") and rest.has_spare("issued trades")
    assert not rest.has_spare("book")
