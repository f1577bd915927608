"""`python -m producers`, and the command `cryptostream produce`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from producers.assignment import Assignment
from producers.exchanges.registry import exchange_named
from producers.service import ProducerService
from producers.start_positions import read_start_positions_file
from shared.arguments import finite, named
from shared.command import main_of
from shared.errors import SettingsError, UsageError
from shared.interpreter import share_one_heap
from shared.logs import set_up_logging
from shared.markets import exchanges_of
from shared.proxies import proxy_for
from shared.settings import Settings, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--symbols",
        type=named,
        help="symbols of this process, of one exchange, like BTCUSDC or kraken:BTC/USD (default: SYMBOLS)",
    )
    parser.add_argument("--intervals", help="kline intervals, like 1s,1m (default: INTERVALS)")
    parser.add_argument(
        "--bearings",
        type=Path,
        metavar="FILE",
        help="JSON object of series and their last ids, in place of the progress topic",
    )
    parser.add_argument(
        "--stored",
        type=Path,
        metavar="FILE",
        help="such an object of what the store has, for series of which Kafka has nothing (any more)",
    )
    parser.add_argument(
        "--connection-age",
        type=finite,
        metavar="S",
        help="seconds after which a connection is replaced by the next one (default: less than a day)",
    )
    parser.add_argument(
        "--memory-broker",
        action="store_true",
        help="the broker is librdkafka's in-memory one: topics create themselves, progress is not kept",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry the symbols until SIGTERM or SIGINT; 0 if everything received was delivered.

    Raises:
        CryptoStreamError: one line for the user.
    """
    share_one_heap()
    if arguments.connection_age is not None and arguments.connection_age <= 0:
        raise UsageError(f"--connection-age {arguments.connection_age:g} is not above 0 seconds")
    settings, symbols = own_part(load_settings(intervals=arguments.intervals), arguments.symbols)
    if not settings.kafka_bootstrap_servers:
        raise SettingsError(
            "KAFKA_BOOTSTRAP_SERVERS: is not set; name the brokers, like localhost:9092, "
            "or use `cryptostream run`, which brings its own"
        )
    set_up_logging(settings.log_level, settings.log_format)
    addresses = exchange_named(settings.exchange).addresses(settings)
    proxy_for(addresses.stream)  # an unusable proxy is an error now, not at each connection
    start_positions = None if arguments.bearings is None else read_start_positions_file(arguments.bearings)
    stored = {} if arguments.stored is None else read_start_positions_file(arguments.stored, "--stored")
    assignment = Assignment(
        symbols,
        settings.intervals,
        start_positions,
        memory_broker=arguments.memory_broker,
        stored=stored,
        connection_age_s=arguments.connection_age,
    )
    return uvloop.run(_serve(settings, assignment))


def own_part(deployed: Settings, chosen: str | None) -> tuple[Settings, tuple[str, ...]]:
    """The settings as this process's exchange sees them, and its symbols.

    The deployment's symbols of that exchange decide our start slot and our share of its limits; `chosen` are
    ours among them.

    Raises:
        SettingsError: the symbols are of several exchanges.
    """
    markets = load_settings(symbols=chosen).markets if chosen else deployed.markets
    exchange, *others = exchanges_of(markets)
    if others:
        named = "--symbols" if chosen else "SYMBOLS"
        first = next(market for market in markets if market.exchange == others[0])
        raise SettingsError(
            f"{named}: names {markets[0]} and {first}, but a producer belongs to one exchange; start one for"
            f" each, like --symbols {','.join(str(each) for each in markets if each.exchange == exchange)}"
        )
    return deployed.of(exchange), tuple(market.symbol for market in markets)


async def _serve(settings: Settings, assignment: Assignment) -> int:
    return await ProducerService(settings, assignment).run()


def main(argv: Sequence[str] | None = None) -> int:
    return main_of("python -m producers", "Exchange to Kafka.", add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
