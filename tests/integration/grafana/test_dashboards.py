"""Every query of every dashboard, on a real InfluxDB with a history that our own services wrote."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import pytest

from consumers.measurements import FRESHNESS, Point, Series
from grafana import boards
from grafana.model import Dashboard, Panel, Query, Variable
from shared.messages import TradeMessage
from tests.conftest import Influx
from tests.integration.grafana.asking import Asking, Choice, Frame
from tests.integration.grafana.conftest import History, api, store_of
from tests.integration.grafana.history import (
    BARS,
    DEAD_LETTERS,
    ELSEWHERE,
    FILLED_TRADES,
    LOST_TRADES,
    MARKETS,
    PRICES,
    SYMBOLS,
    UNSYNCED_S,
    recent_end_ms,
    trades,
)

PANELS = [(board, panel) for board in boards.ALL for row in board.rows for panel in row.panels]
ANNOTATIONS = [(board, annotation) for board in boards.ALL for annotation in board.annotations]
VARIABLES = [(board, variable) for board in boards.ALL for variable in board.variables]


def name_of(value: object) -> str:
    return str(getattr(value, "uid", "") or getattr(value, "title", "") or getattr(value, "name", ""))


def panel_of(board: Dashboard, title: str) -> Panel:
    return next(panel for of, panel in PANELS if of is board and panel.title == title)


def shown(history: History, uid: str, title: str, **choices: Choice) -> list[Frame]:
    board = boards.BY_UID[uid]
    return history.opened(board, before_ms=0, **choices).ask(panel_of(board, title).query.flux)


def figure(history: History, uid: str, title: str, **choices: Choice) -> float:
    """What a panel of one figure shows."""
    (frame,) = shown(history, uid, title, **choices)
    (row,) = frame.rows()
    return float(row["_value"])


def assert_has(frames: Sequence[Frame], query: Query) -> None:
    assert frames, "no data"
    for frame in frames:
        assert len(frame), "an empty frame"
        assert set(query.columns) <= set(frame.columns)
        assert set(frame.labels) == set(query.labels)


def trades_of_btc(history: History, from_ms: int = 0) -> list[TradeMessage]:
    """Those whose second begins at `from_ms` or later, as its sum does."""
    return [
        trade
        for trade in trades(history.end_ms)
        if trade["symbol"] == "BTCUSDC" and trade["trade_time_ms"] // 1000 * 1000 >= from_ms
    ]


def has_interval(board: Dashboard) -> bool:
    return any(variable.name == "interval" for variable in board.variables)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=name_of)
def test_every_panel_gets_its_columns(history: History, board: Dashboard, panel: Panel) -> None:
    assert_has(history.opened(board).ask(panel.query.flux), panel.query)


@pytest.mark.parametrize(("board", "panel"), [pair for pair in PANELS if has_interval(pair[0])], ids=name_of)
def test_every_panel_of_bars_shows_seconds_too(history: History, board: Dashboard, panel: Panel) -> None:
    """They live in the other bucket."""
    assert_has(history.opened(board, interval="1s").ask(panel.query.flux), panel.query)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=name_of)
def test_a_time_without_data_is_empty_not_an_error(history: History, board: Dashboard, panel: Panel) -> None:
    before_ms = 400 * 86_400_000
    frames = history.opened(board, before_ms=before_ms).ask(panel.query.flux)
    assert sum(map(len, frames)) == 0


@pytest.mark.parametrize(("board", "annotation"), ANNOTATIONS, ids=name_of)
def test_every_annotation_gets_its_columns(history: History, board: Dashboard, annotation: object) -> None:
    query = next(item for of, item in ANNOTATIONS if of is board and item is annotation).query
    assert_has(history.opened(board).ask(query.flux), query)


@pytest.mark.parametrize(("board", "variable"), VARIABLES, ids=name_of)
def test_every_variable_offers_what_is_chosen_at_first(
    history: History, board: Dashboard, variable: Variable
) -> None:
    (frame,) = history.opened(board).ask(variable.flux)
    offered = frame.columns["_value"]
    assert set(variable.default) <= set(offered)
    assert len(offered) == len(set(offered))
    if variable.name in OFFERED:
        assert set(offered) == OFFERED[variable.name]
    if variable.name == "interval":
        assert offered == list(BARS), "the shortest first"


OFFERED = {
    "exchange": {"binance", "kraken", "coinbase"},
    "exchanges": {"binance", "kraken", "coinbase"},
    "symbol": set(SYMBOLS),
    "pairs": {"BTCUSD", "ETHUSD", "XRPUSD", "SOLUSD"},
    "symbols": {symbol for _, symbol in MARKETS},
}


@pytest.mark.parametrize(("exchange", "symbol"), [("binance", "BTCUSDC"), *ELSEWHERE])
def test_a_dashboard_of_one_symbol_opens_on_the_first_of_its_exchange(
    history: History, exchange: str, symbol: str
) -> None:
    """Whatever it is called: of Kraken and Coinbase there is no BTCUSDC."""
    chosen = history.opened(boards.BY_UID["market"], exchange=exchange).choices
    assert (chosen["exchange"], chosen["symbol"], chosen["interval"]) == (exchange, symbol, "1m")
    assert history.opened(boards.BY_UID["market"]).choices["exchange"] == "binance"


@pytest.mark.parametrize(("exchange", "symbol"), ELSEWHERE)
def test_a_symbol_with_a_sign_has_its_candles_and_indicators(
    history: History, exchange: str, symbol: str
) -> None:
    for uid, title in (("market", "Candles and volume"), ("market", "RSI"), ("indicators", "All indicators")):
        (frame,) = shown(history, uid, title, exchange=exchange, symbol=symbol)
        assert len(frame) > 80, title


# -- what they show ------------------------------------------------------------------------------------------


def test_closed_bars_are_followed_by_the_open_one_which_alone_is_marked(history: History) -> None:
    (frame,) = shown(history, "market", "Candles and volume")
    assert frame.columns["_time"] == sorted(set(frame.columns["_time"]))
    assert len(frame) == 180
    marks = frame.columns["open bar"]
    assert [place for place, mark in enumerate(marks) if mark] == [len(frame) - 1]
    assert marks[-1] == frame.columns["close"][-1]


def test_a_range_without_a_bar_has_no_change(history: History) -> None:
    """Three hours hold no closed bar of a day: there is nothing to compare, which is not a change of 0 %."""
    assert sum(map(len, shown(history, "market", "Change", interval="1d"))) == 0
    assert figure(history, "market", "Change") != 0


@pytest.mark.parametrize(
    ("uid", "title"),
    [("order-book", "Mid"), ("order-book", "Spread"), ("order-book", "Imbalance"), ("market", "Spread")],
)
def test_a_book_that_is_not_synced_has_no_figures(history: History, uid: str, title: str) -> None:
    assert sum(map(len, shown(history, uid, title, symbol="XRPUSDC"))) == 0
    assert figure(history, uid, title, symbol="ETHUSDC") != 0


def test_a_window_stands_at_its_start_as_bars_do(history: History) -> None:
    (frame,) = shown(history, "trades", "Bought and sold")
    volumes: dict[int, float] = defaultdict(float)
    for trade in trades_of_btc(history, history.opened(boards.BY_UID["trades"]).start_ms):
        volumes[trade["trade_time_ms"] // 10_000 * 10_000] += float(trade["quantity"])
    of_windows = {
        int(datetime.fromisoformat(row["_time"]).timestamp() * 1000): float(row["bought"])
        - float(row["sold"])
        for row in frame.rows()
    }
    # The first one begins with the range.
    del of_windows[min(of_windows)], volumes[min(volumes)]
    assert of_windows == pytest.approx(volumes)


def test_chosen_overlays_are_drawn_and_no_others(history: History) -> None:
    (frame,) = history.opened(boards.BY_UID["market"], overlays=["trend_wma"]).ask(
        panel_of(boards.BY_UID["market"], "Candles and volume").query.flux
    )
    assert {name for name in frame.columns if "_" in name[1:]} == {"base_volume", "trend_wma"}


def test_a_bar_that_has_just_been_closed_is_shown_once(history: History) -> None:
    """SOLUSDC stopped within a minute: its open bar is newer than the closed ones, by one."""
    (frame,) = shown(history, "market", "RSI", symbol="SOLUSDC")
    assert len(frame.columns["_time"]) == len(set(frame.columns["_time"]))


def test_the_open_bars_of_all_intervals_are_in_one_table(history: History) -> None:
    (frame,) = shown(history, "market", "Intervals")
    assert frame.columns["interval"] == list(BARS)
    assert all(abs(float(close) / PRICES["BTCUSDC"] - 1) < 0.01 for close in frame.columns["close"])


def test_lost_is_what_was_lost(history: History) -> None:
    assert figure(history, "pipeline", "Lost") == LOST_TRADES
    (table,) = shown(history, "pipeline", "Ledger by series")
    lost = {(row["symbol"], row["stream"]): int(row["lost"]) for row in table.rows()}
    assert lost.pop(("XRPUSDC", "trades")) == LOST_TRADES
    assert set(lost.values()) == {0}
    expected = figure(history, "pipeline", "Expected")
    assert expected - figure(history, "pipeline", "Stored") == LOST_TRADES


def test_what_is_on_its_way_is_not_lost(history: History) -> None:
    """Ninety seconds after the loss it might still come: the alert waits as well."""
    stop_ms = (history.end_ms // 60_000 - 10) * 60_000 + 90_000
    opened = history.opened(boards.BY_UID["pipeline"], before_ms=history.end_ms - stop_ms)
    (lost,) = opened.ask(panel_of(boards.BY_UID["pipeline"], "Lost").query.flux)
    assert lost.columns["_value"] == ["0"]
    (table,) = opened.ask(panel_of(boards.BY_UID["pipeline"], "Ledger by series").query.flux)
    assert {row["lost"] for row in table.rows()} == {"0"}
    assert {row["symbol"] for row in table.rows()} == set(SYMBOLS)


def test_a_range_shorter_than_what_settles_is_no_error(history: History) -> None:
    end_ms = history.end_ms
    for title in ("Lost", "Ledger by series", "Heard"):
        Asking(history.server, end_ms - 60_000, end_ms, {"exchanges": "binance"}).ask(
            panel_of(boards.BY_UID["pipeline"], title).query.flux
        )


def test_gaps_are_shown_in_their_minute(history: History) -> None:
    assert figure(history, "pipeline", "Filled over REST") == FILLED_TRADES
    frames = shown(history, "pipeline", "Gaps and repairs")
    in_minutes = {
        frame.labels["_field"]: [int(value) for value in frame.columns["_value"] if value != "0"]
        for frame in frames
    }
    assert in_minutes == {"backfilled": [FILLED_TRADES], "lost": [LOST_TRADES]}


def test_spans_without_a_synced_book_have_their_length(history: History) -> None:
    (table,) = shown(history, "pipeline", "Spans without a synced book")
    spans = {row["symbol"]: float(row["seconds"]) for row in table.rows()}
    assert spans == {"BTCUSDC": 20.0, "XRPUSDC": UNSYNCED_S + 0.5}
    assert figure(history, "order-book", "State", symbol="XRPUSDC") == 0
    assert figure(history, "order-book", "State") == 1


def test_dead_letters_are_counted_over_a_restart(history: History) -> None:
    """Seven before it, five after: the counter went 7, 0, …, 5."""
    assert figure(history, "pipeline", "Dead letters") == 7 + DEAD_LETTERS


def test_health_tells_a_silent_service(history: History) -> None:
    (table,) = shown(history, "pipeline", "Health")
    heard = {(row["service"], row["instance"]): float(row["heard"]) for row in table.rows()}
    assert heard.pop(("consumer-book", "0")) > 170
    assert max(heard.values()) < 20
    assert len(heard) == 9
    reported = {row["service"]: float(row["reported"]) for row in table.rows()}
    assert reported["consumer-trades"] > 0.98
    assert reported["consumer-book"] == pytest.approx(1 - 180 / 900, abs=0.03)


def test_a_service_that_fell_silent_before_the_time_shown_stays_in_the_table(history: History) -> None:
    end_ms = history.end_ms
    flux = panel_of(boards.BY_UID["pipeline"], "Health").query.flux
    (table,) = Asking(history.server, end_ms - 120_000, end_ms, {}).ask(flux)
    heard = {row["service"]: float(row["heard"]) for row in table.rows()}
    assert heard["consumer-book"] > 170
    assert heard["consumer-trades"] < 20


def test_the_edges_of_the_states_are_no_silence(history: History) -> None:
    """Of a window that is cut off, or has just begun, no report need be there yet."""
    flux = panel_of(boards.BY_UID["pipeline"], "Heard").query.flux
    last_ms = history.end_ms // 30_000 * 30_000 + 30_000
    frames = Asking(history.server, last_ms - 305_000, last_ms + 5_000, {}).ask(flux)
    states = {frame.labels["service"]: frame.columns["_value"] for frame in frames}
    assert set(states["consumer-trades"]) == {"1"}
    assert len(states["consumer-trades"]) == 11


def test_a_hop_of_two_exchanges_is_one_line_of_the_slower_one(server: Influx, unique: str) -> None:
    org_id = api(server, "GET", f"orgs?org={server.org}")["orgs"][0]["id"]
    api(server, "POST", "buckets", {"orgID": org_id, "name": unique, "retentionRules": []})
    at_ms = recent_end_ms() // 10_000 * 10_000
    store_of(server, influx_bucket_ticks=unique).write(
        [
            Point(Series(FRESHNESS, (exchange, "trades", "stored", "0")), at_ms * 1_000_000, (1.0, p95, 99.0))
            for exchange, p95 in (("binance", 20.0), ("other", 30.0))
        ]
    )
    flux = panel_of(boards.BY_UID["pipeline"], "Socket → store").query.flux.replace('"ticks"', f'"{unique}"')
    (frame,) = Asking(server, at_ms - 60_000, at_ms + 1_000, {"exchanges": ["binance", "other"]}).ask(flux)
    assert [float(value) for value in frame.columns["_value"]] == [30.0]


def test_spans_of_books_are_found_without_a_table_of_all_points(history: History) -> None:
    """A week of them would not fit into the memory that the stack allows a query."""
    query = panel_of(boards.BY_UID["pipeline"], "Spans without a synced book").query
    opened = history.opened(boards.BY_UID["pipeline"])
    every_point = (
        'from(bucket: "ticks") |> range(start: v.timeRangeStart, stop: v.timeRangeStop)'
        ' |> filter(fn: (r) => r._measurement == "book" and r._field == "synced")'
        ' |> group() |> sort(columns: ["_time"]) |> tail(n: 1)'
    )
    assert memory(opened, query.flux) < memory(opened, every_point) / 2


def memory(asking: Asking, flux: str) -> int:
    """Bytes that the server needs at most at a time, as its profiler says."""
    imports = "".join(line + "\n" for line in flux.splitlines() if line.startswith("import "))
    rest = flux.replace(imports, "")
    text = asking.text(f'import "profiler"\n{imports}option profiler.enabledProfilers = ["query"]\n{rest}')
    rows = list(csv.reader(io.StringIO(text)))
    (at,) = (place for place, row in enumerate(rows) if "MaxAllocated" in row)
    return int(rows[at + 1][rows[at].index("MaxAllocated")])


def test_silence_is_a_hole_in_the_states(history: History) -> None:
    frames = shown(history, "pipeline", "Heard")
    states = {frame.labels["service"]: frame.columns["_value"] for frame in frames}
    assert states["consumer-book"][-3:] == ["", "", ""]
    assert states["consumer-trades"][-3:] == ["1", "1", "1"]


def test_flow_is_that_of_the_trades(history: History) -> None:
    of_btc = trades_of_btc(history, history.opened(boards.BY_UID["trades"]).start_ms)
    volume = sum(float(trade["quantity"]) for trade in of_btc)
    bought = sum(float(trade["quantity"]) for trade in of_btc if not trade["buyer_is_maker"])
    turnover = sum(float(trade["quantity"]) * float(trade["price"]) for trade in of_btc)
    assert figure(history, "trades", "Taker imbalance") == pytest.approx((2 * bought - volume) / volume)
    assert figure(history, "trades", "Average price") == pytest.approx(turnover / volume)
    assert figure(history, "trades", "Turnover") == pytest.approx(turnover)
    (flow,) = shown(history, "trades", "Bought and sold")
    assert sum(map(float, flow.columns["bought"])) == pytest.approx(bought)
    assert sum(map(float, flow.columns["sold"])) == pytest.approx(bought - volume)
    (sizes,) = shown(history, "trades", "Sizes")
    counted = [int(row["bought"]) + int(row["sold"]) for row in sizes.rows()]
    assert sum(counted) == figure(history, "trades", "Trades") == len(of_btc)


def test_a_long_range_sums_minutes_instead_of_seconds(history: History) -> None:
    """The same trades, from the other bucket."""
    flux = panel_of(boards.BY_UID["trades"], "Trades").query.flux
    opened = history.opened(boards.BY_UID["trades"])
    long = Asking(opened.influx, opened.stop_ms - 86_400_000, opened.stop_ms, opened.choices)
    assert '"1m" else "1s"' in flux
    total = sum(float(value) for frame in long.ask(flux) for value in frame.columns.get("_value", ()))
    assert total == len(trades_of_btc(history))


def test_the_tape_has_the_newest_trade_first(history: History) -> None:
    (tape,) = shown(history, "trades", "Tape")
    newest = max(trade["trade_id"] for trade in trades_of_btc(history))
    ids = [int(number) for number in tape.columns["trade_id"]]
    assert ids == list(range(newest, newest - 200, -1))


def test_every_symbol_of_every_exchange_is_compared(history: History) -> None:
    (table,) = shown(history, "compare", "Symbols")
    changes = {(row["exchange"], row["symbol"]): float(row["change"]) for row in table.rows()}
    lines = shown(history, "compare", "Change")
    assert set(changes) == {(of.labels["exchange"], of.labels["symbol"]) for of in lines} == set(MARKETS)
    (matrix,) = shown(history, "compare", "Correlation")
    names = [" ".join(market) for market in sorted(MARKETS)]
    assert matrix.columns["market"] == names
    for row in matrix.rows():
        assert float(row[row["market"]]) == pytest.approx(1)
        assert all(-1.000001 <= float(row[other]) <= 1.000001 for other in names)


def test_the_same_base_and_quote_stand_side_by_side(history: History) -> None:
    (table,) = shown(history, "compare", "Symbols")
    found = [(row["pair"], row["exchange"], row["symbol"]) for row in table.rows()]
    assert found[:4] == [
        ("BTCUSD", "binance", "BTCUSDC"),
        ("BTCUSD", "coinbase", "BTC-USD"),
        ("BTCUSD", "kraken", "BTC/USD"),
        ("ETHUSD", "binance", "ETHUSDC"),
    ]


def test_a_pair_that_is_chosen_offers_its_symbols_of_all_exchanges(history: History) -> None:
    chosen = history.opened(boards.BY_UID["compare"], pairs=["BTCUSD"]).choices
    assert chosen["symbols"] == ["BTC-USD", "BTC/USD", "BTCUSDC"]
    of_two = history.opened(boards.BY_UID["compare"], exchanges=["kraken", "coinbase"]).choices
    assert (of_two["pairs"], of_two["symbols"]) == (["BTCUSD"], ["BTC-USD", "BTC/USD"])


def test_exchanges_of_a_pair_have_a_distance_and_a_pair_of_one_exchange_has_none(history: History) -> None:
    frames = shown(history, "compare", "Distance between exchanges")
    distances = {
        (frame.labels["exchange"], frame.labels["symbol"]): [float(bp) for bp in frame.columns["_value"]]
        for frame in frames
    }
    prices = {("binance", "BTCUSDC"): 1.0, **ELSEWHERE}
    mean = sum(prices.values()) / len(prices)
    assert distances.keys() == prices.keys()
    for market, found in distances.items():
        assert len(found) > 100
        assert found == pytest.approx([(prices[market] / mean - 1) * 10_000] * len(found), abs=0.01)


def test_an_exchange_that_is_not_chosen_is_not_counted(history: History) -> None:
    """Of the others there are bars, and no ledger."""
    assert sum(map(len, shown(history, "pipeline", "Ledger by series", exchanges=["kraken"]))) == 0
    assert sum(map(len, shown(history, "pipeline", "Socket → store", exchanges=["kraken"]))) == 0
    assert figure(history, "pipeline", "Lost", exchanges=["binance", "kraken"]) == LOST_TRADES


def test_all_indicators_are_listed_closed_and_open(history: History) -> None:
    (table,) = shown(history, "indicators", "All indicators")
    rows = {row["indicator"]: row for row in table.rows()}
    assert len(rows) > 80
    assert rows["momentum_rsi"]["closed"] != rows["momentum_rsi"]["open"] != ""


def test_an_indicator_without_a_value_in_the_newest_bar_does_not_show_an_older_one(history: History) -> None:
    """The parabolic SAR is above the price or below it, never both."""
    (table,) = shown(history, "indicators", "All indicators")
    rows = {row["indicator"]: row for row in table.rows()}
    found = [rows.get(f"trend_psar_{side}", {}).get("closed", "") for side in ("up", "down")]
    assert sorted(map(bool, found)) == [False, True]
