"""`cryptostream snapshots query`: SQL on what has landed."""

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
from cryptostream.snapshots.settings import settings_of
from pipelines.snapshots.query import ask, has_landed, open_query
from pipelines.snapshots.table import decimals_of


def run(args: argparse.Namespace) -> int:
    """Print the answer; 1 where there is no row.

    Raises:
        UsageError: SQL that cannot be answered.
    """
    settings = settings_of(args)
    with open_query(settings) as connection:
        names, rows = ask(connection, args.sql)
    if not rows and not has_landed(settings):
        place = settings.snapshot_landing or settings.snapshot_dir
        sys.stderr.write(
            f"nothing has landed in {place} yet; name another place by --dir, --landing or --source, "
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
        write_columns(names, lines, sys.stdout, right=_numbers(names, rows))
    return 0 if rows else 1


def _lines(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Rows for people: what a symbol's numbers of a column have in decimals, all of them have."""
    symbol = names.index("symbol") if "symbol" in names else None
    decimals: dict[tuple[Any, int], int] = {}
    for row in rows:
        group = None if symbol is None else row[symbol]
        for place, value in enumerate(row):
            if isinstance(value, Decimal):
                decimals[group, place] = max(decimals.get((group, place), 0), decimals_of(value))
    return [
        [
            "–"
            if value is None
            else f"{value:.{decimals[None if symbol is None else row[symbol], place]}f}"
            if isinstance(value, Decimal)
            else _text(value)
            for place, value in enumerate(row)
        ]
        for row in rows
    ]


def _text(value: Any, *, exact: bool = False) -> str:
    if isinstance(value, datetime):
        # Programs get all of it, with its zone; people do not read milliseconds.
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
