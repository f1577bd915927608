"""The edge of every command: errors become one clear line and an exit code (DESIGN §4.5)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.edges import Output, complain, in_words, prepared_streams
from shared.errors import CryptoStreamError
from shared.masking import masked
from shared.private_files import keep_files_private
from shared.setting_names import misspelt


def guarded(work: Callable[[], int], *, debug: bool = False) -> int:
    """Run a command's work; its exit code, or an error's after printing it to standard error.

    What the command writes is for its user alone.

    Args:
        debug: let the traceback through.
    """
    keep_files_private()
    with prepared_streams() as output, _threads_told(debug=debug):
        ended: SystemExit | None = None
        try:
            code = _worked(work, output, debug=debug)
        except SystemExit as end:  # of argparse: help, or a wrong word
            code, ended = 1, end
        fault = output.finish()
        if fault is None:
            if ended is not None:
                raise ended
            return code
        output.drop()
        if isinstance(fault, BrokenPipeError):
            return code  # `cryptostream query … | head`: the reader has what it wanted
        complain(f"error: standard output: {fault.strerror or fault}; send it where there is room")
        return 1


def _worked(work: Callable[[], int], output: Output, *, debug: bool) -> int:
    for name, meant in misspelt(os.environ):
        # Not an error as in `.env`: the environment is others' too.
        complain(f"warning: {name} in the environment is not a setting; did you mean {meant}?")
    try:
        return work()
    except CryptoStreamError as error:
        if debug:
            raise
        complain(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and output.fault is not None:
            return 0  # told by the caller
        if debug:
            raise
        # The last line of defence: no traceback reaches a user.
        complain(f"error: {masked(_told_as(error))}")
        return 1


@contextmanager
def _threads_told(*, debug: bool) -> Iterator[None]:
    before = threading.excepthook
    if not debug:
        threading.excepthook = _told
    try:
        yield
    finally:
        threading.excepthook = before


def _told(end: threading.ExceptHookArgs) -> None:
    """A thread's death in one line; who waits for what it made says the rest."""
    if end.exc_value is not None and not isinstance(end.exc_value, SystemExit):
        name = end.thread.name if end.thread is not None else "a thread"
        complain(f"error: {name}: {masked(_told_as(end.exc_value))}")


def _told_as(error: BaseException) -> str:
    return str(error) if isinstance(error, CryptoStreamError) else in_words(error) or _unexpected(error)


def _unexpected(error: BaseException) -> str:
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"
