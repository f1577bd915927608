"""`python -m consumers`: Kafka → enrichment → points → store (DESIGN §4.5)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from consumers.indicators.registry import indicator_set
from consumers.process import ConsumerProcess
from consumers.stores.factory import open_reader, open_store
from consumers.streams import STREAMS, streams
from shared.command import main_of
from shared.errors import UsageError
from shared.logs import set_up_logging
from shared.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `consume`, here and under `cryptostream`."""
    parser.add_argument(
        "--stream",
        action="append",
        required=True,
        choices=(*STREAMS, "all"),
        help="what to consume; may be given several times",
    )
    parser.add_argument("--intervals", help="kline intervals, like 1s,1m (default: INTERVALS)")
    parser.add_argument(
        "--memory-broker",
        action="store_true",
        help="the broker is librdkafka's in-memory one: no state topic, topics appear by themselves",
    )
    parser.add_argument(
        "--rebuild-from-store",
        action="store_true",
        help="take the state of series not seen before from the store (with --memory-broker only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Consume until SIGTERM; the exit code."""
    if arguments.rebuild_from_store and not arguments.memory_broker:
        raise UsageError("--rebuild-from-store: services on a real broker rebuild from Kafka; leave it out")
    settings = load_settings(intervals=arguments.intervals)
    set_up_logging(settings.log_level, settings.log_format)
    names = STREAMS if "all" in arguments.stream else tuple(dict.fromkeys(arguments.stream))
    process = ConsumerProcess(
        settings,
        streams(names, settings.intervals, memory_broker=arguments.memory_broker),
        indicators=indicator_set(settings.indicators),
        open_store=lambda: open_store(settings),
        one_store=settings.store == "sqlite",
        open_reader=lambda: open_reader(settings),
        memory_broker=arguments.memory_broker,
        rebuild_from_store=arguments.rebuild_from_store,
    )
    return process.run()


def main(argv: Sequence[str] | None = None) -> int:
    return main_of("python -m consumers", "Kafka to the store.", add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
