from __future__ import annotations

import orjson

from producers.exchanges.binance.streams import STREAMS_PER_CONNECTION, connections, open_with, streams_of


def test_a_symbol_is_lower_case_in_stream_names_and_an_interval_never_changes() -> None:
    names = [stream.name for stream in streams_of("BTCUSDC", ["1m", "1d"])]
    assert names == [
        "btcusdc@kline_1m",
        "btcusdc@kline_1d",
        "btcusdc@trade",
        "btcusdc@depth@100ms",
        "btcusdc@bookTicker",
    ]


def test_few_streams_go_into_the_url() -> None:
    url, frames = open_with("wss://host", streams_of("BTCUSDC", ["1m"]))
    assert (
        url
        == "wss://host/stream?streams=btcusdc@kline_1m/btcusdc@trade/btcusdc@depth@100ms/btcusdc@bookTicker"
    )
    assert frames == []


def test_many_streams_are_subscribed_in_short_frames_that_name_each_once() -> None:
    [streams] = connections(
        [f"VERYLONGSYMBOL{number}" for number in range(25)], ("1s", "1m", "15m", "1h", "1d")
    )
    url, frames = open_with("wss://host", streams)
    assert url == "wss://host/stream"
    assert max(len(frame) for frame in frames) < 4_000
    requests = [orjson.loads(frame) for frame in frames]
    assert [request["id"] for request in requests] == list(range(1, len(requests) + 1))
    assert [name for request in requests for name in request["params"]] == [stream.name for stream in streams]


def test_connections_are_bounded_and_never_part_a_symbol() -> None:
    groups = connections([f"S{number}" for number in range(60)], ("1s", "1m", "15m", "1h", "1d"))
    assert max(len(group) for group in groups) <= STREAMS_PER_CONNECTION
    homes = [{stream.symbol for stream in group} for group in groups]
    assert sum(len(home) for home in homes) == len(set().union(*homes)) == 60


def test_symbols_beyond_ascii_are_encoded_in_the_url() -> None:
    url, _ = open_with("wss://host", streams_of("测试456", []))
    assert url.isascii()
