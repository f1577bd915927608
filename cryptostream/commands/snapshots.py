"""`cryptostream snapshots`: the market every five minutes, stored for analysts (docs/snapshots.md)."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Final

from cryptostream.arguments import TIME_HELP, time_ns
from shared.arguments import named
from shared.errors import UsageError

# What the parts need; a message names those missing in this order.
_PACKAGES: Final = ("prefect", "pyarrow", "pandas", "pandera", "duckdb", "adlfs", "snowflake")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parts = parser.add_subparsers(dest="part", metavar="part", required=True)

    run_part = parts.add_parser("run", help="take one slot now, without any server")
    _add_source(run_part)
    _add_symbols(run_part)
    _add_common(run_part)
    run_part.add_argument("--slot", type=time_ns, metavar="TIME", help=f"a passed slot instead; {TIME_HELP}")
    run_part.add_argument("--format", choices=("table", "json"), default="table", help="of the rows")

    serve = parts.add_parser(
        "serve", help="take every slot of a schedule; starts a Prefect server unless there is one"
    )
    _add_source(serve)
    _add_symbols(serve)
    _add_common(serve)
    serve.add_argument("--cron", help="schedule in UTC (default: SNAPSHOT_CRON)")

    deploy = parts.add_parser(
        "deploy", help="declare the deployment to the Prefect server of PREFECT_API_URL"
    )
    _add_symbols(deploy)
    _add_common(deploy)
    deploy.add_argument("--cron", help="schedule in UTC (default: SNAPSHOT_CRON)")
    deploy.add_argument("--pool", default="default-pool", help="work pool (default: %(default)s)")

    query = parts.add_parser("query", help="SQL on what has landed: table `snapshots`")
    query.add_argument("sql", metavar="SQL", help='like "SELECT symbol, slot, last_price FROM snapshots"')
    _add_source(query, "simulator: what was taken of one")
    _add_common(query)
    query.add_argument("--format", choices=("table", "csv", "json"), default="table", help="of the answer")

    report = parts.add_parser("report", help="the last day as a page: prices, spreads, completeness, quality")
    _add_source(report, "simulator: what was taken of one")
    _add_symbols(report)
    _add_common(report)
    report.add_argument("--cron", help="schedule of the slots, in UTC (default: SNAPSHOT_CRON)")
    report.add_argument("--out", type=Path, default=Path("snapshots.html"), help="(default: %(default)s)")

    schema = parts.add_parser("schema", help="the warehouse's tables as SQL")
    schema.add_argument("--apply", action="store_true", help="create them in the warehouse of the settings")

    for part in parts.choices.values():
        part.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")


def run(args: argparse.Namespace) -> int:
    """Run one part; returns its exit code.

    Raises:
        UsageError: the extras are not installed.
    """
    require_extras()
    module = importlib.import_module(f"cryptostream.snapshots.{args.part}")
    return int(module.run(args))


def require_extras() -> None:
    """Raises:
    UsageError: the extras are not installed.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise UsageError(
            f"snapshots: needs {', '.join(absent)}, which the core does without; "
            "install the extras by: make setup-snapshots"
        )


def _add_source(parser: argparse.ArgumentParser, simulator: str = "simulator: starts one") -> None:
    parser.add_argument(
        "--source", choices=("live", "simulator"), default="live", help=f"{simulator} (default: live)"
    )


def _add_symbols(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbols", type=named, help="comma-separated (default: SNAPSHOT_SYMBOLS)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="of files, spool and state (default: SNAPSHOT_DIR)"
    )
    parser.add_argument("--landing", help="abfs://CONTAINER/PREFIX (default: SNAPSHOT_LANDING)")
