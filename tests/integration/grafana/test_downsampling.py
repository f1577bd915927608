"""The tasks of influxdb/tasks on a real InfluxDB: late trades, a second run, equal to sums of the trades."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumers.enrich.port import Known
from consumers.enrich.trades import TradeEnricher
from consumers.measurements import TRADE, TRADE_SUMMARY, Point, Series
from consumers.stores.influxdb import InfluxStore
from shared.messages import TradeMessage
from tests.builders import trade
from tests.conftest import ROOT, Influx
from tests.integration.grafana.asking import Asking
from tests.integration.grafana.conftest import api, store_of

TASKS = {
    "1s": ROOT / "influxdb/tasks/trade_summary_1s.flux",
    "1m": ROOT / "influxdb/tasks/trade_summary_1m.flux",
}
WINDOW_MS = {"1s": 1_000, "1m": 60_000}
# Windows have ended, and lie within the day that each run looks at.
NOW_MS = int(time.time()) // 60 * 60_000
Summary = dict[str, float]


@dataclass
class Place:
    """Two buckets of a test's own, and the tasks on them."""

    server: Influx
    market: str
    ticks: str

    def store(self) -> InfluxStore:
        return store_of(self.server, influx_bucket_market=self.market, influx_bucket_ticks=self.ticks)

    def script(self, task: Path) -> str:
        text = task.read_text(encoding="utf-8")
        return text.replace('"market"', f'"{self.market}"').replace('"ticks"', f'"{self.ticks}"')

    def run(self, interval: str, now_ms: int = NOW_MS) -> int:
        """Run a script as the task at `now_ms`; how many windows it wrote."""
        at = f"time(v: {now_ms * 1_000_000})"
        text = self.script(TASKS[interval]).replace("option task", f"option now = () => {at}\n\noption task")
        return sum(map(len, self._asking().raw(text)))

    def summaries(self, interval: str, symbol: str = "BTCUSDC") -> dict[int, Summary]:
        """Window start in ms → fields."""
        bucket = self.ticks if interval == "1s" else self.market
        frames = self._asking().raw(
            f'from(bucket: "{bucket}") |> range(start: -7d)'
            f' |> filter(fn: (r) => r._measurement == "trade_summary" and r.interval == "{interval}"'
            f' and r.symbol == "{symbol}")'
            " |> map(fn: (r) => ({ms: int(v: r._time) / 1000000, field: r._field,"
            " _value: float(v: r._value)})) |> group()"
        )
        found: dict[int, Summary] = defaultdict(dict)
        for frame in frames:
            for row in frame.rows():
                found[int(row["ms"])][row["field"]] = float(row["_value"])
        return dict(found)

    def _asking(self) -> Asking:
        return Asking(self.server, 0, 0, {})


@pytest.fixture
def place(server: Influx, unique: str) -> Place:
    org_id = api(server, "GET", f"orgs?org={server.org}")["orgs"][0]["id"]
    place = Place(server, f"market-{unique}", f"ticks-{unique}")
    for name in (place.market, place.ticks):
        api(server, "POST", "buckets", {"orgID": org_id, "name": name, "retentionRules": []})
    return place


def tape(
    first_ms: int, count: int, *, step_ms: int = 250, first_id: int = 1, **fields: Any
) -> list[TradeMessage]:
    """Trades in a row, of odd prices and quantities."""
    return [
        trade(
            trade_id=first_id + number,
            trade_time_ms=first_ms + number * step_ms,
            received_time_ms=first_ms + number * step_ms + 5,
            price=f"{100 + number % 7}.{number % 10}1",
            quantity=f"0.{1 + number % 9}3",
            buyer_is_maker=number % 3 == 0,
            **fields,
        )
        for number in range(count)
    ]


def points(messages: Iterable[TradeMessage], *measurements: object) -> list[Point]:
    """What the consumer of trades makes of one batch; only points of these measurements, if any are named."""
    enricher = TradeEnricher()
    enricher.assign(0, Known(0, 1_000_000))
    made = enricher.receive([(0, offset, message) for offset, message in enumerate(messages)], 0).points
    return [point for point in made if not measurements or point.series.measurement in measurements]


