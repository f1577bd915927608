"""A process that runs seeds: `python -m tests.simulation.worker`; a request a line in, an outcome a line out.

Each run has a forked process of its own: it begins with the same state whatever ran before, and ends without
finalizers, so that nothing of a killed process runs after all.
"""

from __future__ import annotations

# Before anything of ours is imported: no module may have taken a real clock.
from tests.simulation import sandbox

sandbox.enter()

import faulthandler  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from typing import Any, Final  # noqa: E402

from tests.simulation import markets, planted  # noqa: E402
from tests.simulation.checks import Failure  # noqa: E402
from tests.simulation.draws import schedule_of  # noqa: E402
from tests.simulation.outcome import Outcome  # noqa: E402
from tests.simulation.run import run, warm_up  # noqa: E402
from tests.simulation.schedule import Schedule  # noqa: E402

# Real seconds; a run takes less than one.
_HANGS_S: Final = 120.0


def main() -> int:
    """Answer requests until the end of the input."""
    warm_up()
    gc.freeze()
    for line in sys.stdin:
        _answer(json.loads(line))
    return 0


def _answer(request: dict[str, Any]) -> None:
    schedule = _schedule(request)
    markets.prepare(schedule)
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(_HANGS_S, exit=True)
        gc.disable()
        if request.get("planted"):
            planted.plant(request["planted"])
        outcome = run(schedule, keep=None if request.get("trace") else 400)
        _write(outcome)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        failure = Failure("simulation", f"its process ended with status {status}: it hung, or has a fault")
        _write(Outcome(schedule.seed, failures=(failure,)))


def _schedule(request: dict[str, Any]) -> Schedule:
    return Schedule.from_json(request["schedule"]) if "schedule" in request else schedule_of(request["seed"])


def _write(outcome: Outcome) -> None:
    left = memoryview((outcome.to_json() + "\n").encode())
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    sys.exit(main())
