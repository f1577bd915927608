"""Words of the command line that several commands read."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

TIME_HELP: Final = "ISO 8601 (UTC where it names no zone) or milliseconds since the epoch"
_NS_PER_MS: Final = 10**6
_MOST_DIGITS: Final = 20  # Python refuses to read numbers of thousands


def add_format(parser: argparse.ArgumentParser, *formats: str) -> None:
    """`--format`, a table unless something else is asked for."""
    parser.add_argument("--format", choices=("table", *formats), default="table", help="default: table")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="data directory of a run")


def add_times(parser: argparse.ArgumentParser) -> None:
    """`--from` and `--to`, as `from_ns` and `to_ns`; the end is not included."""
    parser.add_argument(
        "--from", dest="from_ns", type=time_ns, metavar="TIME", help=f"first time; {TIME_HELP}"
    )
    parser.add_argument("--to", dest="to_ns", type=time_ns, metavar="TIME", help="end, itself not included")


def count(text: str) -> int:
    """A count from 1."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not 1 <= int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count from 1")
    return int(text)


def time_ns(text: str) -> int:
    """Nanoseconds of a time on the command line."""
    if text.isascii() and text.isdigit() and 8 < len(text) < _MOST_DIGITS:
        time_ms = int(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a time; write it like 2026-08-03T14:25 or 1785767100000"
            ) from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        time_ms = round(moment.timestamp() * 1000)
    if not 0 <= time_ms * _NS_PER_MS < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 1970 to 2262")
    return time_ms * _NS_PER_MS


def iso(time_ms: int) -> str:
    """A time for people and for the command line, UTC, as fine as it needs to be."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    fraction = f".{time_ms % 1000:03d}" if time_ms % 1000 else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
