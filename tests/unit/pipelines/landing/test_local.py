from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import Landing, LandingUnavailable
from tests.landing_contract import LandingContract


class TestLocalLanding(LandingContract):
    @pytest.fixture
    def landing(self, tmp_path: Path) -> Landing:
        return LocalLanding(tmp_path / "landing")

    def test_a_write_that_dies_leaves_no_name_that_readers_take_for_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        landing = LocalLanding(tmp_path)

        def dies(_self: Path, _target: Path) -> Path:
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            landing.write("a/b.parquet", b"x", None)
        assert landing.names("a") == [] and list(tmp_path.rglob("*.parquet")) == []

    def test_a_place_that_cannot_be_written_says_where_rows_wait(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        with pytest.raises(LandingUnavailable, match=r"file.*wait in the spool"):
            LocalLanding(tmp_path / "file").write("a/b", b"x", None)
