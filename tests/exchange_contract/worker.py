"""A process that makes runs: `python -m tests.exchange_contract.worker`; pickled orders in, runs out.

Each run has a forked process of its own, as those of `tests/simulation/worker.py`. One that fails gives the
error's text.
"""

from __future__ import annotations

# Before anything of ours is imported: no module may have taken a real clock.
from tests.simulation import sandbox

sandbox.enter()

import faulthandler  # noqa: E402
import gc  # noqa: E402
import os  # noqa: E402
import pickle  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from typing import Final  # noqa: E402

import pytest  # noqa: E402

from tests.exchange_contract.carrying import carry  # noqa: E402
from tests.exchange_contract.cases import Order  # noqa: E402
from tests.exchange_contract.toy.registered import register  # noqa: E402
from tests.unit.producers.test_exchange_mechanisms import MECHANISMS  # noqa: E402

# Real seconds; a run takes less than one.
_HANGS_S: Final = 120.0


def main() -> int:
    """Answer orders until the end of the input."""
    register(pytest.MonkeyPatch())
    gc.collect()
    gc.freeze()
    while True:
        try:
            order = pickle.load(sys.stdin.buffer)
        except EOFError:
            return 0
        _answer(order)


def _answer(order: Order) -> None:
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(_HANGS_S, exit=True)
        gc.disable()
        try:
            if order.without:
                MECHANISMS[order.without][0](pytest.MonkeyPatch())
            _write(carry(order))
        except BaseException:  # noqa: BLE001 - told to whoever ordered the run
            _write(traceback.format_exc())
        # What still runs must not run its `finally`.
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        _write(f"the run's process ended with status {status}: it hung, or has a fault")


def _write(answer: object) -> None:
    left = memoryview(pickle.dumps(answer))
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    sys.exit(main())
