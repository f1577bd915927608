"""A power cut takes ends of logs, each for itself, and nothing that was written out."""

from __future__ import annotations

import random
from pathlib import Path

from chaos.power import UNWRITTEN_S, Power

OLD, NEW = b"old" * 10_000, b"new" * 10_000
NEWEST = f"{1_000:020d}.log"


def broker(directory: Path) -> list[Path]:
    """The newest segments of its logs."""
    newest = []
    for name in (*(f"market.trades-{number}" for number in range(40)), "__consumer_offsets-0"):
        partition = directory / name
        partition.mkdir(parents=True)
        (partition / f"{0:020d}.log").write_bytes(OLD)
        (partition / NEWEST).write_bytes(OLD)
        (partition / f"{1_000:020d}.index").write_bytes(OLD)
        newest.append(partition / NEWEST)
    (directory / "__cluster_metadata-0").mkdir()
    (directory / "__cluster_metadata-0" / NEWEST).write_bytes(OLD + NEW)
    (directory / ".kafka_cleanshutdown").write_text("")
    return newest


def written_on(newest: list[Path]) -> None:
    for path in newest:
        path.write_bytes(OLD + NEW)


def test_each_newest_segment_loses_some_of_what_is_young_and_nothing_else_changes(tmp_path: Path) -> None:
    newest = broker(tmp_path)
    power = Power(tmp_path, random.Random(1))
    power.look(0.0)
    written_on(newest)
    power.look(UNWRITTEN_S - 1)
    cut = power.cut()
    left = [path.read_bytes() for path in newest]
    assert all(content.startswith(OLD) and (OLD + NEW).startswith(content) for content in left)
    assert {len(OLD), len(OLD + NEW)} < {len(content) for content in left}, "all, nothing, and something"
    assert cut.lost_bytes == sum(len(OLD + NEW) - len(content) for content in left)
    assert cut.logs == sum(content != OLD + NEW for content in left)
    assert (tmp_path / "__cluster_metadata-0" / NEWEST).read_bytes() == OLD + NEW
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    others = [*tmp_path.rglob("*.index"), *tmp_path.rglob(f"{0:020d}.log")]
    assert all(path.read_bytes() == OLD for path in others)


def test_what_was_written_out_is_safe(tmp_path: Path) -> None:
    newest = broker(tmp_path)
    power = Power(tmp_path, random.Random(1))
    written_on(newest)
    power.look(0.0)
    for second in range(1, 30):
        power.look(float(second))
    assert power.cut().lost_bytes == 0


def test_the_same_seed_is_the_same_cut(tmp_path: Path) -> None:
    left = []
    for name in ("one", "other"):
        newest = broker(tmp_path / name)
        power = Power(tmp_path / name, random.Random(7))
        power.look(0.0)
        written_on(newest)
        power.cut()
        left.append([path.read_bytes() for path in newest])
    assert left[0] == left[1]
