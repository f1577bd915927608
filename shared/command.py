"""The edge of every command: errors become one clear line and an exit code (DESIGN §4.5); stop signals."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from shared.arguments import Parser
from shared.edges import Output, complain, in_words, prepared_streams
from shared.errors import CryptoStreamError
from shared.files import keep_files_private
from shared.setting_names import misspelt
from shared.shown import masked


def run_command(work: Callable[[], int], *, debug: bool = False) -> int:
    """Run a command's work; returns its exit code, or that of an error after printing it to standard error.

    Files that the command creates are readable by its user alone.

    Args:
        debug: raise errors, for their traceback.
    """
    keep_files_private()
    with prepared_streams() as output, _thread_errors_printed(debug=debug):
        ended: SystemExit | None = None
        try:
            code = _exit_code(work, output, debug=debug)
        except SystemExit as end:  # of argparse: help, or a wrong argument
            code, ended = 1, end
        fault = output.finish()
        if fault is None:
            if ended is not None:
                raise ended
            return code
        output.drop()
        if isinstance(fault, BrokenPipeError):
            return code  # `cryptostream query … | head`: the reader has read enough
        complain(f"error: standard output: {fault.strerror or fault}; send it where there is room")
        return 1


def main_of(
    prog: str,
    description: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Entry point of `python -m …`: parse the arguments, with `--debug`, and run."""
    parser = Parser(prog=prog, description=description)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    return run_command(lambda: run(arguments), debug=arguments.debug)


def _exit_code(work: Callable[[], int], output: Output, *, debug: bool) -> int:
    for name, meant in misspelt(os.environ):
        # Not an error as in `.env`: other programs use the environment too.
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
            return 0  # reported by the caller
        if debug:
            raise
        # No traceback reaches a user.
        complain(f"error: {masked(_in_one_line(error))}")
        return 1


@contextmanager
def _thread_errors_printed(*, debug: bool) -> Iterator[None]:
    before = threading.excepthook
    if not debug:
        threading.excepthook = _print_thread_error
    try:
        yield
    finally:
        threading.excepthook = before


def _print_thread_error(end: threading.ExceptHookArgs) -> None:
    if end.exc_value is not None and not isinstance(end.exc_value, SystemExit):
        name = end.thread.name if end.thread is not None else "a thread"
        complain(f"error: {name}: {masked(_in_one_line(end.exc_value))}")


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, CryptoStreamError):
        return str(error)
    return in_words(error) or f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals of an orderly stop: SIGTERM, SIGINT, and unless `nohup` ignores it SIGHUP, sent by a
    terminal when it is closed."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP
