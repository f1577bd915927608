"""`cryptostream snapshots query`: SQL on the landed snapshots."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from cryptostream.output import write_columns
from cryptostream.snapshots.source import settings_of
from pipelines.snapshots.query import ask, has_landed, open_query
from pipelines.snapshots.table import decimals_of


def run(args: argparse.Namespace) -> int:
    """Print the answer; exit code 1 if it has no row.

    Raises:
        UsageError: the SQL cannot be executed.
    """
    settings = settings_of(args)
    with open_query(settings) as connection:
        names, rows = ask(connection, args.sql)
    if not rows and not has_landed(settings):
        landing = settings.snapshot_landing or settings.snapshot_dir
        sys.stderr.write(
            f"nothing has landed in {landing} yet; name another place by --dir, --landing or --source, "
            "or take a slot by: cryptostream snapshots run\n"
        )
    if args.format == "json":
        for row in rows:
            record = dict(zip(names, row, strict=True))
            sys.stdout.write(orjson.dumps(record, default=str).decode() + "\n")
    elif args.format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(["" if value is None else _text(value, exact=True) for value in row] for row in rows)
    else:
        lines = _lines(names, rows)
        write_columns(names, lines, sys.stdout, right=_numbers(names, rows), leaving=names[:0:-1])
    return 0 if rows else 1


def _lines(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Rows as text for people; the numbers of one symbol and column have equally many decimals."""
    symbol = names.index("symbol") if "symbol" in names else None
    decimals: dict[tuple[Any, int], int] = {}
    for row in rows:
        group = None if symbol is None else row[symbol]
        for column, value in enumerate(row):
            if isinstance(value, Decimal):
                decimals[group, column] = max(decimals.get((group, column), 0), decimals_of(value))
    return [
        [
            "–"
            if value is None
            else f"{value:.{decimals[None if symbol is None else row[symbol], column]}f}"
            if isinstance(value, Decimal)
            else _text(value)
            for column, value in enumerate(row)
        ]
        for row in rows
    ]


def _text(value: Any, *, exact: bool = False) -> str:
    if isinstance(value, datetime):
        # Programs get milliseconds and zone; people do not need them.
        return value.isoformat() if exact else value.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _numbers(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        name
        for position, name in enumerate(names)
        if any(isinstance(row[position], int | float | Decimal) for row in rows)
    ]
