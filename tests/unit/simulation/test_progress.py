"""Progress of many seeds: failed ones at once, as commands; the last line always."""

from __future__ import annotations

from io import StringIO

from tests.simulation.checks import Failure
from tests.simulation.outcome import Outcome
from tests.simulation.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_failed_seed_is_said_as_the_command_that_repeats_it() -> None:
    out = StringIO()
    progress = Progress(3, out, "dedupe-off")

    progress.receive(Outcome(4))
    progress.receive(Outcome(7, failures=(Failure("trade missing", "…"), Failure("pending", "…"))))

    assert out.getvalue() == (
        "python -m tests.simulation --seed 7 --planted dedupe-off  # trade missing, pending\n"
    )


def test_the_last_seed_ends_the_line() -> None:
    for out in (StringIO(), Terminal()):
        progress = Progress(2, out)
        progress.receive(Outcome(0))
        progress.receive(Outcome(1))

        assert out.getvalue().lstrip("\r") == "2 of 2 seeds in 0 s, 0 failed\n"
