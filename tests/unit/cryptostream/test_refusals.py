"""What a command refuses before it starts anything."""

from __future__ import annotations

from collections.abc import Callable
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


HEAP = "0123456789abcdef" * 10


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.write_bytes(bytes(range(256)) * 100),
        lambda file: file.write_text(HEAP),
        lambda file: file.write_text("{}\n" * 10),
        lambda file: file.write_text(""),
        lambda file: file.symlink_to("/proc/self/mem"),
    ],
)
def test_a_run_of_what_is_no_recording_starts_nothing(
    make: Callable[[Path], object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    make(file)
    assert main(["run", "--source", "file", "--broker", "memory", "--no-ui"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: file") and "expected frames of Binance spot" in said.err
    assert said.out == "" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x" * 90_000, "cannot be read (File name too long)"),
        ("/dev/zero", "no file, but a folder or a device"),
        (".", "no file, but a folder or a device"),
        ("none", "no such file"),
    ],
)
def test_a_source_that_cannot_be_one_is_named(
    source: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--source", source, "--broker", "memory", "--no-ui"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --source {source[:100]}") and f": {told}; name recordings" in said
    assert len(said) < 1_000


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "--faults", "/dev/zero"],
        ["produce", "--bearings", "/dev/zero"],
        ["produce", "--stored", "/dev/zero"],
    ],
)
def test_a_file_without_end_is_not_read_to_its_end(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {words[1]}") and "/dev/zero cannot be read (it is longer than " in said


@pytest.mark.parametrize("symbol", ["", " ", "kraken:"])
@pytest.mark.parametrize(
    "words",
    [
        ["query", "trades", "SYMBOL"],
        ["query", "instruments", "SYMBOL"],
        ["ledger", "--symbol", "SYMBOL"],
        ["repair", "SYMBOL", "trades", "--from", "1", "--to", "2"],
        ["dead-letters", "list", "--symbol", "SYMBOL"],
        ["dead-letters", "replay", "--symbol", "SYMBOL"],
        ["run", "--symbols", "SYMBOL", "--source", "simulator", "--broker", "memory", "--no-ui"],
        ["produce", "--symbols", "SYMBOL"],
        ["simulate", "--symbols", "SYMBOL", "--exchange", "kraken", "--seed", "1"],
        ["snapshots", "run", "--symbols", "SYMBOL"],
        ["api", "--symbols", "SYMBOL"],
    ],
)
def test_a_symbol_that_is_empty_is_one_line(
    words: list[str], symbol: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("SQLITE_PATH", "none.sqlite")
    assert main([symbol if word == "SYMBOL" else word for word in words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.out == ""
    assert ("write one like BTCUSDC" in said.err) or symbol == "kraken:"


LONG = "x" * 90_000


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--source", "live", "--issued-log", LONG],
        ["run", "--broker", LONG],
        ["run", "--data-dir", LONG, "--source", "simulator", "--broker", "memory", "--no-ui"],
        ["simulate", "--fault", LONG],
        ["simulate", "--fault", f"skip:streams={LONG}"],
        ["simulate", "--faults", LONG],
        ["simulate", "--log", LONG],
        ["simulate", "--replay", LONG],
        ["simulate", "--port", "9" * 4_000],
        ["simulate", "--host", LONG],
        ["query", "klines", LONG, LONG],
        ["query", "trades", "BTCUSDC", "--exchange", LONG],
        ["query", "trades", "BTCUSDC", "--data-dir", LONG],
        ["query", "trades", "BTCUSDC", "--from", LONG],
        ["query", "trades", "BTCUSDC", "--last", "9" * 5_000],
        ["indicators", LONG],
        ["indicators", "--indicators", LONG, "none"],
        ["indicators", "--indicators", f"trend_sma_fast({LONG})", "none"],
        ["indicators", "--interval", LONG, "none"],
        ["ledger", "--data-dir", LONG],
        ["ledger", "--interval", LONG],
        ["repair", LONG, "klines", LONG, "--from", "1", "--to", "2"],
        ["repair", "BTCUSDC", "trades", "--from", LONG, "--to", LONG],
        ["dead-letters", "show", LONG],
        ["topics", "--intervals", LONG],
        ["produce", "--symbols", f"!{LONG}"],
        ["produce", "--bearings", LONG],
        ["produce", "--stored", LONG],
        ["consume", "--stream", LONG],
        ["consume", "--stream", "klines", "--intervals", LONG],
        ["chaos", LONG],
        [LONG],
        ["doctor", LONG],
    ],
)
def test_no_argument_is_repeated_whole(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    try:
        code: str | int | None = main(words)
    except SystemExit as end:  # of argparse
        code = end.code
    said = capsys.readouterr()
    assert code in (1, 2) and "error: " in said.err
    assert "unexpected" not in said.err and len(said.err) + len(said.out) < 6_000
