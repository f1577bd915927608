"""What a peer's user was shown is written as it came, or only counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers.clients.lines import Lines


def test_trades_and_books_are_lines_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(tmp_path / "lines")
    lines.trade("BTC-USD", 7, "BUY", 100.5, "0.1")
    lines.book("BTC-USD", 1_000, [(100, 2)], [[101.0, 1]])
    lines.close()
    written = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert written == [
        ["trade", "BTC-USD", "7", "buy", "100.5", "0.1"],
        ["book", "BTC-USD", 1_000, [["100", "2"]], [["101.0", "1"]]],
    ]
    assert json.loads(capsys.readouterr().out) == {"counts": {"trade": 1, "book": 1}}


def test_a_line_is_on_disk_before_the_program_ends(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "lines")
    lines.told("BTC-USD", "NetworkError: gone")
    assert (tmp_path / "lines").read_text().endswith('gone"]\n')
    lines.close()


def test_without_a_file_they_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(None)
    lines.book("BTC-USD", None, (), ())
    lines.trade("BTC-USD", 1, "sell", 1, 1)
    assert not lines.wanted
    lines.close()
    assert json.loads(capsys.readouterr().out)["counts"] == {"book": 1, "trade": 1}
