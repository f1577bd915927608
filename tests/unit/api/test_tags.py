"""Tags are read alike over HTTP and on the stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.problems import Problem
from api.protocol import Refused, Subscribe, parse
from api.rows_request import read_tag
from api.tags import stored_tag
from tests.live_topics import KINDS


def on_stream(tag: str, text: str) -> Any:
    entry = {"id": 1, "series": "kline", "exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}
    [request] = parse(json.dumps({"subscribe": [entry | {tag: text}]}), KINDS)
    return request


@pytest.mark.parametrize(
    ("tag", "text", "stored"),
    [
        ("exchange", "Binance", "binance"),
        ("symbol", "btcusdc", "BTCUSDC"),
        ("symbol", "btc/usd", "BTC/USD"),
        ("symbol", "币安人生usdt", "币安人生USDT"),
        ("interval", "1m", "1m"),
    ],
)
def test_a_tag_is_meant_in_the_case_in_which_it_is_stored(tag: str, text: str, stored: str) -> None:
    assert stored_tag(tag, text) == read_tag(tag, text) == stored
    request = on_stream(tag, text)
    assert isinstance(request, Subscribe)
    assert stored in request.tags


@pytest.mark.parametrize(
    ("tag", "text", "said"),
    [
        # Its records would have the key of another instrument: it would be filled for ever.
        ("exchange", "binance:x", "'binance:x' is no exchange; give one like binance"),
        ("exchange", ":", "':' is no exchange"),
        ("symbol", "BTC USDC", "'BTC USDC' is no symbol; give one like BTCUSDC"),
        ("symbol", "/", "'/' is no symbol"),
        ("interval", "7m", "'7m' is not an interval; choose from 1s, 1m"),
    ],
)
def test_what_no_series_can_have_is_refused_at_once(tag: str, text: str, said: str) -> None:
    with pytest.raises(Problem, match=said) as caught:
        read_tag(tag, text)
    assert caught.value.status == 422
    refused = on_stream(tag, text)
    assert isinstance(refused, Refused) and refused.number == 1
    assert refused.detail.startswith((f"{tag}: {said}", f"{tag}: {text!r} is no name"))
