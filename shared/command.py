"""The edge of every command: errors become one clear line and an exit code (DESIGN §4.5)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from shared.errors import CryptoStreamError


def guarded(work: Callable[[], int], *, debug: bool = False) -> int:
    """Run a command's work; its exit code, or an error's after printing it to standard error.

    Args:
        debug: let the traceback through.
    """
    try:
        return work()
    except CryptoStreamError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `cryptostream query … | head`: the reader has gone. The interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence: no traceback reaches a user
        if debug:
            raise
        print(f"error: unexpected {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)  # noqa: T201
        return 1
