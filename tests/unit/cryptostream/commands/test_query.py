from __future__ import annotations

import csv
import fcntl
import io
import math
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from consumers.measurements import (
    BOOK,
    INDICATOR,
    INDICATOR_LIVE,
    INSTRUMENT,
    KLINE,
    KLINE_LIVE,
    LEDGER,
    TRADE,
    Measurement,
    Point,
    Series,
)
from consumers.stores.sqlite import SqliteStore
from cryptostream import cli, data_dir, output, query_output
from shared.trade_ids import number

MINUTE_MS = 60_000
OPEN_MS = 1_785_767_100_000  # 2026-08-03T14:25:00Z
INDICATORS = tuple(f"{family}_{number}" for family in ("volume", "trend") for number in range(43))


def bar(
    number: int, *, measurement: Measurement = KLINE, symbol: str = "BTCUSDC", interval: str = "1m"
) -> Point:
    values = (64_000.5 + number, 64_002.25, 63_999.0, 64_001.0, 10.123456, 647_890.123, 6.0, 383_000.5, 1200)
    series = Series(measurement, ("binance", symbol, interval))
    return Point(series, (OPEN_MS + number * MINUTE_MS) * 10**6, values)


def indicators(number: int, measurement: Measurement = INDICATOR) -> Point:
    series = Series(measurement.with_columns(INDICATORS), ("binance", "BTCUSDC", "1m"))
    values = tuple(math.nan if column == number else column + number / 10 for column in range(86))
    return Point(series, (OPEN_MS + number * MINUTE_MS) * 10**6, values)


