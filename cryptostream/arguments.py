"""Command-line arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from shared.errors import UsageError
from shared.intervals import INTERVAL_MS
from shared.times import parse_time_ns

TIME_HELP: Final = "ISO 8601 (UTC where it names no zone) or milliseconds since the epoch"


def add_format(parser: argparse.ArgumentParser, *formats: str) -> None:
    """Add `--format`, by default a table."""
    parser.add_argument("--format", choices=("table", *formats), default="table", help="default: table")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="data directory of a run")


def add_times(parser: argparse.ArgumentParser) -> None:
    """Add `--from` and `--to` as `from_ns` and `to_ns`; the end is not included."""
    parser.add_argument(
        "--from", dest="from_ns", type=time_ns, metavar="TIME", help=f"first time; {TIME_HELP}"
    )
    parser.add_argument("--to", dest="to_ns", type=time_ns, metavar="TIME", help="end, itself not included")


def require_order(first: int | None, end: int | None, *, inclusive: bool = False) -> None:
    """Raises:
    UsageError: `--from` is not before `--to`.
    """
    if first is not None and end is not None and first >= end + inclusive:
        raise UsageError("--from: is not before --to; swap them")


def require_interval(name: str, interval: str | None) -> None:
    """Raises:
    UsageError: it is not a kline interval.
    """
    if interval not in INTERVAL_MS:
        fault = "missing" if interval is None else f"unknown interval {interval!r}"
        raise UsageError(f"{name}: {fault}; choose from {', '.join(INTERVAL_MS)}")


def count(text: str) -> int:
    """A count from 1."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not 1 <= int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count from 1")
    return int(text)


def time_ns(text: str) -> int:
    """A time of the command line in nanoseconds."""
    try:
        return parse_time_ns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
