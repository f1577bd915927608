from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from cryptostream.cli import main
from shared.errors import UsageError


def test_without_the_extras_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Whatever is installed here: all of them but one.
    installed = importlib.util.find_spec("pytest")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == "prefect" else installed
    )
    assert main(["snapshots", "run"]) == 2
    assert capsys.readouterr().err == (
        "error: snapshots: needs prefect, which the core does without; "
        "install the extras by: make setup-snapshots\n"
    )


def _extras() -> bool:
    return importlib.util.find_spec("prefect") is not None


class TestWithExtras:
    @pytest.fixture(autouse=True)
    def _needs_extras(self) -> None:
        if not _extras():
            pytest.skip("the snapshot pipeline's extras are not installed; get them by: make setup-snapshots")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["run", "--symbols", "BTC/USDT"], "is not a symbol"),
            (["run", "--slot", "2026-08-03T14:26"], "is no slot of SNAPSHOT_CRON"),
            (["run", "--slot", "2100-01-01T00:00"], "is still to come"),
            (["run", "--landing", "s3://x"], "is not an address of snapshots"),
            (["query", "SELECT nothing FROM snapshots"], "query: Binder Error"),
            (["query", "SELECT * FROM read_text('/etc/hostname')"], "query: Permission Error"),
            (["query", " "], "query: no statement"),
            (["deploy"], "PREFECT_API_URL: not set"),
            (["schema", "--apply"], "SNOWFLAKE_ACCOUNT: not set"),
        ],
    )
    def test_bad_input_is_one_clear_line(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        message: str,
    ) -> None:
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
        if arguments[0] in {"run", "query", "deploy"}:
            arguments = [*arguments, "--dir", str(tmp_path)]
        assert main(["snapshots", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("error: ") and error.count("\n") == 1

    def test_landed_rows_are_answered_as_table_csv_and_json(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _land(tmp_path)

        def said(form: str) -> str:
            sql = "SELECT symbol, slot, last_price, best_bid FROM snapshots ORDER BY slot"
            assert main(["snapshots", "query", sql, "--dir", str(tmp_path), "--format", form]) == 0
            return capsys.readouterr().out

        assert said("table").splitlines() == [
            "symbol   slot              last_price  best_bid",
            "BTCUSDT  2026-08-03 14:25       100.5     100.4",
            "BTCUSDT  2026-08-03 14:30       100.5         –",
        ]
        assert said("csv").splitlines()[2] == "BTCUSDT,2026-08-03T14:30:00+00:00,100.5,"
        assert '"best_bid":null' in said("json").splitlines()[1]

    def test_times_in_csv_keep_their_milliseconds_and_their_zone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _land(tmp_path)
        sql = "SELECT observed_time FROM snapshots ORDER BY slot LIMIT 1"
        assert main(["snapshots", "query", sql, "--dir", str(tmp_path), "--format", "csv"]) == 0
        assert capsys.readouterr().out.splitlines()[1] == "2026-08-03T14:25:00.400000+00:00"

    def test_an_empty_answer_is_told_by_the_exit_code(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _land(tmp_path)
        assert main(["snapshots", "query", "SELECT * FROM quarantine", "--dir", str(tmp_path)]) == 1
        assert capsys.readouterr().err == ""

    def test_where_nothing_has_landed_the_answer_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        _land(tmp_path / "data/simulator/snapshots")
        sql = "SELECT symbol FROM snapshots"
        assert main(["snapshots", "query", sql]) == 1
        assert capsys.readouterr().err.startswith("nothing has landed in data/snapshots yet; name another")
        assert main(["snapshots", "query", sql, "--source", "simulator"]) == 0

    @pytest.mark.parametrize("source", ["live", "simulator"])
    def test_a_directory_that_cannot_be_made_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
    ) -> None:
        (tmp_path / "file").touch()
        for part in ("run", "serve"):
            assert main(["snapshots", part, "--source", source, "--dir", str(tmp_path / "file")]) == 2
            error = capsys.readouterr().err
            assert error.startswith("error: SNAPSHOT_DIR: ") and error.count("\n") == 1

    def test_tracebacks_are_shown_where_they_are_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            main(["snapshots", "query", "", "--dir", str(tmp_path), "--debug"])

    def test_the_report_is_one_page_without_anything_from_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _land(tmp_path)
        monkeypatch.setattr("time.time_ns", lambda: 1_785_767_400_000 * 10**6 + 5)
        out = tmp_path / "day.html"
        arguments = ["--symbols", "BTCUSDT,ETHUSDT", "--dir", str(tmp_path), "--out", str(out)]
        assert main(["snapshots", "report", *arguments]) == 0
        page = out.read_text(encoding="utf-8")
        assert "<h2>BTCUSDT 100.5 <span class=up>+1.515 %</span></h2>" in page and "0.35 %" in page
        assert "http" not in page and "<script" not in page
        assert page.count("<svg") == 4, "two charts and two strips: of ETHUSDT nothing is known"


def _land(directory: Path) -> None:
    from pipelines.snapshots.landing.files import SnapshotFiles
    from pipelines.snapshots.landing.local import LocalLanding
    from tests.snapshot_builders import FIVE_MINUTES, SLOT, row

    files = SnapshotFiles(LocalLanding(directory / "parquet"), FIVE_MINUTES)
    files.land([row(), row(SLOT + FIVE_MINUTES, "backfilled")])
