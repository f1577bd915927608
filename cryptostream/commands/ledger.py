"""`cryptostream ledger`: what is complete, what is lost, whether the store agrees (DESIGN §4.5, §5)."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from cryptostream.arguments import add_data_dir, add_format, add_times, require_interval, require_order
from cryptostream.commands.query import store_settings
from cryptostream.data_dir import broker_outlives_run
from cryptostream.ledger_report.output import write_csv, write_json, write_table
from cryptostream.ledger_report.report import Span
from cryptostream.ledger_report.survey import survey
from cryptostream.markets import filtered_market, meant
from shared.arguments import named
from shared.errors import NothingFound, UsageError
from shared.settings import Settings, load_settings

_WRITERS: Final = {"table": write_table, "csv": write_csv, "json": write_json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "--symbol", type=named, metavar="SYMBOL", help="only this one, like BTCUSDC or kraken:BTC/USD"
    )
    parser.add_argument("--stream", choices=("klines", "trades"), help="only this one")
    parser.add_argument("--interval", metavar="INTERVAL", help="only klines of this one, like 1m")
    add_times(parser)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="count the store's points again and compare them with the claims",
    )
    add_format(parser, "csv", "json")
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if nothing is lost and, with --verify, the store agrees; else 1.

    Raises:
        NothingFound: there is nothing of what was asked for.
    """
    _check_usage(args)
    settings = _settings(args)
    span = _span(args, settings)
    use_broker = args.data_dir is None or broker_outlives_run(args.data_dir)
    found = survey(settings, span, use_broker=use_broker, verify=args.verify)
    if not found.series and not found.recounts:
        market = ":".join(filter(None, (span.exchange, span.symbol)))
        asked = " ".join(filter(None, (market, span.stream, span.interval)))
        near = None if span.symbol is None else meant(span.symbol, [each.symbol for each in settings.markets])
        raise NothingFound(
            f"the ledger has nothing{f' of {asked}' if asked else ''}"
            f"{' in that time' if span.timed else ''} ({found.source});"
            + (f" did you mean {near}?" if near else " ask for another, or start with `make run`")
        )
    _WRITERS[args.format](found, sys.stdout)
    return 0 if found.complete else 1


def _check_usage(args: argparse.Namespace) -> None:
    if args.interval is not None:
        require_interval("--interval", args.interval)
    if args.interval is not None and args.stream == "trades":
        raise UsageError("--interval: trades have none; leave it out, or take --stream klines")
    require_order(args.from_ns, args.to_ns)


def _span(args: argparse.Namespace, settings: Settings) -> Span:
    exchange, symbol = (None, None) if args.symbol is None else filtered_market(args.symbol, settings)
    return Span.of(
        symbol, args.stream, args.interval, exchange=exchange, from_ns=args.from_ns, to_ns=args.to_ns
    )


def _settings(args: argparse.Namespace) -> Settings:
    """With a broker the store is needed only for freshness and --verify, so that it may be missing."""
    try:
        return store_settings(args.data_dir)
    except NothingFound:
        settings = load_settings()
        if not settings.kafka_bootstrap_servers:
            raise
        return settings
