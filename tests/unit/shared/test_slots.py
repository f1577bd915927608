from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.metrics import ServiceMetrics
from shared.slots import Slot, count_start


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


def test_every_start_of_a_service_and_instance_counts_those_before_it(tmp_path: Path) -> None:
    assert [count_start(tmp_path, "producer", "BTCUSDC") for _ in range(3)] == [0, 1, 2]
    assert count_start(tmp_path, "producer", "ETHUSDC") == 0
    assert count_start(tmp_path, "consumer", "BTCUSDC") == 0


def test_a_count_that_power_failure_left_unreadable_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "producer.0.starts").write_bytes(b"\x00\xff")
    assert [count_start(tmp_path, "producer", "0") for _ in range(2)] == [0, 1]


def test_a_service_that_was_started_again_says_how_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTANCE_SLOTS", str(tmp_path))
    monkeypatch.setenv("INSTANCE", "BTCUSDC")
    said = [ServiceMetrics("producer").message(0) for _ in range(3)]
    assert [message["restarts"] for message in said] == [0, 1, 2]
    monkeypatch.delenv("INSTANCE")
    first = ServiceMetrics("consumer")
    assert (first.instance, first.message(0)["restarts"]) == ("0", 0)
    # A second replica is no restart of the first.
    assert ServiceMetrics("consumer").message(0)["restarts"] == 0


def test_without_a_folder_starts_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INSTANCE_SLOTS", raising=False)
    assert ServiceMetrics("producer").message(0)["restarts"] == 0


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"INSTANCE_SLOTS: .* cannot be used"):
        Slot(tmp_path / "nothing", "consumer")
    with pytest.raises(SettingsError, match=r"INSTANCE_SLOTS: .* cannot be used"):
        count_start(tmp_path / "nothing", "consumer", "0")
