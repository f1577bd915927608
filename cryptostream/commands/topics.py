"""`cryptostream topics`: creates the declared topics and checks them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cryptostream.arguments import count
from cryptostream.output import write_columns
from cryptostream.topic_rebuild import rebuild, stream_to_rebuild
from cryptostream.topics_admin import ensure_topics
from shared.edges import complain
from shared.errors import SettingsError
from shared.settings import load_settings
from shared.topics import DEFAULT_PARTITIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--intervals", help="kline intervals, like 1s,1m (default: INTERVALS)")
    parser.add_argument("--mend", action="store_true", help="set settings that differ as declared")
    parser.add_argument(
        "--partitions",
        type=count,
        default=DEFAULT_PARTITIONS,
        metavar="N",
        help="of new topics, and expected of the others (default: %(default)s)",
    )
    parser.add_argument(
        "--rebuild",
        metavar="TOPIC",
        help="make it anew with all its records on --partitions, after someone has changed their number;"
        " producers and consumers must be stopped",
    )
    parser.add_argument(
        "--spool",
        type=Path,
        default=Path("rebuild"),
        metavar="DIR",
        help="where --rebuild keeps the records meanwhile (default: ./%(default)s)",
    )
    parser.add_argument(
        "--memory-broker",
        action="store_true",
        help="only report: the in-memory broker makes topics by itself",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if a topic is not as declared."""
    settings = load_settings(intervals=arguments.intervals)
    if not settings.kafka_bootstrap_servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS: not set; name the broker as host:port")
    if arguments.rebuild is not None:
        stream = stream_to_rebuild(arguments.rebuild)
        records = rebuild(
            settings.kafka_bootstrap_servers, stream, arguments.partitions, arguments.spool, complain
        )
        complain(
            f"{stream.topic}: {records:,} records on {arguments.partitions} partitions, each key's in order;"
            " its consumers begin at the first, and store the same again"
        )
        return 0
    reports = ensure_topics(
        settings.kafka_bootstrap_servers,
        settings.intervals,
        fix=arguments.mend,
        partitions=arguments.partitions,
        report_only=arguments.memory_broker,
    )
    rows = [(report.name, str(report.partitions), report.status, report.detail) for report in reports]
    write_columns(("topic", "partitions", "status", ""), rows, sys.stdout, right=("partitions",))
    if arguments.memory_broker or all(report.good for report in reports):
        return 0
    if any(report.fixable for report in reports):
        print("settings are set as declared by: cryptostream topics --mend", file=sys.stderr)  # noqa: T201
    return 1
