"""Results as a table, as JSON and in a page."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from chaos.report import as_json, as_page, as_table, begin_of, end_of, listed
from chaos.result import MOST_MB, Result
from chaos.scenarios import SCENARIOS
from chaos.venues import VENUES

BINANCE, KRAKEN = VENUES["binance"], VENUES["kraken"]
BEGIN, END = begin_of(BINANCE), end_of(BINANCE)
AT = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)


def result(name: str = "skip", **figures: Any) -> Result:
    values: dict[str, Any] = {
        "fired": 59,
        "records": Counter(trade=3, kline=1),
        "messages_per_s": 640.0,
        "rows": 7164,
        "recoveries_s": [3.0, 1.0, 2.0],
    }
    return Result(SCENARIOS[name], **{**values, **figures})


def test_a_run_that_kept_its_promises_says_so() -> None:
    kept = result()
    assert kept.broken() == []
    assert kept.recovery() == (2.0, 3.0)
    line = as_table([kept]).splitlines()[1]
    assert line.split()[0] == "skip"
    assert line.split()[-3:] == ["2.0", "3.0", "kept"]


def test_whatever_breaks_a_promise_is_named() -> None:
    differing = result()
    differing.differences.add("trade", "missing", "BTCUSDC 5")
    assert differing.broken() == ["trade: 1 missing: BTCUSDC 5"]
    assert result(lost=2).broken() == ["2 ids are lost"]
    assert result(silent_faults=("skip",)).broken() == ["skip never fired"]
    assert result(records=Counter()).broken() == ["the faults hit nothing"]
    assert result(rows=999).broken() == ["999 rows were compared, fewer than 1,000"]
    assert result(most_mb={"producer": MOST_MB + 1}).broken()[0].startswith("producer held 301 MB")
    assert result(messages_per_s=499.0).outcome == "too slow"
    assert result("kill-ledger").broken() == ["nothing was killed"]
    assert result("rollover", messages_per_s=1_200.0, rollovers=9).broken() == ["9 rollovers, not 10"]
    assert result(unexpected_exits=("ledger ended",)).broken() == ["ledger ended"]
    assert result("kill-kafka", kills=5, unexpected_exits=("ledger ended",)).broken() == []
    assert result(error="no broker").broken() == ["no broker"]


def test_json_has_the_figures() -> None:
    (entry,) = as_json([result()])
    assert entry["records"] == {"trade": 3, "kline": 1}
    assert entry["recoveries_s"] == [3.0, 1.0, 2.0]
    assert entry["broken"] == []


def test_results_replace_those_of_the_last_run_and_nothing_else() -> None:
    page = f"# Faults\n\nBefore.\n\n{BEGIN}\nformer rows\n{END}\n\nAfter.\n"
    written = as_page(page, [result()], AT)
    assert written.startswith("# Faults\n\nBefore.\n")
    assert written.endswith(f"{END}\nAfter.\n")
    assert "former rows" not in written
    assert "Last run: 2026-11-21 15:30 UTC, 1 scenarios, 0 kills, 1 kept every promise." in written
    assert as_page(written, [result()], AT) == written


def test_the_results_of_an_exchange_stand_between_its_own_lines() -> None:
    page = as_page("# Faults\n", [result("skip")], AT)
    both = as_page(f"{page}\n## Kraken\n", [result("drop")], AT, KRAKEN)
    assert both.startswith(page)
    assert both.count("| skip |") == both.count("| drop |") == 1
    again = as_page(both, [result("drop")], AT.replace(day=23))
    assert again.count("| drop |") == 2 and "## Kraken" in again
    assert as_page(again, [result("drop")], AT, KRAKEN) == again


def test_scenarios_that_an_exchange_cannot_have_are_named_with_the_reason() -> None:
    page = as_page("", [result("drop")], AT, KRAKEN)
    assert "revised-kline, wrong-kline (its streams have no bars)" in page
    assert "counter-jump (its messages are not counted)" in page
    assert "kill-producer" in page.partition("(no run is entered)")[0]


def test_the_list_names_every_scenario() -> None:
    for venue in VENUES.values():
        lines = listed(venue).splitlines()
        assert [line.split()[0] for line in lines] == list(SCENARIOS)
    assert "counter-jump               not here: its messages are not counted" in listed(KRAKEN)


def test_a_part_of_the_scenarios_leaves_the_rows_of_the_others_with_their_dates() -> None:
    page = as_page("", [result("skip"), result("drop")], AT)
    later = AT.replace(day=22)
    rows = [line for line in as_page(page, [result("skip")], later).splitlines() if line.startswith("| ")]
    assert [(row.split()[1], row.split()[-2]) for row in rows[1:]] == [
        ("drop", "2026-11-21"),
        ("skip", "2026-11-22"),
    ]
