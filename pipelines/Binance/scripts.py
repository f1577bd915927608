"""The scripts of pipelines/Binance: parts of `cryptostream snapshots` under the names that users type."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence

from cryptostream.cli import main as cryptostream
from cryptostream.commands.snapshots import require_extras
from shared.arguments import Parser
from shared.command import run_command


def take_one_slot(argv: Sequence[str], description: str) -> int:
    """Take one slot: as a run of the server of PREFECT_API_URL, else without any server."""
    _refuse_arguments("main.py", argv, description)
    return (
        run_command(_on_server) if os.environ.get("PREFECT_API_URL") else cryptostream(["snapshots", "run"])
    )


def extract(argv: Sequence[str], description: str) -> int:
    """Print one JSON line per symbol; exit code 0 if every symbol could be observed."""
    _refuse_arguments("binance_extractor.py", argv, description)
    return run_command(_extract)


def _refuse_arguments(name: str, argv: Sequence[str], description: str) -> None:
    """The scripts take their choices from settings; an ignored argument would mislead."""
    Parser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)


def _on_server() -> int:
    require_extras()
    from cryptostream.snapshots.run import run_on_server  # noqa: PLC0415 - needs the extras

    return run_on_server()


def _extract() -> int:
    require_extras()
    from cryptostream.snapshots.run import extract as extract_rows  # noqa: PLC0415 - needs the extras

    return asyncio.run(extract_rows())
