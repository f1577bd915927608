"""`python -m api`: the page, history over HTTP, and what is live (docs/dashboard.md)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from shared.arguments import Parser
from shared.command import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # The imports run inside it too, so that Ctrl-C ends them in order.
    return run_command(lambda: _run(words), debug="--debug" in words)


def _run(words: Sequence[str]) -> int:
    service = importlib.import_module("api.service")
    parser = Parser(prog="python -m api", description="Page, history and stream.")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    service.add_arguments(parser)
    code: int = service.run(parser.parse_args(words))
    return code


if __name__ == "__main__":
    sys.exit(main())
