"""A power cut takes ends of logs, each for itself, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

from cryptostream.chaos.power import Cut, cut_power

CONTENT = bytes(range(256)) * 400


def broker(directory: Path) -> Path:
    for name in (*(f"market.trades-{number}" for number in range(40)), "__consumer_offsets-0"):
        partition = directory / name
        partition.mkdir(parents=True)
        (partition / f"{0:020d}.log").write_bytes(CONTENT)
        (partition / f"{1_000:020d}.log").write_bytes(CONTENT)
        (partition / f"{1_000:020d}.index").write_bytes(CONTENT)
    metadata = directory / "__cluster_metadata-0"
    metadata.mkdir()
    (metadata / f"{0:020d}.log").write_bytes(CONTENT)
    (directory / ".kafka_cleanshutdown").write_text("")
    return directory


def logs(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*.log"))}


def test_each_newest_segment_loses_its_end_and_nothing_else_changes(tmp_path: Path) -> None:
    directory = broker(tmp_path)
    cut = cut_power(directory, random.Random(1))
    left = logs(directory)
    assert all(CONTENT.startswith(content) for content in left.values())
    whole = {name for name, content in left.items() if content == CONTENT}
    assert {name for name in left if "0000.log" in name and "1000" not in name} <= whole
    assert "__cluster_metadata-0/00000000000000000000.log" in whole
    assert not (directory / ".kafka_cleanshutdown").exists()
    assert all(path.read_bytes() == CONTENT for path in directory.rglob("*.index"))
    assert cut == Cut(len(left) - len(whole), sum(len(CONTENT) - len(content) for content in left.values()))
    lengths = [len(content) for name, content in left.items() if "1000.log" in name]
    assert len(CONTENT) in lengths, "some lose nothing"
    assert any(length < len(CONTENT) - 32 * 1024 for length in lengths), "some lose much"


def test_the_same_seed_is_the_same_cut(tmp_path: Path) -> None:
    for name in ("one", "other"):
        cut_power(broker(tmp_path / name), random.Random(7))
    assert logs(tmp_path / "one") == logs(tmp_path / "other")