def sums(messages: Sequence[TradeMessage], interval: str) -> dict[int, Summary]:
    """The summaries as they must be, by exact arithmetic."""
    windows: dict[int, list[TradeMessage]] = defaultdict(list)
    for message in messages:
        windows[message["trade_time_ms"] // WINDOW_MS[interval] * WINDOW_MS[interval]].append(message)
    return {start_ms: _sum(of_window) for start_ms, of_window in windows.items()}


def _sum(messages: Sequence[TradeMessage]) -> Summary:
    amounts = [(Decimal(m["price"]), Decimal(m["quantity"]), m["buyer_is_maker"]) for m in messages]
    base = sum((quantity for _, quantity, _ in amounts), Decimal(0))
    quote = sum((price * quantity for price, quantity, _ in amounts), Decimal(0))
    bought = sum((quantity for _, quantity, is_maker in amounts if not is_maker), Decimal(0))
    return {
        "trade_count": len(messages),
        "base_volume": float(base),
        "quote_volume": float(quote),
        "taker_buy_base_volume": float(bought),
        **({"vwap": float(quote / base)} if base else {}),
    }


def assert_equal(found: dict[int, Summary], expected: dict[int, Summary]) -> None:
    assert found.keys() == expected.keys()
    for start_ms, summary in expected.items():
        assert found[start_ms] == pytest.approx(summary, rel=1e-12)


@pytest.mark.parametrize("interval", TASKS)
def test_windows_without_a_summary_get_the_sum_of_their_trades(place: Place, interval: str) -> None:
    messages = tape(NOW_MS - 600_000, 1_000)
    place.store().write(points(messages, TRADE))
    assert place.run(interval) == len(sums(messages, interval))
    assert_equal(place.summaries(interval), sums(messages, interval))


@pytest.mark.parametrize("interval", TASKS)
def test_a_second_run_writes_nothing(place: Place, interval: str) -> None:
    place.store().write(points(tape(NOW_MS - 600_000, 500), TRADE))
    place.run(interval)
    before = place.summaries(interval)
    assert place.run(interval) == 0
    assert place.summaries(interval) == before


@pytest.mark.parametrize("interval", TASKS)
def test_exact_sums_of_the_consumer_are_not_touched(place: Place, interval: str) -> None:
    place.store().write(points(tape(NOW_MS - 600_000, 1_000)))
    before = place.summaries(interval)
    assert place.run(interval) == 0
    assert place.summaries(interval) == before


@pytest.mark.parametrize("interval", TASKS)
def test_late_trades_are_added_to_their_windows_and_only_those(place: Place, interval: str) -> None:
    first_ms = NOW_MS - 600_000
    messages = tape(first_ms, 1_000)
    late = tape(first_ms + 61_100, 3, first_id=5_001)
    store = place.store()
    store.write(points(messages))
    before = place.summaries(interval)
    store.write(points(late, TRADE))
    changed = set(sums(late, interval))
    assert place.run(interval) == len(changed)
    after = place.summaries(interval)
    assert_equal(after, sums([*messages, *late], interval))
    assert {start_ms for start_ms in after if after[start_ms] != before[start_ms]} == changed


@pytest.mark.parametrize("interval", TASKS)
def test_a_summary_of_more_trades_than_are_seen_is_left(place: Place, interval: str) -> None:
    """The consumer has just written it; the trades of its batch may not be readable yet."""
    messages = tape(NOW_MS - 600_000, 100)
    place.store().write(points(messages[:60], TRADE))
    place.store().write(points(messages, TRADE_SUMMARY))
    before = place.summaries(interval)
    assert place.run(interval) == 0
    assert place.summaries(interval) == before


def test_the_open_minute_is_the_consumers(place: Place) -> None:
    place.store().write(points(tape(NOW_MS, 100), TRADE))
    assert place.run("1m", NOW_MS + 30_000) == place.run("1s", NOW_MS + 30_000) == 0


@pytest.mark.parametrize("interval", TASKS)
def test_symbols_are_summed_apart(place: Place, interval: str) -> None:
    messages = {symbol: tape(NOW_MS - 600_000, 200, symbol=symbol) for symbol in ("BTCUSDC", "ETHUSDC")}
    messages["ETHUSDC"] = messages["ETHUSDC"][:150]
    place.store().write(points([*messages["BTCUSDC"], *messages["ETHUSDC"]], TRADE))
    place.run(interval)
    for symbol, of_symbol in messages.items():
        assert_equal(place.summaries(interval, symbol), sums(of_symbol, interval))


def test_what_is_days_late_is_found_within_the_hour(place: Place) -> None:
    """Beyond the day that every run looks at, the first run of each hour looks at six."""
    hour_ms = NOW_MS - NOW_MS % 3_600_000
    messages = tape(hour_ms - 5 * 86_400_000, 400)
    place.store().write(points(messages, TRADE))
    assert place.run("1m", hour_ms + 1_800_000) == 0
    assert place.run("1m", hour_ms) > 0
    assert_equal(place.summaries("1m"), sums(messages, "1m"))


def test_a_long_span_is_done_half_an_hour_at_a_time(place: Place) -> None:
    """So that the server's memory is bounded; each run goes on where the last one ended."""
    messages = tape(NOW_MS - 9_000_000, 150, step_ms=60_000)
    place.store().write(points(messages, TRADE))
    written = [place.run("1m") for _ in range(6)]
    assert written == [30, 30, 30, 30, 30, 0]
    assert_equal(place.summaries("1m"), sums(messages, "1m"))


def test_trades_without_volume_have_no_average_price(place: Place) -> None:
    series = Series(TRADE, ("binance", "BTCUSDC"))
    place.store().write([Point(series, (NOW_MS - 600_000) * 1_000_000 + 1, (1, 100.0, 0.0, True))])
    assert [place.run("1m"), place.run("1m")] == [1, 0]
    ((_, summary),) = place.summaries("1m").items()
    assert summary["trade_count"] == 1
    assert "vwap" not in summary


def test_a_batch_of_more_minutes_than_the_consumer_keeps_open_ends_up_whole(place: Place) -> None:
    """Sums of minutes that had to make room within one batch are the task's to write."""
    messages = tape(NOW_MS - 3_000_000, 160, step_ms=15_000)
    place.store().write(points(messages))
    for interval in TASKS:
        place.run(interval)
        assert_equal(place.summaries(interval), sums(messages, interval))


@pytest.mark.parametrize("interval", TASKS)
def test_the_server_takes_the_script_as_a_task_and_runs_it(place: Place, interval: str) -> None:
    messages = tape(NOW_MS - 600_000, 500)
    place.store().write(points(messages, TRADE))
    task = api(
        place.server, "POST", "tasks", {"org": place.server.org, "flux": place.script(TASKS[interval])}
    )
    assert (task["name"], task["every"], task["offset"]) == (f"trade_summary_{interval}", "10m", "1m")
    api(place.server, "POST", f"tasks/{task['id']}/runs", {})
    deadline = time.monotonic() + 30
    while (status := api(place.server, "GET", f"tasks/{task['id']}").get("lastRunStatus")) is None:
        assert time.monotonic() < deadline, "the run has not ended"
        time.sleep(0.1)
    assert status == "success", api(place.server, "GET", f"tasks/{task['id']}/logs")
    assert_equal(place.summaries(interval), sums(messages, interval))
