"""The `cryptostream` command. Each command's module is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from shared.arguments import Parser
from shared.command import run_command
from shared.errors import UsageError

# Command and its line of help. Its module is cryptostream.commands.NAME, unless `_MODULES` names another.
COMMANDS: Final = {
    "run": "everything on one machine: broker, source, producers, consumers, store, screen",
    "produce": "one producer process: exchange to Kafka",
    "consume": "one consumer process: Kafka to the store",
    "topics": "create the topics and check them",
    "simulate": "an exchange on localhost: Binance, Kraken or Coinbase",
    "chaos": "break a whole stack on purpose and check the promises",
    "snapshots": "the market every five minutes, checked, as Parquet and in a warehouse",
    "api": "the page, and its API: history over HTTP, what is live by WebSocket",
    "query": "read stored points as a table, CSV or JSON",
    "indicators": "indicators of klines in files, as CSV or Parquet; checks of warm-up and look-ahead",
    "ledger": "what is complete, what is lost; --verify counts the store again",
    "repair": "fetch what is missing over REST and publish it",
    "dead-letters": "list, show and replay rejected bytes",
    "doctor": "check settings, exchange, Kafka, store and disk, and say how to fix each",
}
_MODULES: Final = {
    "produce": "producers.__main__",
    "consume": "consumers.__main__",
    "simulate": "simulator.__main__",
    "api": "api.service",
    "chaos": "chaos.command",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code (DESIGN §4.5)."""
    words = list(sys.argv[1:] if argv is None else argv)
    # The imports of a command's libraries run inside it too, so that Ctrl-C ends them in order.
    return run_command(lambda: _run(words), debug="--debug" in words)


def _module(name: str) -> ModuleType:
    """The command's module: `add_arguments` and `run`.

    Raises:
        UsageError: it is not installed here.
    """
    try:
        return importlib.import_module(_MODULES.get(name, f"cryptostream.commands.{name.replace('-', '_')}"))
    except ModuleNotFoundError as error:
        if name not in ("api", "chaos") or error.name != name:
            raise
        raise UsageError(f"{name}: is not part of this image; run it in a checkout (make setup)") from None


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
            module = _module(name)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
