"""What a command refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptostream.cli import main


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["nope", "trend_sma_fast(1e400)", "momentum_rsi(100000000)"])
def test_a_run_whose_consumers_would_refuse_its_indicators_starts_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("INDICATORS", name)
    words = ["--source", "simulator", "--broker", "memory", "--no-ui", "--duration", "1"]
    assert main(["run", *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: INDICATORS: ") and said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_can_have_no_address_is_named(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--host", host]) == 2
    assert capsys.readouterr().err.startswith(f"error: --host {host}: is no name of a host")
