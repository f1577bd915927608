from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.metrics import ServiceMetrics
from shared.slots import Slot


def test_replicas_take_the_first_free_slots_and_services_do_not_disturb_each_other(tmp_path: Path) -> None:
    first, second = Slot(tmp_path, "consumer-klines-1s"), Slot(tmp_path, "consumer-klines-1s")
    assert (first.name, second.name) == ("0", "1")
    assert Slot(tmp_path, "consumer-trades").name == "0"
    first.release()
    assert Slot(tmp_path, "consumer-klines-1s").name == "0"


def test_a_killed_process_holds_no_slot(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from shared.slots import Slot; "
        "slot = Slot(pathlib.Path(sys.argv[1]), 'consumer'); print(slot.name, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "0"
        assert Slot(tmp_path, "consumer").name == "1"
        other.kill()
        other.wait(10)
    assert Slot(tmp_path, "consumer").name == "0"


def test_figures_are_named_by_instance_else_by_slot_else_by_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INSTANCE", raising=False)
    monkeypatch.delenv("INSTANCE_SLOTS", raising=False)
    assert ServiceMetrics("consumer").instance == "0"
    monkeypatch.setenv("INSTANCE_SLOTS", str(tmp_path))
    replicas = [ServiceMetrics("consumer") for _ in range(3)]
    assert [replica.instance for replica in replicas] == ["0", "1", "2"]
    monkeypatch.setenv("INSTANCE", "west")
    assert ServiceMetrics("consumer").instance == "west"


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"INSTANCE_SLOTS: .* cannot be used"):
        Slot(tmp_path / "nothing", "consumer")
