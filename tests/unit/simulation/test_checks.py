"""A run that kept its promises passes; each kind of broken promise has a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from chaos.checks import recomputed
from chaos.exchange_log import BAR_FIELDS, read_exchange_log
from chaos.ledger_oracle import Claims
from chaos.market import Market, Window
from chaos.run_checks import Found
from chaos.store_export import Export
from chaos.topic_invariants import report_of
from consumers.indicators.registry import indicator_set
from shared.topics import TRADES, klines_topic
from tests.builders import kline, ledger, trade
from tests.simulation.checks import Aftermath, failures_of, market_of
from tests.simulation.disturbances import Disturbance, ExchangeFault, PowerCut
from tests.simulation.schedule import Schedule

BEGIN_MS = 1_790_000_040_000
SECONDS = 5
SYMBOL = "BTCUSDC"
SCHEDULE = Schedule(1, BEGIN_MS, (SYMBOL,), float(SECONDS), 1.0, 0)
MARKET = market_of(SCHEDULE, ("1s",))


def entries() -> list[dict[str, Any]]:
    """One trade and one bar a second."""
    made: list[dict[str, Any]] = []
    for n in range(SECONDS):
        at_ms = BEGIN_MS + n * 1_000
        numbers = dict.fromkeys(BAR_FIELDS, "2") | {"trade_count": 1}
        made.append(
            {"kind": "trade", "symbol": SYMBOL, "trade_id": n + 1, "trade_time_ms": at_ms}
            | {"price": "2", "quantity": "3", "buyer_is_maker": False}
        )
        made.append(
            {"kind": "kline", "symbol": SYMBOL, "interval": "1s", "open_time_ms": at_ms}
            | {"close_time_ms": at_ms + 999, **numbers}
        )
    return made


def values(topic: str) -> list[bytes]:
    """What is on the topics."""
    if topic == TRADES:
        made: list[Any] = [
            trade(trade_id=n + 1, trade_time_ms=BEGIN_MS + n * 1_000, price="2") for n in range(SECONDS)
        ]
    elif topic == klines_topic("1s"):
        same = dict.fromkeys(BAR_FIELDS, "2") | {"trade_count": 1}
        made = [
            kline(interval="1s", open_time_ms=at, close_time_ms=at + 999, **same)
            for at in range(BEGIN_MS, BEGIN_MS + SECONDS * 1_000, 1_000)
        ]
    else:
        made = []
    return [orjson.dumps(message) for message in made]


def claims(stored_trades: int = SECONDS) -> Claims:
    made = Claims()
    first, last = BEGIN_MS, BEGIN_MS + (SECONDS - 1) * 1_000
    for kind, trades in (("expected", SECONDS), ("stored", stored_trades)):
        made.receive(ledger(stream="trades", interval=None, kind=kind, first=1, last=trades, count=trades))
        made.receive(ledger(stream="klines", interval="1s", kind=kind, first=first, last=last, count=SECONDS))
    return made


def aftermath(values: Callable[[str], list[bytes]] = values) -> Aftermath:
    """Of a run that kept everything."""
    log = read_exchange_log(map(orjson.dumps, entries()))
    indicators = indicator_set(("all",))
    bars = dict(log.bars[SYMBOL, "1s"])
    export = Export(
        Window(BEGIN_MS, BEGIN_MS + SECONDS * 1_000),
        indicators.columns,
        {SYMBOL: list(log.trades[SYMBOL].values())},
        {(SYMBOL, "1s"): bars},
        {(SYMBOL, "1s"): recomputed(indicators, bars, BEGIN_MS)},
    )
    rows: dict[str, list[Mapping[str, Any]]] = {
        "trade": [{"symbol": SYMBOL, **point._asdict()} for point in log.trades[SYMBOL].values()],
        "kline": [
            {"symbol": SYMBOL, "interval": "1s", "time_ns": at * 1_000_000}
            | dict(zip(BAR_FIELDS, numbers, strict=True))
            for at, numbers in bars.items()
        ],
        "ledger": [
            {"exchange": "binance", "symbol": SYMBOL, "stream": stream, "interval": interval}
            | {"time_ns": 0, "stored": SECONDS, "duplicates": 0}
            for stream, interval in (("trades", ""), ("klines", "1s"))
        ],
    }
    return Aftermath(Found(export, log, report_of(values, ("1s",)), claims()), entries(), rows)


def checks_of(after: Aftermath, schedule: Schedule = SCHEDULE, market: Market = MARKET) -> set[str]:
    return {failure.check for failure in failures_of(schedule, market, after)}


def test_a_run_that_kept_everything_passes() -> None:
    assert failures_of(SCHEDULE, MARKET, aftermath()) == ()


def test_what_is_not_stored_and_claimed_is_found_by_each_of_the_checks() -> None:
    after = aftermath()
    del after.found.export.trades[SYMBOL][2]
    after = replace(after, rows={**after.rows, "trade": after.rows["trade"][1:]})

    assert checks_of(after) == {"trade missing", "ledger unknown", "oracle missing", "oracle claimed"}


def test_ids_that_nobody_claims_are_missing() -> None:
    after = aftermath()
    found = replace(after.found, claims=claims(stored_trades=SECONDS - 1))

    assert "ledger missing" in checks_of(replace(after, found=found))


def test_a_ledger_whose_rows_count_twice_is_found() -> None:
    after = aftermath()
    twice = [{**row, "stored": SECONDS + 1} for row in after.rows["ledger"]]

    assert checks_of(replace(after, rows={**after.rows, "ledger": twice})) == {
        "ledger rows",
        "oracle claimed",
    }


def test_lost_ids_are_a_failure_where_everything_can_be_fetched() -> None:
    after = aftermath()
    lost = ledger(stream="trades", interval=None, kind="lost", first=3, last=3, count=1)
    after.found.claims.receive(lost)

    assert checks_of(after) == {"lost"}


def test_a_record_twice_on_its_topic_is_found() -> None:
    def twice(topic: str) -> list[bytes]:
        return values(topic) * 2 if topic == TRADES else values(topic)

    assert checks_of(aftermath(twice)) == {"market.trades twice"}


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"pending": "3 ids are missing"}, "pending"),
        ({"exits": ("trades: ended with 1",)}, "exit"),
        ({"errors": ("Task exception was never retrieved",)}, "error"),
        ({"bad_events": 1}, "bad ledger event"),
    ],
)
def test_ends_and_errors_of_services_are_failures(changed: dict[str, Any], check: str) -> None:
    assert checks_of(replace(aftermath(), **changed)) == {check}


def test_holes_are_a_failure_where_every_connection_brings_everything() -> None:
    after = aftermath()
    gap = ledger(stream="trades", interval=None, kind="gap", first=3, last=3, count=1)
    after.found.claims.receive(gap)

    assert checks_of(after) == {"needless gap"}
    assert checks_of(after, SCHEDULE.only((ExchangeFault("drop:at=3", 0),))) == set()


def test_of_the_bar_in_which_the_market_stops_no_message_can_come() -> None:
    after = replace(aftermath(), stopped_ms=BEGIN_MS + 4_500)
    for second, found in ((4, set()), (3, {"needless gap"})):
        open_ms = BEGIN_MS + second * 1_000
        after.found.claims.receive(
            ledger(stream="klines", interval="1s", kind="gap", first=open_ms, last=open_ms, count=1)
        )
        assert checks_of(after) == found


def test_a_bar_that_the_ledger_calls_revised_was_sent_wrong_or_again() -> None:
    after = aftermath()
    after.found.claims.receive(
        ledger(stream="klines", interval="1s", kind="revised", first=BEGIN_MS, last=BEGIN_MS, count=1)
    )

    assert checks_of(after) == {"unfounded revised"}
    for altering in ("wrong_kline", "revised_kline"):
        assert checks_of(after, SCHEDULE.only((ExchangeFault(f"{altering}:at=3", 0),))) == set()


@pytest.mark.parametrize("beside", [(), (PowerCut(3.0, 0.5),)])
def test_bars_may_differ_only_where_the_exchange_altered_them_and_the_ledger_says_so(
    beside: tuple[Disturbance, ...],
) -> None:
    wrong = SCHEDULE.only((ExchangeFault("wrong_kline:at=3", 0), *beside))
    after = aftermath()
    series, open_ms = (SYMBOL, "1s"), BEGIN_MS + 2_000
    numbers = (3.0, *after.found.export.bars[series][open_ms][1:])
    after.found.export.bars[series][open_ms] = numbers
    stored = recomputed(indicator_set(("all",)), after.found.export.bars[series], BEGIN_MS)
    after.found.export.indicators[series] = stored

    assert "kline different" in checks_of(after, wrong)
    said = ledger(stream="klines", interval="1s", kind="revised", first=open_ms, last=open_ms, count=1)
    after.found.claims.receive(said)
    assert checks_of(after, wrong) == set()
