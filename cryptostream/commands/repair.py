"""`cryptostream repair`: fetches missing bars and trades, and wrong bars, over REST (DESIGN §4.5, §5)."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Final

from consumers.stores.factory import open_reader
from cryptostream.arguments import TIME_HELP, require_interval, require_order, time_ns
from cryptostream.commands.query import store_settings
from cryptostream.ledger_report.claims import Claims
from cryptostream.ledger_report.output import shown_ranges
from cryptostream.ledger_report.recount import count_points
from cryptostream.ledger_report.report import Span, name_of
from cryptostream.ledger_report.survey import expiry_ns, read_claims
from cryptostream.markets import chosen_market
from cryptostream.output import ProgressLine
from cryptostream.repair.fetch import Known, Repair, missing
from cryptostream.repair.indicators import forget_indicators
from producers.publisher import Publisher
from shared.arguments import named
from shared.errors import CryptoStreamError, StoreError, UsageError
from shared.id_ranges import IdRanges
from shared.kafka_reader import TopicReader, broker_address
from shared.ledger import LedgerSeries
from shared.settings import Settings, load_settings
from shared.topics import DEAD_LETTERS, LEDGER, TRADES, indicator_state_topic, klines_topic
from shared.trade_ids import number, split

# Trade ids have ten digits, milliseconds of this century thirteen.
_ID_DIGITS: Final = 12
_RANGES_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What to repair: a span of time, or trade ids (both inclusive)."""

    span: Span
    ids: tuple[int, int] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("symbol", type=named, metavar="SYMBOL", help="like BTCUSDC or kraken:BTC/USD")
    parser.add_argument("stream", choices=("klines", "trades"))
    parser.add_argument("interval", metavar="INTERVAL", nargs="?", help="of klines, like 1m")
    parser.add_argument(
        "--from", dest="first", required=True, metavar="TIME|ID", help=f"first time or trade id; {TIME_HELP}"
    )
    parser.add_argument(
        "--to",
        dest="last",
        required=True,
        metavar="TIME|ID",
        help="end, not included; a trade id is included",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what is missing")
    parser.add_argument(
        "--indicators",
        action="store_true",
        help="let the stopped consumer of these bars compute all their indicators again when it starts",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if nothing is missing any more, 1 if REST lacks some of it."""
    settings = load_settings()
    asked = asked_of(args, settings)
    with closing(TopicReader(broker_address(settings))) as topics:
        claims = Claims(asked.span, expiry_ns(settings), watched_ids=asked.ids)
        read_claims(topics, claims)
    series = _series(claims, asked.span)
    first, last = _range(claims, series, asked)
    ids = missing(first, last, _known(claims, series))
    wrong = _wrong(claims, series, ids)
    count = max(last - first + 1, 0)
    aside = f" ({len(wrong):,} of them stored, and not as their trades say)" if wrong else ""
    text = f"{count:,} looked at, {ids.id_count():,} missing{aside}{_ranges(series, ids)}"
    sys.stdout.write(f"{name_of(series)}: {text}\n")
    if args.dry_run:
        return 0
    if args.indicators:
        _forget_indicators(settings, series)
    return asyncio.run(_repair(settings, series, ids, wrong)) if ids else 0


def _wrong(claims: Claims, series: LedgerSeries, ids: IdRanges) -> dict[int, str | None]:
    """The wrong bars among them, with what their trades say where that is known."""
    said = claims.trades_say(series)
    bars = (range(first, last + 1) for first, last in claims.wrong(series))
    return {number: said.get(number) for number in chain.from_iterable(bars) if number in ids}


def _forget_indicators(settings: Settings, series: LedgerSeries) -> None:
    publisher = Publisher(broker_address(settings))
    publisher.start(frozenset((indicator_state_topic(series.interval),)))
    with closing(TopicReader(broker_address(settings))) as topics:
        known = forget_indicators(topics, publisher, series)
    again = "are" if known else "have no state; they are"
    sys.stdout.write(
        f"indicators of {name_of(series)} {again} computed from {klines_topic(series.interval)} when "
        f"consumer-klines-{series.interval} starts\n"
    )


async def _repair(
    settings: Settings, series: LedgerSeries, ids: IdRanges, wrong: Mapping[int, str | None]
) -> int:
    publisher = Publisher(broker_address(settings))
    topic = TRADES if series.stream == "trades" else klines_topic(series.interval)
    publisher.start(frozenset((topic, LEDGER, DEAD_LETTERS)))
    repair = Repair(settings, series, publisher, wrong=wrong)
    failure: CryptoStreamError | None = None
    try:
        await repair.run(ids)
    except CryptoStreamError as error:
        failure = error
    finally:
        await repair.close()
    left = ids.difference(repair.repaired)
    budget = repair.rest.budget
    sys.stdout.write(
        f"repaired: {repair.repaired.id_count():,}{_ranges(series, repair.repaired)}"
        f" (published on {topic}; weight {budget.used:,} of {budget.allowed:,} a minute)\n"
    )
    if repair.rejected:
        sys.stdout.write(f"dead letters: {repair.rejected:,} rows of REST break the contract\n")
    if failure is not None:
        raise failure
    if left:
        aside = " (or not as the trades say)" if any(number in left for number in wrong) else ""
        sys.stdout.write(f"REST cannot give{aside}: {left.id_count():,}{_ranges(series, left)}\n")
    return 1 if left else 0


def asked_of(args: argparse.Namespace, settings: Settings) -> Asked:
    """What a command line asks to repair.

    Raises:
        UsageError: it contradicts itself.
    """
    market = chosen_market(args.symbol, settings)
    if args.stream == "klines":
        require_interval("INTERVAL", args.interval)
    if args.stream == "trades" and args.interval is not None:
        raise UsageError(f"INTERVAL: trades have none; leave {args.interval} out")
    ids = [_is_trade_id(text) for text in (args.first, args.last)]
    if args.indicators and args.stream == "trades":
        raise UsageError("--indicators: trades have none; leave it out, or take klines")
    if any(ids) and args.stream == "klines":
        raise UsageError("--from, --to: klines are named by times, like 2026-08-03T14:25")
    if any(ids) != all(ids):
        raise UsageError("--from, --to: one is a trade id and the other a time; give two of a kind")
    if all(ids):
        first, last = int(args.first), int(args.last)
        require_order(first, last, inclusive=True)
        return Asked(Span(market.symbol, "trades", exchange=market.exchange), (first, last))
    try:
        from_ns, to_ns = time_ns(args.first), time_ns(args.last)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--from, --to: {error}") from None
    require_order(from_ns, to_ns)
    exchange, symbol = market.exchange, market.symbol
    return Asked(Span.of(symbol, args.stream, args.interval, exchange=exchange, from_ns=from_ns, to_ns=to_ns))


def _is_trade_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS


def _series(claims: Claims, span: Span) -> LedgerSeries:
    if not claims.series:
        name = " ".join(filter(None, (f"{span.exchange}:{span.symbol}", span.stream, span.interval)))
        raise UsageError(
            f"the ledger knows no {name}; a series begins with its producer (cryptostream produce),"
            " and `cryptostream ledger` shows those there are"
        )
    return claims.series[0]


def _range(claims: Claims, series: LedgerSeries, asked: Asked) -> tuple[int, int]:
    """The ids to repair; later ones than the ledger expects are the producer's to fetch."""
    found = claims.id_range(series) if asked.ids is None else asked.ids
    if found is None:
        raise UsageError(f"--from, --to: the ledger has no {name_of(series)} of that time; ask for another")
    last_expected = claims.last_expected(series)
    first, last = found
    if series.stream == "trades":
        # The exchange has no trades of an earlier numbering: by these ids it has other trades.
        base = number(max(0, split(last_expected)[0]), 0)
        first, last = (first + base, last + base) if asked.ids is not None else (max(first, base), last)
    return first, min(last, last_expected)


def _known(claims: Claims, series: LedgerSeries) -> Known:
    found: IdRanges | None = None
    try:
        with (
            closing(open_reader(store_settings(None))) as reader,
            ProgressLine("counting the store", "points") as line,
        ):
            found = count_points(
                reader, series, claims.time_span(series), line.advance, with_indicators=False
            ).ids
    except (StoreError, UsageError) as error:
        sys.stderr.write(f"warning: {error}; going by the ledger alone\n")
    return Known(
        claims.ever_stored(series),
        claims.halted(series),
        found,
        claims.expired(series),
        claims.wrong(series),
    )


def _ranges(series: LedgerSeries, ids: IdRanges) -> str:
    if not ids:
        return ""
    ranges = [(first * series.unit, last * series.unit) for first, last in list(ids)[:_RANGES_SHOWN]]
    more = ids.range_count() - _RANGES_SHOWN
    return f": {shown_ranges(series, ranges)}{f' and {more:,} more ranges' if more > 0 else ''}"
