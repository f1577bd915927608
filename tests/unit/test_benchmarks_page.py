"""The page of figures says what was measured, and whether it is enough."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

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
    assert [line for line in written.splitlines() if line.startswith("## ")] == ["## InfluxDB writer"]


def test_a_section_stays_until_its_benchmark_is_run_again(tmp_path: Path) -> None:
    before = page(results(tmp_path, 81.0))
    (tmp_path / "store.json").unlink()
    assert page(tmp_path, before) == before
    assert "79%" in page(results(tmp_path, 79.0), before)
    assert "81%" not in page(results(tmp_path, 79.0), before)
