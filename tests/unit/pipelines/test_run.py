"""Whole runs, in virtual time, over the simulator's protocol: what each leaves behind and says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots import alerts
from pipelines.snapshots.destinations import Destinations, open_destinations
from pipelines.snapshots.extract import ExchangeClock, SlotOver, SnapshotExchange
from pipelines.snapshots.frame import parquet_of
from pipelines.snapshots.landing.learned import save_bounds
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.query import ask, open_query
from pipelines.snapshots.result import RunResult, covers, problems_of
from pipelines.snapshots.rows import Origin
from pipelines.snapshots.run import run_slot
from pipelines.snapshots.settings import load_snapshot_settings
from pipelines.snapshots.table import summary_of
from producers.exchanges.binance.rest import BinanceRest
from tests.plain_exchange import BAR, PlainExchange, VirtualHost
from tests.snapshot_builders import SLOT, row
from tests.virtual_time import run_virtually

SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Stage:
    """An exchange, destinations on a disk, and runs one after the other.

    Attributes:
        change: of answers, by path and symbol: what is sent instead of a body.
    """

    def __init__(self, directory: Path, faults: Sequence[str] = (), symbols: Sequence[str] = SYMBOLS) -> None:
        self.market = PlainExchange(
            SYMBOLS, SLOT, SLOT + 40 * BAR, {"ETHUSDT": [range(SLOT + 20 * BAR, SLOT + 22 * BAR)]}
        )
        self.host = VirtualHost(self.market, SLOT - 1_000, faults)
        self.settings = load_snapshot_settings(snapshot_symbols=",".join(symbols), snapshot_dir=directory)
        self.origin: Origin = "scheduled"
        self.change: dict[tuple[str, str], Callable[[bytes], bytes]] = {}

    def run(
        self, *slots: int, late_s: float = 0.5, hinder: Callable[[Destinations], None] = lambda _: None
    ) -> list[RunResult]:
        async def runs() -> list[RunResult]:
            return [await self._run(slot, late_s, hinder) for slot in slots]

        return run_virtually(runs())

    async def _run(self, slot_ms: int, late_s: float, hinder: Callable[[Destinations], None]) -> RunResult:
        await asyncio.sleep(max(0.0, (slot_ms - self.host.now_ms()) / 1000 + late_s))
        exchange = SnapshotExchange("http://host", 0.5, ExchangeClock(self.host.now_ms))

        async def send(url: str, parameters: dict[str, str]) -> Any:
            status, headers, body = await self.host.answer(url, parameters, Counter())
            changed = self.change.get((url.split("/api/v3/")[1], parameters.get("symbol", "")))
            return status, headers, changed(body) if changed else body

        cast(BinanceRest, exchange.rest)._send = send  # type: ignore[method-assign]
        with open_destinations(self.settings) as destinations:
            hinder(destinations)
            return await run_slot(self.settings, exchange, destinations, slot_ms, self.origin)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with open_query(self.settings) as connection:
            return ask(connection, sql)[1]

    def rows(self) -> list[tuple[Any, ...]]:
        return self.ask(
            "SELECT symbol, strftime(slot, '%H:%M'), status, reason FROM snapshots ORDER BY slot, symbol"
        )


def statuses(result: RunResult) -> dict[str, tuple[str, str | None]]:
    return {row.symbol: (row.status, row.reason) for row in result.rows}


def failing(error: Exception, before: Callable[[], None] = lambda: None) -> Callable[[Destinations], None]:
    """Makes every request to a landing place end so."""

    def refuse(*_: Any) -> Any:
        before()
        raise error

    def hinder(destinations: Destinations) -> None:
        for name in ("names", "read", "write", "delete"):
            setattr(destinations.landing, name, refuse)

    return hinder


def test_a_run_takes_its_slot(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (result,) = stage.run(SLOT)
    assert result.complete and result.state == "complete" and problems_of(result) == []
    assert stage.rows() == [("BTCUSDT", "14:25", "complete", None), ("ETHUSDT", "14:25", "complete", None)]
    assert stage.ask("SELECT DISTINCT checked, failed FROM checks") == [(2, 0)]
    assert "2 complete; 1 slots landed" in summary_of(result)


def test_a_run_that_starts_early_waits_for_its_slot(tmp_path: Path) -> None:
    (result,) = Stage(tmp_path).run(SLOT, late_s=-0.4)
    assert result.complete and all(row.observed_time_ms >= SLOT for row in result.rows)


def test_a_late_run_fills_its_slot_from_klines(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (result,) = stage.run(SLOT, late_s=301)
    assert (result.late, result.state) == (True, "late")
    assert [problem.key for problem in problems_of(result)] == ["late"] and covers(result, "late")
    assert {row[2] for row in stage.rows()} == {"backfilled"}


def test_a_passed_slot_that_is_asked_for_says_nothing_of_the_scheduler(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.origin = "manual"
    (result,) = stage.run(SLOT, late_s=301)
    assert result.late and problems_of(result) == [] and not covers(result, "late")


def test_holes_between_runs_are_filled_and_a_halt_stays_missing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run(SLOT + 18 * BAR, SLOT + 24 * BAR)
    assert Counter((symbol, status) for symbol, _, status, _ in stage.rows()) == {
        ("BTCUSDT", "complete"): 2,
        ("BTCUSDT", "backfilled"): 5,
        ("ETHUSDT", "complete"): 2,
        ("ETHUSDT", "backfilled"): 3,
        ("ETHUSDT", "missing"): 2,
    }
    assert {row[3] for row in stage.rows() if row[2] == "missing"} == {"no_trading"}


def test_one_symbol_s_failure_costs_no_other_and_the_run_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ["rest_5xx:paths=depth,symbols=ETHUSDT,probability=1"])
    (result,) = stage.run(SLOT)
    assert result.state == "partial"
    assert statuses(result)["BTCUSDT"] == ("complete", None)
    status, reason = statuses(result)["ETHUSDT"]
    assert status == "missing" and "the exchange failed" in str(reason)
    assert [problem.key for problem in problems_of(result)] == ["symbol ETHUSDT"]


def test_a_limit_is_waited_for_as_the_exchange_asks(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ["rest_429:paths=trades,count=1,probability=1,retry_after=30"])
    (result,) = stage.run(SLOT)
    assert result.complete and stage.host.log[429] == 1
    assert max(row.observed_time_ms for row in result.rows) >= SLOT + 30_000


def test_a_ban_longer_than_the_slot_is_not_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ["rest_418:count=1,probability=1,retry_after=3600,paths=ticker/24hr"])
    (result,) = stage.run(SLOT)
    assert {status for status, _ in statuses(result).values()} == {"missing"}
    assert stage.host.log[418] == 1, "nothing is asked while banned"


def test_a_halted_and_an_unknown_symbol_are_missing_and_say_why(tmp_path: Path) -> None:
    stage = Stage(tmp_path, symbols=("BTCUSDT", "ETHUSDT", "NOSUCHUSDT"))
    stage.market.statuses["ETHUSDT"] = "HALT"
    (result,) = stage.run(SLOT)
    assert statuses(result) == {
        "BTCUSDT": ("complete", None),
        "ETHUSDT": ("missing", "halted (HALT)"),
        "NOSUCHUSDT": ("missing", "unknown_symbol"),
    }
    assert stage.ask("SELECT rule, checked, failed FROM checks WHERE failed > 0") == [("slot_complete", 3, 2)]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("depth", b'{"lastUpdateId":1,"bids":[],"asks":[]}', "quarantined: bids"),
        (
            "depth",
            b'{"lastUpdateId":1,"bids":[["9999","1"]],"asks":[["9998","1"]]}',
            "quarantined: bid_below_ask",
        ),
        ("ticker/24hr", b'{"symbol":"ETHUSDT"}', "closeTime"),
        ("ticker/24hr", b'{"symbol":"ETHUSDT","closeTime":1,"lastPrice":5}', "lastPrice"),
        ("trades", b'[{"id":1,"price":"1","qty":"x","time":1,"isBuyerMaker":true}]', "none of 1 rows"),
    ],
)
def test_bad_answers_are_quarantined_and_never_make_a_complete_row(
    tmp_path: Path, path: str, body: bytes, reason: str
) -> None:
    stage = Stage(tmp_path)
    stage.change[path, "ETHUSDT"] = lambda _body: body
    first, second = stage.run(SLOT, SLOT + BAR)
    assert statuses(first)["BTCUSDT"] == ("complete", None)
    status, why = statuses(first)["ETHUSDT"]
    assert status == "missing" and reason in str(why)
    quarantined = stage.ask("SELECT symbol, reason, content FROM quarantine")
    assert {symbol for symbol, _, _ in quarantined} == {"ETHUSDT"} and all(
        content for _, _, content in quarantined
    )
    # The next run fills the slot from klines.
    assert [(row.symbol, row.status) for row in second.filled] == [("ETHUSDT", "backfilled")]


def test_while_the_landing_place_is_away_rows_wait_and_stay_complete(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    results = stage.run(SLOT, SLOT + BAR, hinder=failing(LandingUnavailable("away")))
    assert [result.waiting for result in results] == [1, 2]
    assert not results[0].complete and results[0].failures == {"landing": "away"}
    # Told by every run, however often it was told as an alert.
    assert all("wait in the spool; landing: away;" in summary_of(result) for result in results)
    stage = Stage(tmp_path)
    (result,) = stage.run(SLOT + 2 * BAR)
    assert (result.waiting, result.landed, result.filled) == (0, 3, [])
    assert {status for _, _, status, _ in stage.rows()} == {"complete"} and len(stage.rows()) == 6


def test_a_place_that_refuses_costs_no_row(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    (result,) = stage.run(SLOT, hinder=failing(LandingMisconfigured("its key was renewed")))
    assert result.waiting == 1 and result.failures == {"landing": "its key was renewed"}


def test_a_passed_slot_is_filled_for_the_symbols_that_it_lacks_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, symbols=("BTCUSDT",))
    stage.run(SLOT)
    stage = Stage(tmp_path)
    stage.host = VirtualHost(stage.market, SLOT + BAR + 1_000)
    (result,) = stage.run(SLOT)
    assert statuses(result) == {"ETHUSDT": ("backfilled", "not taken")}
    assert [row[0::2] for row in stage.rows()] == [("BTCUSDT", "complete"), ("ETHUSDT", "backfilled")]
    assert stage.run(SLOT)[0].rows == []


@pytest.mark.thorough
def test_after_more_than_a_week_without_runs_the_last_week_is_filled(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    save_bounds(LocalLanding(tmp_path / "parquet"), date(2026, 7, 20), {})
    stage.settings = stage.settings.model_copy(update={"snapshot_cron": "0 * * * *"})
    (result,) = stage.run(SLOT + 19 * BAR)
    assert len(result.filled) == len(SYMBOLS) * 7 * 24
    # The exchange has bars from the beginning of its own market.
    assert {row.status for row in result.filled if row.slot_ms > SLOT} == {"backfilled"}


def test_a_place_that_is_slow_to_fail_does_not_keep_the_slot_waiting(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def slowly() -> None:
        stage.host._start_ms += 301_000  # longer than the slot lasts

    (result,) = stage.run(SLOT, hinder=failing(LandingUnavailable("away"), slowly))
    assert not result.late and {status for status, _ in statuses(result).values()} == {"complete"}


def test_a_symbol_whose_turn_comes_after_the_slot_is_not_asked_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    begun = stage.host.begun_ms

    async def turns() -> None:
        exchange = stage.host.client(0.5)
        exchange.clock.set_by(stage.host.now_ms() + BAR + 1_000, stage.host.now_ms(), stage.host.now_ms())
        with pytest.raises(SlotOver):
            await exchange.observe("BTCUSDT", SLOT + BAR)

    run_virtually(turns())
    assert begun == []


def test_problems_are_told_once_and_their_end_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)
    stage.settings = stage.settings.model_copy(update={"snapshot_webhook_url": SecretStr("http://hook")})
    sent: list[str] = []

    async def send(_url: str, messages: Sequence[alerts.Message]) -> None:
        sent.extend(f"{message.kind} {message.key}" for message in messages)

    monkeypatch.setattr(alerts, "send", send)
    stage.market.statuses["ETHUSDT"] = "HALT"
    stage.run(SLOT, SLOT + BAR)
    assert sent == ["problem symbol ETHUSDT"]
    stage.market.statuses.clear()
    stage.host = VirtualHost(stage.market, SLOT + BAR)
    stage.run(SLOT + 2 * BAR)
    assert sent == ["problem symbol ETHUSDT", "recovered symbol ETHUSDT"]


def test_a_run_that_did_not_see_a_symbol_does_not_call_it_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    stage.settings = stage.settings.model_copy(update={"snapshot_webhook_url": SecretStr("http://hook")})
    sent: list[str] = []

    async def send(_url: str, messages: Sequence[alerts.Message]) -> None:
        sent.extend(f"{message.kind} {message.key}" for message in messages)

    monkeypatch.setattr(alerts, "send", send)
    stage.market.statuses["ETHUSDT"] = "HALT"
    stage.run(SLOT)
    both = stage.settings
    stage.settings = both.model_copy(update={"snapshot_symbols": ("BTCUSDT",)})
    stage.host = VirtualHost(stage.market, SLOT + 60_000)
    stage.run(SLOT)
    stage.settings = both
    stage.host = VirtualHost(stage.market, SLOT + BAR + 1_000)
    stage.run(SLOT)
    assert sent == ["problem symbol ETHUSDT", "problem late"]


def test_an_alert_that_could_not_be_sent_is_sent_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    stage.settings = stage.settings.model_copy(update={"snapshot_webhook_url": SecretStr("http://hook")})
    tries: list[list[str]] = []

    async def send(_url: str, messages: Sequence[alerts.Message]) -> None:
        tries.append([message.kind for message in messages])
        if len(tries) == 1:
            raise alerts.AlertNotSent("away")

    monkeypatch.setattr(alerts, "send", send)
    stage.market.statuses["ETHUSDT"] = "HALT"
    stage.run(SLOT, SLOT + BAR, SLOT + 2 * BAR)
    assert tries == [["problem"], ["problem"]]


def test_of_two_missing_rows_of_a_key_queries_give_the_one_that_is_for_good(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    folder = tmp_path / "parquet/exchange=binance/date=2026-08-03"
    folder.mkdir(parents=True)
    # As a run leaves them that was killed while it compacted a day.
    (folder / "1425.parquet").write_bytes(parquet_of([row(status="missing", observed_ms=SLOT)]))
    (folder / "day.parquet").write_bytes(parquet_of([row(status="missing", reason="no_trading")]))
    assert stage.rows() == [("BTCUSDT", "14:25", "missing", "no_trading")]
