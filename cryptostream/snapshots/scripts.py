"""What the scripts of pipelines/Binance do: parts of the command under the names that users type."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Sequence

from cryptostream.cli import main as cryptostream
from cryptostream.commands.snapshots import require_extras
from shared.arguments import Parser
from shared.command import guarded


def take_one_slot(argv: Sequence[str], description: str) -> int:
    """The exit code of a run: at the server of PREFECT_API_URL, else without any server."""
    _no_arguments("main.py", argv, description)
    if not os.environ.get("PREFECT_API_URL"):
        return cryptostream(["snapshots", "run"])
    return guarded(lambda: _main_of("once"))


def extract(argv: Sequence[str], description: str) -> int:
    """0 if every symbol could be observed; one JSON line each."""
    _no_arguments("binance_extractor.py", argv, description)
    return guarded(lambda: _main_of("extract"))


def _no_arguments(name: str, argv: Sequence[str], description: str) -> None:
    """What is to be taken is said by settings: an argument that did nothing would be taken for heard."""
    Parser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)


def _main_of(module: str) -> int:
    require_extras()
    return int(importlib.import_module(f"cryptostream.snapshots.{module}").main())