def trade(trade_id: int) -> Point:
    time_ns = (OPEN_MS + trade_id) * 10**6 + trade_id
    return Point(
        Series(TRADE, ("binance", "BTCUSDC")), time_ns, (trade_id, 64_000.5, 0.25, trade_id % 2 == 0)
    )


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with 30 bars, 3 indicator bars, trades, books and ledgers; the bar 30 is open."""
    for name in ("STORE", "SQLITE_PATH", "INFLUX_URL", "EXCHANGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    store = SqliteStore(run / data_dir.STORE_FILE, ticks_expiry_ns=None)
    store.write([bar(number) for number in range(30)])
    store.write([bar(number, measurement=KLINE_LIVE) for number in (29, 30)])
    store.write([bar(0, symbol="XRPUSDC", interval="1h"), *(indicators(number) for number in range(3))])
    store.write([indicators(3, INDICATOR_LIVE), *(trade(number) for number in range(40))])
    daily = Series(KLINE, ("binance", "BTCUSDC", "1d"))
    midnight_ns = OPEN_MS // 86_400_000 * 86_400_000 * 10**6
    store.write([bar(0)._replace(series=daily, time_ns=midnight_ns - n * 86_400 * 10**9) for n in (1, 2)])
    book = Series(BOOK, ("binance", "BTCUSDC"))
    store.write([Point(book, OPEN_MS * 10**6, (1.0, 2.0, 1.5, 1.0, 66.6, 0.1, 5.0, 6.0, True))])
    store.write([Point(book, (OPEN_MS + 1) * 10**6, (*(None,) * 8, False))])
    for stream, interval in (("klines", "1m"), ("klines", "1s"), ("trades", "")):
        series = Series(LEDGER, ("binance", "BTCUSDC", stream, interval))
        store.write([Point(series, OPEN_MS * 10**6, (60, 59, 0, 0, 1, 0))])
    store.close()
    return run


class Asked:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = cli.main(["query", *words, "--data-dir", str(self._directory)])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *words: str) -> list[dict[str, object]]:
        code, out, err = self(*words, "--format", "json")
        assert (code, err) == (0, "")
        rows: list[dict[str, object]] = orjson.loads(out)
        return rows

    def csv(self, *words: str) -> list[dict[str, str]]:
        code, out, err = self(*words, "--format", "csv")
        assert (code, err) == (0, "")
        return list(csv.DictReader(io.StringIO(out)))


@pytest.fixture
def query(directory: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(directory, capsys)


def test_json_is_one_array_of_all_bars_with_the_open_time_first(query: Asked) -> None:
    rows = query.json("klines", "BTCUSDC", "1m")
    assert [row["open_time_ms"] for row in rows] == [OPEN_MS + number * MINUTE_MS for number in range(30)]
    assert list(rows[0].items())[:5] == [
        ("open_time_ms", OPEN_MS),
        ("exchange", "binance"),
        ("symbol", "BTCUSDC"),
        ("interval", "1m"),
        ("open", 64_000.5),
    ]
    assert list(rows[0])[-1] == "trade_count"


def test_csv_holds_the_same_values(query: Asked) -> None:
    rows = query.csv("trades", "btcusdc", "--last", "2")
    assert [list(row.values()) for row in rows] == [
        [str(OPEN_MS + 38), "binance", "BTCUSDC", "38", "64000.5", "0.25", "true"],
        [str(OPEN_MS + 39), "binance", "BTCUSDC", "39", "64000.5", "0.25", "false"],
    ]
    assert next(iter(rows[0])) == "trade_time_ms"


def test_trades_of_a_later_numbering_say_so_to_people_and_bear_the_exchanges_id_for_programs(
    query: Asked, directory: Path
) -> None:
    store = SqliteStore(directory / data_dir.STORE_FILE, ticks_expiry_ns=None)
    store.write([trade(39)._replace(time_ns=(OPEN_MS + 99) * 10**6, values=(number(1, 7), 1.5, 2.5, True))])
    store.close()
    assert [row["trade_id"] for row in query.json("trades", "BTCUSDC", "--last", "2")] == [39, 7]
    _, table, _ = query("trades", "BTCUSDC", "--last", "2")
    assert "7 (numbering 2)" in table
    assert " 39 " in table


def tell_instruments(directory: Path) -> None:
    """Two instruments, one of them told twice."""
    promises = ("id", "native", "ids", "stream")
    btc, eth = (Series(INSTRUMENT, of) for of in (("binance", "BTCUSDC"), ("kraken", "ETH/USD")))
    with closing(SqliteStore(directory / data_dir.STORE_FILE, ticks_expiry_ns=None)) as store:
        store.write(
            [
                Point(btc, OPEN_MS * 10**6, ("BTC", "USDC", 0.01, 1e-5, None, "TRADING", *promises)),
                Point(btc, (OPEN_MS + 7) * 10**6, ("BTC", "USDC", 0.01, 1e-5, None, "BREAK", *promises)),
                Point(eth, OPEN_MS * 10**6, ("ETH", "USD", 0.1, 1e-8, None, "TRADING", *promises)),
            ]
        )


NAMES = ["exchange", "symbol", "base", "quote", "tick", "lot", "alias", "status"]
HEADINGS = ["trades", "repaired", "by", "bars", "from", "book", "proved", "by", "quotes", "from"]
TRADED = ["–", "TRADING", "id", "native", "ids", "stream"]
CLOSED = ["–", "BREAK", *TRADED[2:]]


def test_instruments_are_all_shown_with_their_newest_row_or_one_with_its_changes(
    query: Asked, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_instruments(directory)
    monkeypatch.setattr(query_output, "screen_width", lambda _: 200)
    code, table, _ = query("instruments", "all")
    assert code == 0
    heading, names, _rule, *rows = (line.split() for line in table.splitlines() if line.strip())
    assert (heading, names) == (["instrument", "2026-08-03"], ["UTC", *NAMES, *HEADINGS])
    assert rows == [
        ["14:25:00.000", *("kraken", "ETH/USD", "ETH", "USD", "0.1", "0.00000001"), *TRADED],
        ["14:25:00.007", *("binance", "BTCUSDC", "BTC", "USDC", "0.01", "0.00001"), *CLOSED],
    ]
    assert [row["status"] for row in query.json("instruments", "BTCUSDC")] == ["TRADING", "BREAK"]
    assert [row["symbol"] for row in query.json("instruments", "ALL", "--exchange", "Kraken")] == ["ETH/USD"]


def test_all_instruments_can_be_asked_for_and_nothing_else_of_all(query: Asked, directory: Path) -> None:
    assert query("trades", "all")[2] == "error: no trades of ALL; the store holds trades of BTCUSDC\n"
    assert query("instruments", "all", "--exchange", "mtgox")[0] == 2
    code, out, err = query("instruments", "all")
    assert (code, out, err) == (1, "", "error: no instruments: the store holds none of them yet\n")


def test_options_may_stand_before_the_symbol(query: Asked) -> None:
    assert len(query.json("klines", "--last", "3", "BTCUSDC", "1m")) == 3


def test_what_a_point_lacks_is_null_and_empty(query: Asked) -> None:
    assert [row["bid"] for row in query.json("book", "BTCUSDC")] == [1.0, None]
    assert [(row["time_ms"], row["bid"], row["synced"]) for row in query.csv("book", "BTCUSDC")] == [
        (str(OPEN_MS), "1.0", "true"),
        (str(OPEN_MS + 1), "", "false"),
    ]


def test_every_indicator_has_its_column_also_where_the_first_bar_lacks_it(query: Asked) -> None:
    rows = query.csv("indicators", "BTCUSDC", "1m")
    assert list(rows[0])[:4] == ["open_time_ms", "exchange", "symbol", "interval"]
    assert set(list(rows[0])[4:]) == set(INDICATORS)
    assert [row["volume_0"] for row in rows] == ["", "0.1", "0.2"]


def test_times_limit_what_is_read(query: Asked) -> None:
    rows = query.json(
        "klines", "BTCUSDC", "1m", "--from", "2026-08-03T14:27", "--to", f"{OPEN_MS + 4 * MINUTE_MS}"
    )
    assert [row["open_time_ms"] for row in rows] == [OPEN_MS + 2 * MINUTE_MS, OPEN_MS + 3 * MINUTE_MS]
    (row,) = query.json("klines", "BTCUSDC", "1m", "--from", "2026-08-03T16:54:00+02:00")
    assert row["open_time_ms"] == OPEN_MS + 29 * MINUTE_MS


def test_live_adds_only_the_bar_that_is_still_open_and_marks_it(query: Asked) -> None:
    rows = query.json("klines", "BTCUSDC", "1m", "--last", "2", "--live")
    assert [((int(str(row["open_time_ms"])) - OPEN_MS) // MINUTE_MS, row["closed"]) for row in rows] == [
        (28, True),
        (29, True),
        (30, False),
    ]
    assert query.csv("indicators", "BTCUSDC", "1m", "--live")[-1]["closed"] == "false"
    _, out, _ = query("klines", "BTCUSDC", "1m", "--live")
    assert out.rstrip().endswith("open")


def test_live_before_a_time_has_no_open_bar(query: Asked) -> None:
    rows = query.json("klines", "BTCUSDC", "1m", "--live", "--to", "2026-08-03T14:30")
    assert [row["closed"] for row in rows] == [True] * 5


def test_the_table_shows_twenty_bars_in_100_columns(query: Asked) -> None:
    code, out, _ = query("klines", "BTCUSDC", "1m")
    heading, *lines = [text for text in out.splitlines() if text.strip()]
    bars = [text for text in lines if ":" in text]
    assert heading.strip() == "kline binance BTCUSDC 1m 2026-08-03"
    assert (code, len(bars)) == (0, 20)
    assert bars[-1].startswith(" 14:54")
    assert "64,029.50" in bars[-1]
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_many_indicators_are_lines_with_a_column_a_bar(query: Asked) -> None:
    _, out, _ = query("indicators", "BTCUSDC", "1m", "--live")
    lines = [text.split() for text in out.splitlines() if text.strip().startswith(("volume_", "trend_"))]
    assert len(lines) == 86
    assert ["volume_1", "1.0", "–", "1.2", "1.3"] in lines
    assert "(open)" in out
    assert max(map(len, out.splitlines())) <= 100


def test_every_kind_has_a_table(query: Asked) -> None:
    for words in (["trades"], ["book"], ["ledger"]):
        code, out, err = query(*words, "BTCUSDC")
        assert (code, err) == (0, "")
        assert "BTCUSDC 2026-08-03" in out
        assert "14:25" in out


def test_times_on_several_days_have_their_dates(query: Asked) -> None:
    _, out, _ = query("klines", "BTCUSDC", "1d")
    assert "2026-08-01 " in out
    assert "2026-08-02 " in out
    assert "00:00" not in out


def test_the_ledger_may_be_asked_for_one_interval(query: Asked) -> None:
    assert len(query.json("ledger", "BTCUSDC")) == 3
    (row,) = query.json("ledger", "BTCUSDC", "1m")
    assert (row["stream"], row["lost"]) == ("klines", 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["klines", "NOPE", "1m"],
            "no klines of NOPE 1m; the store holds klines of BTCUSDC (1m 1d), XRPUSDC (1h)",
        ),
        (["klines", "XRPUSDC", "1m"], "no klines of XRPUSDC 1m; the store holds klines of BTCUSDC (1m 1d)"),
        (["trades", "BTCUSCD"], "no trades of BTCUSCD; did you mean BTCUSDC? the store holds trades of BTC"),
        (["quotes", "ETHUSCD"], "the store holds no quotes at all yet; did you mean ETHUSDC?"),
        (["trades", "ETHUSDC"], "no trades of ETHUSDC; the store holds trades of BTCUSDC"),
        (["quotes", "BTCUSDC"], "no quotes of BTCUSDC: the store holds no quotes at all yet"),
        (["klines", "BTCUSDC", "1m", "--to", "2020-01-01"], "to 2020-01-01T00:00:00Z; ask for another time"),
    ],
)
def test_nothing_found_is_one_line_that_says_what_there_is(
    query: Asked, words: list[str], expected: str
) -> None:
    for output_format in ("table", "csv", "json"):
        code, out, err = query(*words, "--format", output_format)
        assert (code, out) == (1, "")
        assert expected in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["klines", "BTCUSDC"], "need an INTERVAL"),
        (["klines", "BTCUSDC", "7m"], "unknown interval '7m'; choose from 1s, 1m"),
        (["trades", "BTCUSDC", "1m"], "have no INTERVAL"),
        (["trades", "BTCUSDC", "--live"], "no open bar"),
        (["trades", "BTCUSDC", "--from", "2026-01-02", "--to", "2026-01-01"], "not before --to"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_one_line(query: Asked, words: list[str], expected: str) -> None:
    code, out, err = query(*words)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--last", "0"], ["--last", "x"], ["--from", "yesterday"], ["--to", "9" * 17]]
)
def test_a_wrong_number_or_time_is_exit_2(query: Asked, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        query("trades", "BTCUSDC", *words)
    assert caught.value.code == 2


def test_without_a_directory_the_setting_names_the_store_then_the_last_run(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["query", "trades", "BTCUSDC"]) == 1
    assert "start with `make run`" in capsys.readouterr().err
    data_dir.remember_latest(directory)
    assert cli.main(["query", "trades", "BTCUSDC"]) == 0
    monkeypatch.setenv("SQLITE_PATH", str(directory / "other.db"))
    assert cli.main(["query", "trades", "BTCUSDC"]) == 1
    assert "other.db does not exist" in capsys.readouterr().err


def test_a_directory_without_a_store_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["query", "trades", "BTCUSDC", "--data-dir", str(tmp_path)]) == 2
    assert "holds no cryptostream.db" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["query", "trades", "BTCUSDC"], ["ledger"]])
def test_a_file_is_no_directory_of_a_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cli.main([*words, "--data-dir", str(tmp_path / "file")]) == 2
    assert "file is a file; name the directory of a run" in capsys.readouterr().err


def test_the_exchange_is_an_option(query: Asked) -> None:
    code, out, _ = query("klines", "BTCUSDC", "1m", "--last", "1", "--exchange", "Binance", "--format", "csv")
    assert code == 0
    assert ",binance,BTCUSDC,1m," in out
    code, _, err = query("klines", "BTC/USDC", "1m", "--exchange", "kraken")
    assert code == 1
    assert err == (
        "error: no klines of BTC/USDC 1m: the store holds nothing of kraken; "
        "name another by --exchange: binance\n"
    )


@pytest.fixture
def of_several(query: Asked, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The same store with rows of other exchanges, two of them under the same symbol."""
    with closing(SqliteStore(directory / data_dir.STORE_FILE, ticks_expiry_ns=None)) as store:
        for exchange, symbol in (("kraken", "BTC/USD"), ("coinbase", "BTC-USD"), ("binance", "BTC-USD")):
            series = Series(TRADE, (exchange, symbol))
            store.write([trade(number)._replace(series=series) for number in range(3)])
            tags = (exchange, symbol, "1m")
            store.write([bar(0)._replace(series=Series(measurement, tags)) for measurement in (KLINE,)])
    monkeypatch.setenv("SYMBOLS", "BTCUSDC,kraken:BTC/USD,coinbase:BTC-USD,BTC-USD")
    return query


