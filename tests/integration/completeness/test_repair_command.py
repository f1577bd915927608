"""`repair` between a real Kafka, a store and a small exchange."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messages import TradeMessage
from shared.topics import LEDGER, TRADES
from tests.builders import ledger, trade
from tests.integration.completeness.place import (
    BARS,
    KLINES,
    START_MS,
    TRADES_COUNT,
    Place,
    bar,
    delete,
    market,
    said_of,
    times_of,
)
from tests.integration.fake_exchange import MINUTE_MS, FakeExchange, bar_row, fake_exchange


@pytest.fixture
def exchange(on_sqlite: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeExchange]:
    """It has the bars of the half hour, and 400 trades from id 5,000 on."""
    with fake_exchange(START_MS) as running:
        running.symbol = on_sqlite.symbol
        for _ in range(400):
            running.trade(streamed=False)
            running.now_ms += 1_000
        running.now_ms = START_MS + 25 * MINUTE_MS
        for name, value in running.environment(on_sqlite.broker).items():
            monkeypatch.setenv(name, value)
        yield running


def exchange_trades(exchange: FakeExchange) -> list[TradeMessage]:
    return [
        trade(
            symbol=exchange.symbol,
            trade_id=row["id"],
            **times_of(row["time"]),
            price=row["price"],
            quantity=row["qty"],
        )
        for row in exchange.trades
    ]


def test_holes_are_repaired_whether_the_ledger_knows_of_them_or_not(
    on_sqlite: Place, exchange: FakeExchange, tmp_path: Path
) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    trades = exchange_trades(exchange)[:300]
    holes = range(5_100, 5_110)
    records = [(TRADES, key, one) for one in trades if one["trade_id"] not in holes]
    said = [(LEDGER, key, event) for event in said_of(trades)]
    place.consume([*records, *said], bars=0, trades=290)
    delete(tmp_path / "store.db", f"delete from trade where symbol = '{symbol}' and trade_id in (5200, 5201)")
    assert place.verify()[0] == 1

    code, out, _ = place.command("repair", symbol, "trades", "--from", "5000", "--to", "9999", "--dry-run")
    assert (code, out) == (0, f"{symbol} trades: 300 looked at, 12 missing: ids 5100–5109, 5200–5201\n")
    code, out, _ = place.command("repair", symbol, "trades", "--from", "5000", "--to", "9999")
    assert code == 0
    assert "repaired: 12: ids 5100–5109, 5200–5201 (published on market.trades" in out
    place.consume([], bars=0, trades=300)
    code, found = place.verify()
    assert code == 0
    (series,) = found["series"]
    assert (series["expected"], series["stored"], series["backfilled"], series["lost"]) == (300, 300, 12, 0)
    code, out, _ = place.command("repair", symbol, "trades", "--from", "5000", "--to", "9999")
    assert (code, out) == (0, f"{symbol} trades: 300 looked at, 0 missing\n")


def test_bars_are_repaired_and_what_rest_cannot_give_is_named(
    on_sqlite: Place, exchange: FakeExchange
) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    records = [(KLINES, key, bar(symbol, number)) for number in range(BARS) if number not in (3, 4)]
    last_ms = START_MS + 29 * MINUTE_MS
    said = ledger(
        symbol=symbol,
        stream="klines",
        interval="1m",
        first=START_MS,
        last=last_ms,
        count=30,
        event_time_ms=last_ms,
    )
    place.consume([*records, (LEDGER, key, said)], bars=18, trades=0)
    begin, end = str(START_MS), str(START_MS + 40 * MINUTE_MS)
    code, out, _ = place.command("repair", symbol, "klines", "1m", "--from", begin, "--to", end)
    # The exchange has ended 25 bars; two were missing in the middle, five behind the last one.
    assert code == 1
    assert "30 looked at, 12 missing" in out
    assert "repaired: 7: open times" in out
    assert "REST cannot give: 5: open times" in out
    place.consume([], bars=25, trades=0)


def test_a_bar_that_differs_from_its_trades_is_lost_until_rest_has_it_as_they_say(
    on_sqlite: Place, exchange: FakeExchange
) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    right, never = START_MS + 3 * MINUTE_MS, START_MS + 4 * MINUTE_MS
    close = bar_row(right)[4]
    series = {"symbol": symbol, "stream": "klines", "interval": "1m"}
    last_ms = START_MS + (BARS - 1) * MINUTE_MS
    said = [ledger(**series, first=START_MS, last=last_ms, count=BARS, event_time_ms=last_ms)]
    said += [
        ledger(**series, kind="revised", first=at, last=at, count=1, detail=f"trades say close {price}")
        for at, price in ((right, close), (never, "7"))
    ]
    records = [(KLINES, key, bar(symbol, number)) for number in range(BARS)]
    place.consume([*records, *((LEDGER, key, event) for event in said)], bars=BARS, trades=0)
    code, out, _ = place.command("ledger", "--symbol", symbol)
    assert code == 1 and "NOT COMPLETE: 2 lost" in out
    assert f"lost: {symbol} klines 1m: 2 (2 stored, and not as their trades say): open times" in out

    span = ("--from", str(START_MS), "--to", str(START_MS + BARS * MINUTE_MS))
    code, out, _ = place.command("repair", symbol, "klines", "1m", *span)
    assert code == 1
    assert "20 looked at, 2 missing (2 of them stored, and not as their trades say): open times" in out
    assert "repaired: 1: open times" in out
    assert "REST cannot give (or not as the trades say): 1: open times" in out
    # One bar more, so that it is known when those before it are stored.
    place.consume([(KLINES, key, bar(symbol, BARS))], bars=BARS + 1, trades=0)
    closes = {row["time_ns"] // 10**6: row["close"] for row in place.rows("kline", interval="1m")}
    assert (closes[right], closes[never]) == (float(close), float(bar(symbol, 4)["close"]))
    code, out, _ = place.command("ledger", "--symbol", symbol)
    assert code == 1 and "NOT COMPLETE: 1 lost" in out


def test_indicators_that_a_restored_store_lacks_are_computed_again(on_sqlite: Place, tmp_path: Path) -> None:
    place = on_sqlite
    symbol = place.symbol
    place.consume(market(symbol), bars=BARS, trades=TRADES_COUNT)
    whole = place.rows("kline", interval="1m"), place.rows("indicator", interval="1m")
    middle_ns = (START_MS + BARS // 2 * MINUTE_MS) * 10**6
    for table in ("kline", "indicator"):
        delete(
            tmp_path / "store.db", f"delete from {table} where symbol = '{symbol}' and time_ns >= {middle_ns}"
        )
    times = ("--from", str(START_MS), "--to", str(START_MS + MINUTE_MS))
    code, out, _ = place.command("repair", symbol, "klines", "1m", *times, "--indicators")
    assert code == 0
    assert f"indicators of {symbol} klines 1m are computed from market.klines.1m when" in out
    place.consume([], bars=BARS, trades=TRADES_COUNT)
    assert (place.rows("kline", interval="1m"), place.rows("indicator", interval="1m")) == whole
    assert place.verify()[0] == 0


def test_repair_says_what_is_wrong_with_the_question(on_sqlite: Place, exchange: FakeExchange) -> None:
    place = on_sqlite
    code, _, err = place.command("repair", "NOPE", "trades", "--from", "1", "--to", "2")
    assert (code, "the ledger knows no binance:NOPE trades" in err, err.count("\n")) == (2, True, 1)
