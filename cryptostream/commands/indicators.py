"""`cryptostream indicators`: indicators of klines in files, by the streaming code (DESIGN §4.5)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import IndicatorSet
from consumers.indicators.registry import indicator_set
from cryptostream.indicator_files.checks import (
    OF_THE_LARGEST,
    RELATIVE,
    STARTS,
    check_look_ahead,
    check_warm_up,
    cuts,
    horizon,
)
from cryptostream.indicator_files.compute import Row, Values, rows_of_stream, rows_of_ta
from cryptostream.indicator_files.output import whole_file, write_csv, write_parquet
from cryptostream.indicator_files.series import Joint, in_order, read_series
from cryptostream.indicator_files.text import Text
from cryptostream.output import ProgressLine, write_columns
from shared.errors import CryptoStreamError, SettingsError, UsageError
from shared.intervals import INTERVAL_MS
from shared.pipes import readable

# Cumulative from the first bar (DESIGN §5.5).
_FROM_THE_FIRST_BAR: Final = ("volume_adi", "volume_obv", "volume_vpt", "volume_nvi", "others_cr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="klines: Binance archives (CSV, ZIP, gzip) or what `query klines` printed (CSV, JSON);"
        " several are one series; - or a pipe is read, too",
    )
    parser.add_argument(
        "--interval", choices=INTERVAL_MS, metavar="I", help="like 1m; the files tell by themselves"
    )
    parser.add_argument("--format", choices=("csv", "parquet"), help="default: csv")
    parser.add_argument(
        "--engine",
        choices=("stream", "ta"),
        default="stream",
        help="stream (default): as the services compute; ta: the reference library, on all bars at once",
    )
    parser.add_argument(
        "--indicators",
        default="all",
        metavar="LIST",
        help="all (default), families or columns, as in INDICATORS: 'momentum,trend_sma_fast(50)'",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    checks = parser.add_mutually_exclusive_group()
    checks.add_argument(
        "--check-warmup", action="store_true", help="from which bar on each value is stable, as a table"
    )
    checks.add_argument(
        "--check-lookahead",
        action="store_true",
        help="whether a value uses a later bar; exit code 1 if one does",
    )


def run(args: argparse.Namespace) -> int:
    """Compute and write, or check."""
    _check_usage(args)
    try:
        indicators = indicator_set(args.indicators.split(","))
    except SettingsError as error:
        raise UsageError(str(error).replace("INDICATORS:", "--indicators:", 1)) from None
    with readable(args.files) as files:
        texts = in_order([file.path for file in files], {file.path: file.shown for file in files})
        return _computed_or_checked(args, indicators, texts)


def _computed_or_checked(args: argparse.Namespace, indicators: IndicatorSet, texts: list[Text]) -> int:
    joint = Joint(args.interval)
    if args.check_warmup:
        return _check_warm_up(indicators, texts, joint)
    if args.check_lookahead:
        return _check_look_ahead(args, indicators, texts, joint)
    # Rows on the terminal leave no room for the progress line.
    hidden = args.output is None and sys.stdout.isatty()
    rows = _rows(args, indicators, _watched("computing", read_series(texts, joint), hidden=hidden))
    if args.output is None:
        write_csv(indicators.columns, rows, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        write = write_parquet if args.format == "parquet" else write_csv
        with whole_file(args.output) as file:
            write(indicators.columns, rows, file)
    _print_notes(joint)
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    if args.check_warmup or args.check_lookahead:
        if args.output is not None or args.format is not None:
            raise UsageError("--output, --format: a check prints its table; leave them out")
        if args.check_warmup and args.engine == "ta":
            raise UsageError("--check-warmup: is for the streaming indicators; leave --engine ta out")
    if args.format == "parquet" and args.output is None:
        raise UsageError("--format parquet: is not for the screen; name a file by --output FILE")
    if args.output is not None and args.output.resolve() in map(Path.resolve, args.files):
        raise UsageError(f"--output: {args.output} is one of the files to read; name another")


def _watched(what: str, bars: Iterable[Bar], *, hidden: bool = False) -> Iterator[Bar]:
    """Pass the bars through, counting them on a progress line."""
    if hidden:
        yield from bars
        return
    with ProgressLine(what, "bars") as line:
        for bar in bars:
            line.advance()
            yield bar


def _rows(args: argparse.Namespace, indicators: IndicatorSet, bars: Iterable[Bar]) -> Iterator[Row]:
    if args.engine == "ta":
        return rows_of_ta(indicators.columns, bars)
    return rows_of_stream(indicators, bars)


def _check_warm_up(indicators: IndicatorSet, texts: list[Text], joint: Joint) -> int:
    count = sum(1 for _ in _watched("counting", read_series(texts, joint)))
    followed = horizon(indicators, count)
    if not followed:
        needed = 2 * (max(indicators.warm_up.values()) + 2)
        raise CryptoStreamError(
            f"--check-warmup: {count} bars are too few; name files with {needed} or, better, some thousand"
        )
    bars = _watched("comparing", read_series(texts, Joint(joint.interval)))
    rows = []
    for column, declared, stable_after in check_warm_up(indicators, bars, count):
        stable = (
            f"not within {followed - followed // 10:,} bars" if stable_after is None else f"{stable_after:,}"
        )
        if stable_after is None and column in _FROM_THE_FIRST_BAR:
            stable = "never (sums from the first bar)"
        rows.append((column, f"{declared:,}", stable))
    write_columns(
        ("column", "declared warm-up", "stable after"), rows, sys.stdout, right=("declared warm-up",)
    )
    sys.stdout.write(
        f"\nIn bars before the value. {STARTS} later starts,"
        f" each followed for {followed:,} of {count:,} bars;\n"
        "stable: from there on equal to the run from the first bar,\n"
        f"to {RELATIVE:g} of the value or {OF_THE_LARGEST:g} of the column's largest.\n"
    )
    _print_notes(joint)
    return 0


def _check_look_ahead(
    args: argparse.Namespace, indicators: IndicatorSet, texts: list[Text], joint: Joint
) -> int:
    bars = list(_watched("reading", read_series(texts, joint)))
    cut_at = cuts(len(bars))
    if not cut_at:
        raise CryptoStreamError(
            f"--check-lookahead: {len(bars)} bars are too few; name files with more than 30"
        )
    compute = partial(_computed, args, indicators)
    found = check_look_ahead(compute, indicators.columns, bars)
    checked = f"{len(bars):,} bars, {len(indicators.columns)} columns; cut at {len(cut_at)} places"
    if found:
        rows = [(column, f"{count:,}", f"{first:,}", f"{last:,}") for column, count, first, last in found]
        headings = ("column", "rows that change", "first", "last")
        write_columns(headings, rows, sys.stdout, right=headings[1:])
        sys.stdout.write(f"\n{len(found)} columns use later bars ({checked})\n")
    else:
        sys.stdout.write(f"no column uses a later bar ({checked})\n")
    _print_notes(joint)
    return 1 if found else 0


def _computed(args: argparse.Namespace, indicators: IndicatorSet, bars: Iterable[Bar]) -> Iterator[Values]:
    return (values for _, values in _rows(args, indicators, _watched("comparing", bars)))


def _print_notes(joint: Joint) -> None:
    for line in joint.notes.lines():
        sys.stderr.write(f"note: {line}\n")
