"""`cryptostream dead-letters`: list, show and replay rejected messages (DESIGN §4.5, §5.6)."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from consumers.stores.factory import open_reader, open_store
from cryptostream.arguments import add_format, add_times, count
from cryptostream.commands.query import store_settings
from cryptostream.dead_letters.classify import Classifier
from cryptostream.dead_letters.dead_letter_topic import (
    DeadLetter,
    DeadLetterTopic,
    Filter,
    Position,
    Replayed,
    was_replayed,
)
from cryptostream.dead_letters.outcomes import Obsolete, StillBroken
from cryptostream.dead_letters.output import outcome_text, show_letter, write_csv, write_json, write_table
from cryptostream.dead_letters.replay import Done, Replay
from cryptostream.markets import filtered_market
from producers.publisher import Publisher
from shared.arguments import named
from shared.errors import NothingFound, UsageError
from shared.kafka_reader import TopicReader, broker_address
from shared.settings import Settings, load_settings
from shared.topics import LEDGER, PROGRESS

_LAST: Final = 20
_BROKEN_NAMED: Final = 20
_KINDS: Final[dict[type, str]] = {StillBroken: "broken", Obsolete: "obsolete"}
_WRITERS: Final = {"table": write_table, "csv": write_csv, "json": write_json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the newest letters")
    listing.add_argument(
        "--last", type=count, default=_LAST, metavar="N", help=f"how many (default: {_LAST})"
    )
    _add_source(listing)
    listing.add_argument("--reason", metavar="TEXT", help="only those whose reason has this text")
    add_times(listing)
    add_format(listing, "csv", "json")
    showing = actions.add_parser("show", help="one letter: its headers and bytes")
    showing.add_argument("positions", metavar="PARTITION@OFFSET", nargs=1, help="as `list` shows it")
    replaying = actions.add_parser("replay", help="send letters back that pass the contract by now")
    replaying.add_argument("positions", metavar="PARTITION@OFFSET", nargs="*", help="as `list` shows them")
    replaying.add_argument("--all", action="store_true", help="all letters")
    _add_source(replaying)
    replaying.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--topic",
        metavar="SOURCE",
        help="only those from there: a topic, websocket, rest, or one stream like websocket:btcusdc@trade",
    )
    parser.add_argument(
        "--symbol", type=named, metavar="SYMBOL", help="only this one's, like BTCUSDC or kraken:BTC/USD"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1 if there is no such letter, or one chosen for replay stays."""
    positions = [Position.parse(text) for text in getattr(args, "positions", ())]
    if args.action == "replay":
        selected = args.topic is not None or args.symbol is not None
        if sum((bool(positions), args.all, selected)) != 1:
            raise UsageError(
                "replay: say which letters: PARTITION@OFFSET…, --all, --topic SOURCE or --symbol SYMBOL"
            )
    settings = load_settings()
    asked = getattr(args, "symbol", None)
    market = (None, None) if asked is None else filtered_market(asked, settings)
    with closing(TopicReader(broker_address(settings))) as topics:
        dead_letters = DeadLetterTopic(topics)
        match args.action:
            case "list":
                return _list(dead_letters, args, market)
            case "show":
                show_letter(dead_letters.at(positions)[0], sys.stdout)
                return 0
            case _:
                return _replay(dead_letters, positions, args, settings, market)


_Market = tuple[str | None, str | None]  # exchange and symbol, None for all


def _list(dead_letters: DeadLetterTopic, args: argparse.Namespace, market: _Market) -> int:
    from_ms, to_ms = (None if time_ns is None else time_ns // 10**6 for time_ns in (args.from_ns, args.to_ns))
    wanted = Filter(args.topic, args.reason, from_ms, to_ms, *market)
    letters = dead_letters.newest(args.last, wanted)
    if letters or args.format != "table":
        _WRITERS[args.format](letters, dead_letters.known().replayed, sys.stdout)
    if not letters:
        raise NothingFound(f"no dead letters{' of that kind' if wanted != Filter() else ''}")
    return 0


def _replay(
    dead_letters: DeadLetterTopic,
    positions: list[Position],
    args: argparse.Namespace,
    settings: Settings,
    market: _Market,
) -> int:
    known = dead_letters.known()
    exchange, symbol = market
    letters: Iterable[DeadLetter] = (
        dead_letters.at(positions)
        if positions
        else dead_letters.read(Filter(source=args.topic, exchange=exchange, symbol=symbol))
    )
    before: Counter[str] = Counter()
    fresh = _fresh(letters, known.replayed, before)
    if args.dry_run:
        classifier = Classifier(known.numberings)
        done: Iterable[Done] = (Done(letter, classifier.classify(letter, letter.time_ms)) for letter in fresh)
        return _report(done, before, dry_run=True)
    publisher = Publisher(broker_address(settings))
    publisher.start(frozenset((LEDGER, PROGRESS)))
    replay = Replay(
        publisher,
        known,
        dead_letters.first_readable,
        open_store=lambda: open_store(store_settings(None)),
        open_reader=lambda: open_reader(store_settings(None)),
    )
    with closing(replay):
        return _report(replay.run(fresh), before, dry_run=False)


def _fresh(letters: Iterable[DeadLetter], replayed: Replayed, before: Counter[str]) -> Iterator[DeadLetter]:
    """Dead letters that were not replayed before; the others are counted."""
    for letter in letters:
        if was_replayed(letter, replayed):
            before["replayed"] += 1
        else:
            yield letter


def _report(done: Iterable[Done], before: Counter[str], *, dry_run: bool) -> int:
    counts: Counter[str] = Counter()
    for letter, outcome in done:
        kind = _KINDS.get(type(outcome), "passed")
        counts[kind] += 1
        if kind != "broken" and dry_run:
            sys.stdout.write(f"{letter.position}: {outcome_text(outcome)}\n")
        if kind == "broken" and counts[kind] <= _BROKEN_NAMED:
            sys.stdout.write(f"{letter.position}: stays: {outcome_text(outcome)}\n")
    if counts["broken"] > _BROKEN_NAMED:
        sys.stdout.write(f"… and {counts['broken'] - _BROKEN_NAMED:,} more that stay\n")
    parts = [f"{counts['passed']:,} {'would be replayed' if dry_run else 'replayed'}"]
    if counts["obsolete"]:
        parts.append(f"{counts['obsolete']:,} not needed any more")
    if before["replayed"]:
        parts.append(f"{before['replayed']:,} had been replayed before")
    if counts["broken"]:
        parts.append(f"{counts['broken']:,} cannot be replayed and stay")
    sys.stdout.write(", ".join(parts) + "\n")
    return 1 if counts["broken"] else 0
