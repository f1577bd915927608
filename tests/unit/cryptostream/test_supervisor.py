"""Children: started, restarted, stopped, and never left behind. They are small programs of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cryptostream.embedded.process import Command
from cryptostream.embedded.supervisor import Supervisor
from shared.errors import CryptoStreamError, SettingsError

ROOT = Path(__file__).resolve().parents[3]


def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    give_up = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Writes a module that `python -m` finds."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name: str, body: str) -> Callable[[], Command]:
        (tmp_path / f"{name}.py").write_text(body, encoding="utf-8")
        return lambda: Command(name, (), {})

    return write


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def children(tmp_path, said):
    supervisor = Supervisor(lambda name: tmp_path / "logs" / f"{name}.log", said.append)
    yield supervisor
    supervisor.kill_all()


SERVES = "import time, sys\nprint('up', flush=True)\nwhile True: time.sleep(0.05)\n"
REFUSES = """\
import sys
print('warming up', file=sys.stderr)
print('error: SYMBOLS: no', file=sys.stderr)
sys.exit(2)
"""


def test_a_killed_child_is_started_again_with_a_new_command(children, programs, said):
    program = programs("serves", SERVES)
    made = []
    lines: list[str] = []
    children.start("serves", lambda: (made.append(1), program())[1], lines.append)
    until(lambda: lines == ["up"])
    os.kill(children.pids()["serves"], signal.SIGKILL)

    def again() -> bool:
        children.tick(time.monotonic())
        return lines == ["up", "up"]

    until(again)
    assert len(made) == 2
    assert children.restarts() == {"serves": 1}
    assert any("killed by signal 9" in line and "restart 1" in line for line in said)


def test_a_refusal_ends_the_run_with_the_childs_own_line_and_exit_code(children, programs, tmp_path):
    children.start("refuses", programs("refuses", REFUSES))
    with pytest.raises(SettingsError, match="SYMBOLS: no") as caught:
        until(lambda: children.tick(time.monotonic()) is not None)
    assert caught.value.exit_code == 2
    assert "warming up" in (tmp_path / "logs" / "refuses.log").read_text(encoding="utf-8")


def test_a_child_that_cannot_live_ends_the_run_after_five_restarts(children, programs):
    children.start("dies", programs("dies", "import sys; sys.exit('no broker')\n"))
    clock = 0.0

    def tick() -> bool:
        nonlocal clock
        if not children.running("dies"):  # starting one takes a busy machine its time
            clock += 0.2  # the delays are not waited out
            children.tick(clock)
        return False

    with pytest.raises(CryptoStreamError, match="6 times within a minute: no broker") as caught:
        until(tick)
    assert caught.value.exit_code == 1


def test_an_orderly_end_is_clean_and_a_forced_one_is_told(children, programs):
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
    obedient = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + SERVES
    lines: list[str] = []
    children.start("stubborn", programs("stubborn", stubborn), lines.append)
    children.start("obedient", programs("obedient", obedient), lines.append)
    until(lambda: len(lines) == 2)
    children.ask_to_stop("obedient")
    until(lambda: not children.running("obedient"))
    children.ask_to_stop("stubborn")
    assert children.settle("obedient") is None
    assert children.settle("stubborn") == "stubborn did not stop in time and was killed"


def test_a_child_is_deaf_to_the_terminals_ctrl_c(children, programs):
    lines: list[str] = []
    children.start("serves", programs("serves", SERVES), lines.append)
    until(lambda: lines == ["up"])
    assert os.getpgid(children.pids()["serves"]) != os.getpgid(0)


def test_warnings_of_a_child_are_passed_on_without_repetition(children, programs, said):
    body = (
        "import sys\n"
        "print('12:00:00 WARNING x: low', file=sys.stderr)\n"
        "print('12:00:01 INFO x: fine', file=sys.stderr)\n"
        "print('12:00:02 WARNING x: low', file=sys.stderr)\n"
        "print('12:00:03 ERROR x: out', file=sys.stderr)\n"
    )
    children.start("warns", programs("warns", body + SERVES))
    until(lambda: len(said) > 1)
    assert said == ["warns: WARNING x: low", "warns: ERROR x: out"]


@pytest.mark.skipif(sys.platform != "linux", reason="the request to the kernel is Linux's")
def test_children_die_with_a_killed_parent(tmp_path):
    parent = (
        "import subprocess, sys, time\n"
        "from cryptostream.child import bound_to_parent\n"
        "command = bound_to_parent([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(subprocess.Popen(command).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert _alive(child)
    process.kill()
    process.wait()
    until(lambda: not _alive(child))
    process.stdout.close()


def _alive(pid: int) -> bool:
    try:
        # A zombie that nobody has collected yet is dead all the same.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def test_a_child_of_a_recording_is_not_started_again_its_end_is_the_runs(children, programs):
    children.start(
        "simulator",
        programs("dies", "import sys\nprint('error: no market', file=sys.stderr)\nsys.exit(1)\n"),
        once=True,
    )
    with pytest.raises(CryptoStreamError, match="simulator ended with exit code 1: no market"):
        until(lambda: children.tick(time.monotonic()))


# As `shared.last_resort` ends a process: 25 threads' frames push everything else out of the lines kept.
STUCK = """\
import ctypes, logging, sys, threading
from shared.last_resort import ended_after
print('12:00:00 INFO x: leaving its group', file=sys.stderr)
for _ in range(25):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
with ended_after(0.25):
    ctypes.PyDLL(None).usleep(60_000_000)
"""


def test_a_child_that_nothing_could_end_any_more_is_told_of_in_words_not_in_frames(children, programs, said):
    children.start("book", programs("stuck", STUCK))

    def ended() -> bool:
        children.tick(time.monotonic())
        return bool(said)

    until(ended)
    assert said == [
        "book ended with exit code 1 (a library's call held it up for 0.25 s and let nothing else run, so it "
        "ended itself; its log tells where); starting it again in 0.5 s (restart 1)"
    ]


def test_the_frames_of_a_traceback_are_not_why_a_child_ended(children, programs):
    body = "import sys\nprint('ValueError: two lines\\n  and its second', file=sys.stderr)\nsys.exit(1)\n"
    children.start("simulator", programs("raises", body), once=True)
    with pytest.raises(CryptoStreamError, match="ended with exit code 1: ValueError: two lines;"):
        until(lambda: children.tick(time.monotonic()))
