"""What every chaos test asks of a run."""

from __future__ import annotations

from typing import Final

from chaos.result import Result

# Waits inside are bounded; on a busy machine a run of fifteen seconds may take minutes.
TIMEOUT_S: Final = 900
# Of each kind; `make chaos` makes fifty.
KILLS: Final = 1


def assert_kept(result: Result) -> None:
    assert result.broken() == []
