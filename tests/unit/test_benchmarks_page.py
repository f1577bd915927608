"""The page of figures says what was measured, and whether it is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.peers.pins import CRYPTOFEED, PINS, QUIX, TELEGRAF
from scripts.make_benchmarks import page

MACHINE = {
    "cpu": "Made Up", "cores": 2, "python": "3.11.7", "date": "2026-01-02", "commit": "abc1234",
    "command": "make bench ARGS=store",
}  # fmt: skip


def results(directory: Path, ours: float) -> Path:
    rates = {
        "lines made before": [90.0, 100.0, 110.0],
        "… and compressed": [50.0, 60.0, 70.0],
        "CryptoStream": [ours - 1, ours, ours + 1],
        "Point, synchronous, a request each": [0.5, 0.6, 0.7],
    }
    (directory / "store.json").write_bytes(orjson.dumps({"machine": MACHINE, "points_per_s": rates}))
    return directory


@pytest.mark.parametrize(("ours", "share", "reached"), [(81.0, "81%", "yes"), (79.0, "79%", "**no**")])
def test_a_target_stands_beside_the_median_and_says_whether_it_is_reached(
    tmp_path: Path, ours: float, share: str, reached: str
) -> None:
    written = page(results(tmp_path, ours))
    assert f"| 80 % of posting lines made before | {share} | {reached} |" in written
    assert f"| CryptoStream | {ours:.0f} ({ours - 1:.0f}–{ours + 1:.0f}) |" in written


def test_machine_date_and_command_are_named_and_what_was_not_run_is_left_out(tmp_path: Path) -> None:
    written = page(results(tmp_path, 80.0))
    assert "`make bench ARGS=store`, 2026-01-02, commit abc1234, 2 vCPU Made Up" in written
    titles = [line for line in written.splitlines() if line.startswith("## ")]
    assert titles == ["## InfluxDB writer", "## Peers"]


def test_a_section_stays_until_its_benchmark_is_run_again(tmp_path: Path) -> None:
    before = page(results(tmp_path, 81.0))
    (tmp_path / "store.json").unlink()
    assert page(tmp_path, before) == before
    assert "79%" in page(results(tmp_path, 79.0), before)
    assert "81%" not in page(results(tmp_path, 79.0), before)


def side(*rounds: tuple[float, float, float]) -> list[dict[str, float]]:
    """Rounds of a rate, the CPU of the main thread and of the process."""
    return [
        {"messages_per_s": rate, "thread_us": thread, "cpu_us": process, "resident_mb": 80.0}
        for rate, thread, process in rounds
    ]


def written(directory: Path, name: str, **result: Any) -> str:
    machine = MACHINE | {"load": [0.3, 1.9]}
    (directory / f"{name}.json").write_bytes(orjson.dumps({"machine": machine, **result}))
    return page(directory)


def test_a_producer_s_targets_are_ratios_of_medians_by_the_main_thread(tmp_path: Path) -> None:
    sides = {
        "bare libraries": side((100_000, 7.0, 9.0), (120_000, 7.2, 9.0), (1_000, 700.0, 900.0)),
        "CryptoStream": side((90_000, 9.0, 11.0), (60_000, 9.0, 11.0), (80_000, 1.0, 11.0)),
    }
    text = written(tmp_path, "producer", messages=1_200_000, rounds=3, sides=sides)
    assert "| CPU of the main thread, bare loop / ours: ≥ 90 % | 80 % | **short by 10 points** |" in text
    assert "| rate, ours / bare loop: ≥ 85 % | 80 % | **short by 5 points** |" in text
    assert "1,200,000 messages a side, in 3 rounds in turn." in text
    assert "load 0.3 before and 1.9 after" in text
    assert "| CryptoStream | 80,000 (60,000–90,000) | 9.0 (1.0–9.0) | 11.0 (11.0–11.0) | 80 (80–80) |" in text


def test_cryptofeed_is_compared_by_the_whole_process(tmp_path: Path) -> None:
    sides = {CRYPTOFEED.title: side((2_000, 140.0, 140.0)), "CryptoStream": side((30_000, 7.0, 14.0))}
    result = {"messages": 420_000, "peer_messages": 84_000, "rounds": 1}
    text = written(tmp_path, "cryptofeed", **result, sides=sides)
    assert "| CPU of the process, cryptofeed 2.5.0 / ours: ≥ 10.00 × | 10.00 × | reached |" in text
    assert "420,000 messages of ours and 84,000 of cryptofeed's, which\ntake it longer" in text


def test_symbols_are_compared_with_a_single_one(tmp_path: Path) -> None:
    sides = {"1": side((1, 7.0, 8.0)), "10": side((1, 9.0, 9.0)), "100": side((1, 14.0, 15.0))}
    text = written(tmp_path, "symbols", messages=420_000, rounds=1, sides=sides)
    assert "| CPU a message, 100 symbols / 1: ≤ 1.60 × | 2.00 × | **short by 0.4 ×** |" in text


TRADES: dict[str, Any] = {
    "messages": 1_200_000,
    "rounds": 1,
    "encoding": "identity",
    "unavailable": "",
    "compared": 20_000,
    "different": 0,
}
TRADE_SIDES = {"bare libraries": side((40_000, 1, 5.0)), "CryptoStream": side((36_000, 1, 6.25))}


def test_trades_are_compared_with_the_bare_loop_and_with_telegraf(tmp_path: Path) -> None:
    sides = {**TRADE_SIDES, TELEGRAF.title: side((40_000, 1, 15.0))}
    text = written(tmp_path, "trades", **TRADES, sides=sides)
    assert "| rate, ours / bare loop: ≥ 85 % | 90 % | reached |" in text
    assert "| rate, ours / Telegraf 1.37.2: ≥ 1.10 × | 0.90 × | **short by 0.2 ×** |" in text
    assert "| trades that differ, of 20,000: ≤ 0 | 0 | reached |" in text
    assert "By CPU of the process ours has 80 % of the bare loop's pace." in text
    assert "All sides send their lines uncompressed" in text


def test_a_peer_that_could_not_be_had_is_said_in_one_line(tmp_path: Path) -> None:
    why = "Telegraf 1.37.2: go is not on the PATH; with Go it is compiled by itself"
    text = written(tmp_path, "trades", **TRADES | {"unavailable": why, "compared": 0}, sides=TRADE_SIDES)
    assert f"\nTelegraf 1.37.2 was not measured: {why}.\n" in text
    assert "/ Telegraf" not in text and "that differ" not in text


def test_bars_are_compared_with_quix_streams_by_rate_and_by_cpu(tmp_path: Path) -> None:
    sides = {QUIX.title: side((10_000, 1, 50.0)), "CryptoStream": side((20_000, 1, 40.0))}
    equal = {"compared": 599_340, "different": 2}
    text = written(tmp_path, "quix", messages=420_000, rounds=1, encoding="gzip", **equal, sides=sides)
    assert "| rate, ours / Quix Streams 3.28.1: ≥ 1.90 × | 2.00 × | reached |" in text
    assert (
        "| CPU of the process, Quix Streams 3.28.1 / ours: ≥ 1.90 × | 1.25 × | **short by 0.65 ×** |" in text
    )
    assert "| values that differ, of 599,340: ≤ 0 | 2 | **short by 2** |" in text
    assert "compressed by gzip" in text


def test_full_bars_are_compared_with_the_code_before(tmp_path: Path) -> None:
    sides = {"CryptoStream before": side((9_000, 1, 82.0)), "CryptoStream": side((10_000, 1, 70.0))}
    equal = {"compared": 100, "different": 0}
    text = written(tmp_path, "before", messages=420_000, rounds=1, commit="04a7337", **equal, sides=sides)
    assert "| CPU less than before: ≥ 10 % | 15 % | reached |" in text
    assert "Before: the consumers of commit 04a7337" in text


def test_end_to_end_the_worst_stream_counts_at_both_rates(tmp_path: Path) -> None:
    def state(rate: float, p50: float) -> dict[str, Any]:
        latencies = {
            "book stored": {"p50": 10.0, "p99": 300.0},
            "trades kafka": {"p50": 900.0, "p99": 900.0},
            "trades stored": {"p50": p50, "p99": 100.0},
        }
        cores = {"producer": 0.25, "trades": 0.35}
        held = dict.fromkeys(cores, 100.0)
        figures = {"messages_per_s": rate, "latencies_ms": latencies, "exchange_cores": rate / 10_000}
        return figures | {"cores": cores, "resident_mb": held}

    text = written(tmp_path, "end_to_end", steady=state(2_400, 28.0), busy=state(9_500, 61.0))
    assert "took 0.24 and 0.95 cores beside it." in text
    for row in (
        "| messages/s: ≥ 2,000 | 2,400 | reached |",
        "| … event → stored, p50: ≤ 40 ms | 28 ms | reached |",
        "| … p99: ≤ 250 ms | 300 ms | **short by 50 ms** |",
        "| … producers and consumers together: ≤ 0.50 core | 0.60 core | **short by 0.1 core** |",
        "| messages/s: ≥ 10,000 | 9,500 | **short by 500** |",
        "| … event → stored, p50: ≤ 60 ms | 61 ms | **short by 1 ms** |",
    ):
        assert row in text


def test_all_peers_are_listed_with_their_licences(tmp_path: Path) -> None:
    text = page(tmp_path)
    for pin in PINS:
        assert f"| {pin.title} | {pin.licence} | {pin.got} |" in text


def test_an_old_section_stays_until_the_benchmark_in_its_place_was_run(tmp_path: Path) -> None:
    old = "# Benchmarks\n\n## Producer and consumer path\n\n49% of the bare loop\n"
    kept = page(tmp_path, old)
    assert "## Producer and consumer path\n\n49% of the bare loop" in kept
    assert page(tmp_path, kept) == kept
    sides = {"bare libraries": side((1, 1, 1)), "CryptoStream": side((1, 1, 1))}
    assert "49%" in kept and "## Producer path" not in kept
    written(tmp_path, "producer", messages=1, rounds=1, sides=sides)
    assert "49%" not in page(tmp_path, kept)
