"""Nothing of a simulation takes real time, chance or threads; equal seeds do the same.

Each case runs in a process of its own: what the sandbox replaces stays replaced.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

_ENTER = "from tests.simulation import sandbox; sandbox.enter(); "
_WORLD = _ENTER + "from tests.simulation.world import World; world = World(1); "


def _python(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _said(code: str) -> str:
    ended = _python("-c", code)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_time_is_the_world_s() -> None:
    code = "import time, asyncio; before = time.time_ns(); world.run(asyncio.sleep(3600)); "
    assert _said(_WORLD + code + "print(round(time.monotonic()), (time.time_ns() - before) // 10**9)") == (
        "13600 3600"
    )


def test_each_process_has_its_own_clock_and_number() -> None:
    code = """
import os, time, asyncio
said = []
async def say(): said.append((os.getpid(), time.time_ns() // 10**9))
for seconds in (0, -60):
    process = world.process("p"); process.step_clock(seconds); process.run(say)
    world.run(process.exited.wait())
print(said[0][0] != said[1][0], said[1][1] - said[0][1])
"""
    assert _said(_WORLD + code) == "True -60"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "chance",
    [
        "random.random()",
        "random.Random().random()",
        "os.urandom(8)",
        "secrets.token_bytes(4)",
        "secrets.randbits(64)",
        "uuid.uuid4()",
    ],
)
def test_chance_is_the_seed_s(chance: str) -> None:
    assert _said(f"{_WORLD} import os, random, secrets, uuid; print({chance})") == _said(
        f"{_WORLD} import os, random, secrets, uuid; print({chance})"
    )


def test_a_thread_is_an_error() -> None:
    ended = _python("-c", f"{_WORLD} import threading; threading.Thread(target=print, name='stray').start()")
    assert "the thread stray would run outside of virtual time" in ended.stderr


def test_a_sleep_that_blocks_the_loop_is_an_error() -> None:
    code = "import time\nasync def block(): time.sleep(1)\nworld.run(block())"
    assert "LoopBlocked" in _python("-c", f"{_WORLD}\n{code}").stderr


def test_a_module_that_was_there_before_is_an_error() -> None:
    assert "asyncio was imported before" in _python("-c", f"import asyncio; {_ENTER}").stderr


def test_an_order_by_hashes_that_vary_is_an_error() -> None:
    assert "PYTHONHASHSEED is not 0" in _python("-c", _ENTER, hash_seed="7").stderr


def test_a_call_that_never_ends_ends_its_process() -> None:
    code = """
import time
from shared.last_resort import ended_after
def block():
    with ended_after(20):
        time.sleep(3600)
process = world.process("p"); process.block(block); world.run(process.exited.wait())
print(process.exit_code, round(time.monotonic()))
"""
    assert _said(_WORLD + code) == "1 10020"


@pytest.mark.thorough
def test_coarser_polling_leaves_no_period_of_production_behind() -> None:
    code = """
from tests.simulation.pace import set_pace
set_pace()
import consumers.service, producers.service, simulator.server.pumps
print(consumers.service.POLL_S, producers.service._POLL_S, simulator.server.pumps._TICK_SECONDS)
"""
    assert _said(_ENTER + code) == "0.25 0.05 0.02"


def _rehearsed(seed: int) -> dict[str, Any]:
    ended = _python("-m", "tests.simulation.rehearsal", str(seed), "6")
    assert ended.returncode == 0, ended.stderr
    outcome: dict[str, Any] = json.loads(ended.stdout)
    del outcome["cpu_s"]
    return outcome


@pytest.mark.thorough
def test_the_real_shells_do_the_same_twice_and_something_else_with_another_seed() -> None:
    first, again, other = _rehearsed(5), _rehearsed(5), _rehearsed(6)
    assert first == again
    assert first["fingerprint"] != other["fingerprint"]
    assert first["records"] > 100