@pytest.mark.parametrize("name", ["kraken:BTC/USD", "Kraken:btc/usd", "BTC/USD"])
def test_a_symbol_is_that_of_the_exchange_that_is_named_or_has_it(of_several: Asked, name: str) -> None:
    rows = [*of_several.json("trades", name), *of_several.json("klines", name, "1m")]
    assert [(row["exchange"], row["symbol"]) for row in rows] == [("kraken", "BTC/USD")] * 4


def test_the_same_symbol_of_two_exchanges_is_never_mixed(of_several: Asked) -> None:
    for exchange in ("coinbase", "binance"):
        rows = of_several.json("trades", f"{exchange}:BTC-USD")
        assert [(row["exchange"], row["trade_id"]) for row in rows] == [(exchange, n) for n in range(3)]
    code, out, err = of_several("trades", "BTC-USD")
    assert (code, out) == (2, "")
    assert "say which one: coinbase:BTC-USD or binance:BTC-USD" in err


def test_a_symbol_that_another_exchange_has_is_named_with_it(
    of_several: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMBOLS", "BTCUSDC")
    code, _, err = of_several("trades", "BTC/USD")
    assert code == 1
    assert err == "error: no trades of BTC/USD at binance; the store holds kraken:BTC/USD\n"


def book(number: int, bid: float, ask: float) -> Point:
    values = (bid, ask, (bid + ask) / 2, round(ask - bid, 2), 0.0012345678, 0.123456789, 12.5, 11.25, True)
    return Point(Series(BOOK, ("binance", "TINYUSDT")), (OPEN_MS + number) * 10**6, values)


@pytest.fixture
def tables(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Ask for a table on a screen of so many columns."""
    with closing(SqliteStore(directory / data_dir.STORE_FILE, ticks_expiry_ns=None)) as store:
        store.write([book(0, 97_287.93, 97_288.0), book(1, 97_286.0, 97_288.5)])
        series = Series(KLINE, ("binance", "PEPEUSDT", "1m"))
        prices = (0.00000886, 0.00000887, 1.2e-8, 0.0000088)
        store.write([Point(series, OPEN_MS * 10**6, (*prices, 1e6, 8.86, 0.0, 0.0, 1))])

    def ask(columns: int, *words: str) -> str:
        monkeypatch.setattr(query_output, "screen_width", lambda _out: columns)
        assert cli.main(["query", *words, "--data-dir", str(directory)]) == 0
        return capsys.readouterr().out

    return ask


def test_a_table_that_does_not_fit_loses_whole_columns_in_their_order_and_names_them(
    tables: Callable[..., str],
) -> None:
    seen = []
    for columns in (120, 80, 60, 40, 10):
        out = tables(columns, "book", "TINYUSDT")
        assert "…" not in out
        assert "97,287.93" in out and "97,286.00" in out
        *_, last = out.splitlines()
        seen.append(last.partition(": ")[2].partition(";")[0] if last.startswith("left out") else "")
        if columns >= 60:
            assert max(map(len, out.splitlines()[:-1])) <= columns
    assert seen[0] == "" and seen[1] != ""
    order = "ask depth, bid depth, imbalance, spread, spread bps, mid"
    assert all(order.startswith(left) for left in seen) and seen[-1] == order


@pytest.mark.parametrize("columns", [80, 100])
def test_tiny_prices_keep_their_digits(tables: Callable[..., str], columns: int) -> None:
    out = tables(columns, "klines", "PEPEUSDT", "1m")
    for price in ("0.000008860", "0.000008870", "0.000000012", "0.000008800"):
        assert price in out


def test_fewer_bars_stand_side_by_side_where_more_do_not_fit(tables: Callable[..., str]) -> None:
    out = tables(24, "indicators", "BTCUSDC", "1m")
    assert max(map(len, out.splitlines())) <= 24
    assert out.count("volume_42") > 1


def test_programs_get_tiny_prices_without_an_exponent(query: Asked, tables: Callable[..., str]) -> None:
    (row,) = query.csv("klines", "PEPEUSDT", "1m")
    assert (row["open"], row["low"]) == ("0.00000886", "0.000000012")
    (parsed,) = query.json("klines", "PEPEUSDT", "1m")
    assert (parsed["open"], parsed["low"]) == (0.00000886, 1.2e-8)


def test_a_terminal_has_the_width_it_says_and_a_pipe_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    monkeypatch.delenv("COLUMNS", raising=False)
    with os.fdopen(leader), os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "__stdout__", terminal)
        assert output.screen_width(terminal) == 80
    assert output.screen_width(io.StringIO()) == 100
