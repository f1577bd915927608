"""Children: started, restarted, stopped, and never left behind. They are small programs of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptostream.processes.child import Command
from cryptostream.processes.supervisor import (
    GiveUp,
    NeverRestart,
    Restart,
    RestartWithBackoff,
    Supervisor,
    describe_exit,
)
from shared.errors import CryptoStreamError, SettingsError

ROOT = Path(__file__).resolve().parents[4]

Programs = Callable[[str, str], Callable[[], Command]]


def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    give_up = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true in time"
        time.sleep(0.01)


def ticking(children: Supervisor) -> Callable[[], bool]:
    """A condition that never comes true: it ends by what a tick raises."""

    def tick() -> bool:
        children.tick(time.monotonic())
        return False

    return tick


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
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
def children(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
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


def test_a_killed_child_is_started_again_with_a_new_command(
    children: Supervisor, programs: Programs, said: list[str]
) -> None:
    program = programs("serves", SERVES)
    made: list[Command] = []
    lines: list[str] = []

    def make() -> Command:
        made.append(program())
        return made[-1]

    children.start("serves", make, lines.append)
    until(lambda: lines == ["up"])
    os.kill(children.pids()["serves"], signal.SIGKILL)

    def again() -> bool:
        children.tick(time.monotonic())
        return lines == ["up", "up"]

    until(again)
    assert len(made) == 2
    assert children.restarts() == {"serves": 1}
    assert any("killed by signal 9" in line and "restart 1" in line for line in said)
    assert [line.partition(":")[0] for line in children.unexpected_exits] == ["serves killed by signal 9"]


def test_a_child_that_is_killed_by_order_is_back_at_once_and_its_end_was_expected(
    children: Supervisor, programs: Programs
) -> None:
    lines: list[str] = []
    children.start("serves", programs("serves", SERVES), lines.append)
    until(lambda: lines == ["up"])
    before = children.pids()["serves"]
    assert children.kill("serves") <= children.started_ms("serves")
    assert children.pids()["serves"] != before
    until(lambda: lines == ["up", "up"])
    children.tick(time.monotonic())
    assert children.unexpected_exits == []
    assert children.restarts() == {"serves": 0}


def test_a_refusal_ends_the_run_with_the_childs_own_line_and_exit_code(
    children: Supervisor, programs: Programs, tmp_path: Path
) -> None:
    children.start("refuses", programs("refuses", REFUSES))
    with pytest.raises(SettingsError, match="SYMBOLS: no") as caught:
        until(ticking(children))
    assert caught.value.exit_code == 2
    assert "warming up" in (tmp_path / "logs" / "refuses.log").read_text(encoding="utf-8")


@pytest.mark.thorough
def test_a_child_that_cannot_live_ends_the_run_after_five_restarts(
    children: Supervisor, programs: Programs
) -> None:
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


def test_an_orderly_end_is_clean_and_a_forced_one_is_told(children: Supervisor, programs: Programs) -> None:
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
    obedient = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + SERVES
    lines: list[str] = []
    children.start("stubborn", programs("stubborn", stubborn), lines.append)
    children.start("obedient", programs("obedient", obedient), lines.append)
    until(lambda: len(lines) == 2)
    children.terminate("obedient")
    until(lambda: not children.running("obedient"))
    children.terminate("stubborn")
    assert children.finish("obedient") is None
    assert children.finish("stubborn") == "stubborn did not stop in time and was killed"


def test_a_child_is_deaf_to_the_terminals_ctrl_c(children: Supervisor, programs: Programs) -> None:
    lines: list[str] = []
    children.start("serves", programs("serves", SERVES), lines.append)
    until(lambda: lines == ["up"])
    assert os.getpgid(children.pids()["serves"]) != os.getpgid(0)


def test_warnings_can_be_left_to_the_log_file(tmp_path: Path, programs: Programs, said: list[str]) -> None:
    silent = Supervisor(lambda name: tmp_path / f"{name}.log", said.append, relay_warnings=False)
    lines: list[str] = []
    body = "import sys\nprint('12:00:00 WARNING x: low', file=sys.stderr, flush=True)\n" + SERVES
    silent.start("warns", programs("warns", body), lines.append)
    try:
        until(lambda: lines == ["up"])
    finally:
        silent.kill_all()
    assert said == []
    assert "WARNING x: low" in (tmp_path / "warns.log").read_text(encoding="utf-8")


def test_warnings_of_a_child_are_passed_on_without_repetition(
    children: Supervisor, programs: Programs, said: list[str]
) -> None:
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
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    parent = (
        "import sys, time\n"
        "from cryptostream.processes.launcher import start_bound\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(start_bound(command, stdout=None, stderr=None).pid, flush=True)\n"
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


def test_a_child_of_a_recording_is_not_started_again_its_end_is_the_runs(
    children: Supervisor, programs: Programs
) -> None:
    children.start(
        "simulator",
        programs("dies", "import sys\nprint('error: no market', file=sys.stderr)\nsys.exit(1)\n"),
        policy=NeverRestart("a recording is played once"),
    )
    with pytest.raises(
        CryptoStreamError,
        match="simulator ended with exit code 1: no market; a recording is played once \\(log",
    ):
        until(ticking(children))


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


def test_a_child_that_nothing_could_end_any_more_is_told_of_in_words_not_in_frames(
    children: Supervisor, programs: Programs, said: list[str]
) -> None:
    children.start("book", programs("stuck", STUCK))

    def ended() -> bool:
        children.tick(time.monotonic())
        return bool(said)

    until(ended)
    assert said == [
        "book ended with exit code 1 (a library's call blocked it for 0.25 s, so that it "
        "ended itself; its log shows where); starting it again in 0.5 s (restart 1)"
    ]


def test_the_frames_of_a_traceback_are_not_why_a_child_ended(
    children: Supervisor, programs: Programs
) -> None:
    body = "import sys\nprint('ValueError: two lines\\n  and its second', file=sys.stderr)\nsys.exit(1)\n"
    children.start(
        "simulator",
        programs("raises", body),
        policy=NeverRestart("a recording is played once"),
    )
    with pytest.raises(CryptoStreamError, match="ended with exit code 1: ValueError: two lines;"):
        until(ticking(children))


def test_the_delay_doubles_and_the_sixth_end_within_a_minute_gives_up() -> None:
    policy = RestartWithBackoff()
    delays = [policy.exited(second) for second in range(5)]
    assert delays == [Restart(0.5), Restart(1), Restart(2), Restart(4), Restart(8)]
    assert policy.exited(5) == GiveUp("ended 6 times within a minute")


def test_a_child_that_is_never_restarted_gives_up_at_its_first_end() -> None:
    assert NeverRestart("start again").exited(0.0) == GiveUp(way_out="start again")


def test_a_minute_of_peace_forgets_the_past() -> None:
    policy = RestartWithBackoff()
    for second in range(5):
        policy.exited(second)
    assert policy.exited(64.0) == Restart(0.5)


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=40))
def test_no_more_than_five_restarts_fall_into_any_minute(pauses: list[float]) -> None:
    policy, now, restarts = RestartWithBackoff(), 0.0, []
    for pause in pauses:
        now += pause
        if isinstance(policy.exited(now), GiveUp):
            break
        restarts.append(now)
    assert all(sum(1 for at in restarts if end - 60 < at <= end) <= 5 for end in restarts)


def test_exits_are_told_in_words() -> None:
    assert describe_exit(-9) == "killed by signal 9"
    assert describe_exit(1) == "ended with exit code 1"


@pytest.mark.parametrize(
    ("body", "why"), [(REFUSES, "SYMBOLS: no"), ("import sys\nsys.exit(3)\n", "ended with exit code 3")]
)
def test_the_others_go_on_without_a_child_that_is_not_needed(
    children: Supervisor, programs: Programs, said: list[str], body: str, why: str
) -> None:
    children.start("extra", programs("extra", body), policy=NeverRestart(), needed=False)

    def given_up() -> bool:
        children.tick(time.monotonic())
        return any(line.startswith("going on without extra: ") and why in line for line in said)

    until(given_up)
    children.tick(time.monotonic())
    assert not children.running("extra")
    assert children.finish("extra") is None
