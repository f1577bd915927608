"""The `cryptostream` command. Each command's module is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from shared.arguments import Parser
from shared.command import guarded

# Command, module under cryptostream.commands, one line of help.
COMMANDS: Final = {
    "run": "everything on one machine: broker, source, producers, consumers, store, screen",
    "produce": "one producer process: exchange to Kafka",
    "consume": "one consumer process: Kafka to the store",
    "topics": "create the topics and check them",
    "simulate": "a Binance-compatible exchange on localhost",
    "chaos": "break a whole stack on purpose and judge the promises",
    "snapshots": "the market every five minutes, checked, as Parquet and in a warehouse",
    "query": "read stored points as a table, CSV or JSON",
    "indicators": "indicators of klines in files, as CSV or Parquet; checks of warm-up and look-ahead",
    "ledger": "what is complete, what is lost; --verify counts the store again",
    "repair": "fetch what is missing over REST and publish it",
    "dead-letters": "list, show and replay rejected bytes",
    "doctor": "check settings, exchange, Kafka, store and disk, and say how to mend each",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code (DESIGN §4.5)."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A command's libraries are imported in there too: Ctrl-C meets them as anything else.
    return guarded(lambda: _run(words), debug="--debug" in words)


def _run(words: list[str]) -> int:
    parser = Parser(prog="cryptostream", description="Real-time crypto market data.")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
        if name == asked:
            module = importlib.import_module(f"cryptostream.commands.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
