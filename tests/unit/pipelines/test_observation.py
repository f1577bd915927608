"""From answers to complete rows: recorded ones, and generated ones that are broken in every way."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines.snapshots.columns import MEASURES
from pipelines.snapshots.frame import parquet_of, rows_of_parquet
from pipelines.snapshots.observation import Observation, complete_row
from pipelines.snapshots.rows import SnapshotRow, check_row
from producers.exchanges.binance.rows import snapshot_of_body, trade_of_row
from producers.exchanges.binance.ticker import ticker_of_body
from shared.errors import InvalidMessage
from tests.snapshot_builders import SLOT, depth_body, ticker_body, trade_rows


def read_observation(symbol: str, ticker: Any, depth: Any, trades: Any, observed_time_ms: int) -> Observation:
    """An observation from three decoded answers.

    Raises:
        InvalidMessage: one of them breaks its contract.
    """
    if type(trades) is not list:
        raise InvalidMessage("trades", trades, "a list")
    return Observation(
        symbol,
        ticker_of_body(symbol, ticker),
        snapshot_of_body(symbol, depth, observed_time_ms),
        [trade_of_row(symbol, row, observed_time_ms) for row in trades],
        observed_time_ms,
    )


def complete(ticker: Any, depth: Any, trades: Any, symbol: str = "BTCUSDT") -> SnapshotRow:
    observation = read_observation(symbol, ticker, depth, trades, SLOT + 400)
    return complete_row(observation, SLOT, "scheduled")


def test_every_measure_comes_from_where_the_columns_say() -> None:
    row = complete(ticker_body(), depth_body(), trade_rows("100", "101", "102", "103", "104"))
    check_row(row)
    assert row.measures == {
        "exchange_time": SLOT + 300,
        "last_price": Decimal("100.5"),
        "change_24h": Decimal("1.5"),
        "change_24h_percent": Decimal("1.515"),
        "high_24h": Decimal(102),
        "low_24h": Decimal(98),
        "base_volume_24h": Decimal(1000),
        "quote_volume_24h": Decimal(100_000),
        "weighted_average_price_24h": Decimal(100),
        "best_bid": Decimal("100.4"),
        "best_bid_quantity": Decimal(2),
        "best_ask": Decimal("100.6"),
        "best_ask_quantity": Decimal(3),
        "spread": Decimal("0.2"),
        "spread_percent": Decimal("0.199004975124378109"),
        "last_trades_mean_price": Decimal(102),
        "last_trades_volume": Decimal(5),
        "last_trades_count": 5,
    }


def test_only_the_last_five_trades_count_and_fewer_are_fewer() -> None:
    many = complete(ticker_body(), depth_body(), trade_rows(*(str(price) for price in range(1, 9))))
    few = complete(ticker_body(), depth_body(), trade_rows("7", "9"))
    assert (many.measures["last_trades_mean_price"], many.measures["last_trades_count"]) == (6, 5)
    assert (few.measures["last_trades_mean_price"], few.measures["last_trades_count"]) == (8, 2)


def test_times_in_microseconds_are_understood() -> None:
    row = complete(ticker_body(closeTime=(SLOT + 300) * 1000), depth_body(), trade_rows())
    assert row.measures["exchange_time"] == SLOT + 300


def test_the_recorded_answers_make_a_complete_row(recordings: Path) -> None:
    folder = recordings / "binance_spot_rest"

    def answer(name: str) -> Any:
        return orjson.loads((folder / name).read_bytes())

    row = complete(
        answer("ph_20260906_ticker_24hr_BTCUSDT.json"),
        answer("nautilus_http_spot_market_depth.json"),
        answer("nautilus_http_spot_market_trades.json"),
    )
    check_row(row)
    assert row.measures["last_price"] == Decimal("80488.00000000")
    assert row.measures["quote_volume_24h"] == Decimal("697710005.43687120")
    assert (row.measures["best_bid"], row.measures["best_ask"]) == (Decimal("60650"), Decimal("60650.01"))
    assert row.measures["last_trades_count"] == 5
    assert rows_of_parquet(parquet_of([row])) == [row]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((ticker_body(lastPrice=100.5), depth_body(), trade_rows()), "lastPrice"),
        ((ticker_body(lastPrice="NaN"), depth_body(), trade_rows()), "lastPrice"),
        ((ticker_body(lastPrice="1_000"), depth_body(), trade_rows()), "lastPrice"),
        ((ticker_body(symbol="ETHUSDT"), depth_body(), trade_rows()), "symbol"),
        ((ticker_body(closeTime=None), depth_body(), trade_rows()), "closeTime"),
        ((ticker_body(highPrice="1" * 30), depth_body(), trade_rows()), "high_24h"),
        ((ticker_body(), depth_body(bids=[]), trade_rows()), "bids"),
        ((ticker_body(), depth_body(asks=[]), trade_rows()), "asks"),
        ((ticker_body(), depth_body(asks=[["0", "1"]]), trade_rows()), "asks"),
        ((ticker_body(), depth_body(bids=[[100.4, "1"]]), trade_rows()), "bids"),
        ((ticker_body(), {"bids": [], "asks": []}, trade_rows()), "first_update_id"),
        ((ticker_body(), depth_body(), []), "trades"),
        ((ticker_body(), depth_body(), {}), "trades"),
        ((ticker_body(), depth_body(), trade_rows("100") * 2), "trades"),
        ((ticker_body(), depth_body(), [{"id": 1}]), "trade_time_ms"),
        (([], depth_body(), trade_rows()), "ticker"),
    ],
)
def test_what_a_complete_row_needs_is_named_where_it_is_not_there(answers: Any, reason: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        complete(*answers)
    assert raised.value.field == reason


_JUNK: list[Any] = [
    None, True, 0, -1, 1.5, "", "x", "NaN", "-inf", "1e400", "١٢", " 1", "1,5", "-1", [], {}, [[]], "9" * 80,
]  # fmt: skip


def _damaged(random_: random.Random, value: Any) -> Any:
    """The value with one place of it, at any depth, missing or replaced by junk."""
    if type(value) is dict and value and random_.random() < 0.85:
        name = random_.choice(sorted(value))
        if random_.random() < 0.3:
            return {key: kept for key, kept in value.items() if key != name}
        return {**value, name: _damaged(random_, value[name])}
    if type(value) is list and value and random_.random() < 0.85:
        place = random_.randrange(len(value))
        return [*value[:place], _damaged(random_, value[place]), *value[place + 1 :]]
    return random_.choice(_JUNK)


def test_ten_thousand_damaged_payloads_never_make_a_half_filled_row() -> None:
    random_ = random.Random(7)
    made, refused = [], 0
    for _ in range(10_000):
        answers: list[Any] = [ticker_body(), depth_body(), trade_rows()]
        for _ in range(random_.randint(1, 3)):
            place = random_.randrange(3)
            answers[place] = _damaged(random_, answers[place])
        try:
            made.append(complete(*answers))
        except InvalidMessage as error:
            assert str(error)
            refused += 1
    names = {column.name for column in MEASURES}
    for row in made:
        check_row(row)
        assert row.measures.keys() == names
        assert all(isinstance(value, int) or value.is_finite() for value in row.measures.values())
    # What was damaged without harm (a field that nobody reads, a price that could be one) still makes a row.
    assert refused > 5_000 and len(made) > 100
    assert rows_of_parquet(parquet_of(made)) == made
