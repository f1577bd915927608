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
        lines = [["–" if value is None else _text(value) for value in row] for row in rows]
        write_columns(names, lines, sys.stdout, right=_numbers(names, rows))
    return 0 if rows else 1


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
