"""`cryptostream query`: stored points as a table, CSV or JSON (DESIGN §4.5)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from consumers.stores.factory import open_reader
from consumers.stores.port import Reader, Row
from cryptostream.arguments import (
    add_data_dir,
    add_format,
    add_times,
    count,
    require_interval,
    require_order,
)
from cryptostream.data_dir import STORE_FILE, influx_of_run, latest_data_dir, latest_store_path
from cryptostream.markets import chosen_market, meant
from cryptostream.query_output import Selection, write_csv, write_json, write_table
from shared.arguments import named
from shared.errors import NothingFound, UsageError
from shared.intervals import INTERVAL_MS
from shared.markets import known_exchange
from shared.settings import Settings, load_settings
from shared.times import iso


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a KIND of the command line reads."""

    measurement: str
    live: str | None = None
    interval: bool | None = False  # required, allowed (None) or refused
    all_symbols: bool = False  # SYMBOL may be ALL: the newest row of each


KINDS: Final = {
    "klines": _Kind("kline", live="kline_live", interval=True),
    "indicators": _Kind("indicator", live="indicator_live", interval=True),
    "trades": _Kind("trade"),
    "book": _Kind("book"),
    "quotes": _Kind("quote"),
    "ledger": _Kind("ledger", interval=None),
    "instruments": _Kind("instrument", all_symbols=True),
}
# As SYMBOL: each one.
ALL: Final = "all"
_TABLE_LAST: Final = 20
# Five bars of all indicators fill 100 columns.
_TABLE_LAST_INDICATORS: Final = 5
# A table is kept in memory; of a longer range it shows the newest rows.
_TABLE_MOST: Final = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("kind", choices=KINDS, help="what to read")
    parser.add_argument(
        "symbol",
        type=named,
        metavar="SYMBOL",
        help=f"like BTCUSDC or kraken:BTC/USD; of instruments also {ALL!r}",
    )
    parser.add_argument(
        "interval",
        metavar="INTERVAL",
        nargs="?",
        help="like 1m; klines and indicators need it, ledger may have it",
    )
    parser.add_argument(
        "--last",
        type=count,
        metavar="N",
        help=f"the newest N (tables: {_TABLE_LAST} unless a range is given)",
    )
    add_times(parser)
    parser.add_argument(
        "--exchange",
        metavar="NAME",
        help="like binance (default: the one of SYMBOLS that has it, else EXCHANGE)",
    )
    parser.add_argument("--live", action="store_true", help="the open bar too, marked as such")
    add_format(parser, "csv", "json")
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Read and print.

    Raises:
        NothingFound: with what the store has instead.
    """
    kind = KINDS[args.kind]
    _check_usage(args, kind)
    settings = store_settings(args.data_dir)
    tags = _tags(args, kind, settings)
    if args.interval:
        tags["interval"] = args.interval
    with closing(open_reader(settings)) as reader:
        last = args.last or _default_last(args)
        rows = iter(_rows(reader, kind, tags, args, last))
        first = next(rows, None)
        if first is None:
            raise NothingFound(_nothing_found(reader, kind, tags, args, settings))
        selection = Selection(kind.measurement, tags, marked=args.live)
        found = chain((first,), rows)
        if args.format == "table":
            shown = write_table(found, selection, sys.stdout)
            if args.last is None and shown >= _TABLE_MOST:
                sys.stderr.write(f"only the newest {shown:,}: --last N shows more, --format csv all\n")
        else:
            columns = selection.columns
            if not columns:  # indicators: a pass over the rows finds them, sorted alike for both stores
                columns = tuple(
                    sorted({name for row in _rows(reader, kind, tags, args, last) for name in row})
                )
            write = write_csv if args.format == "csv" else write_json
            write(found, selection, columns, sys.stdout)
    return 0


def _tags(args: argparse.Namespace, kind: _Kind, settings: Settings) -> dict[str, str]:
    if not _is_of_all(args, kind):
        market = chosen_market(args.symbol, settings, args.exchange)
        return {"exchange": market.exchange, "symbol": market.symbol}
    if args.exchange is None:
        return {}
    try:
        return {"exchange": known_exchange(args.exchange)}
    except ValueError as error:
        raise UsageError(f"--exchange: {error}") from None


def store_settings(data_dir: Path | None) -> Settings:
    """Settings of the store to read: that of a run's directory, else of the settings, else of the last run.

    Raises:
        UsageError: the directory is not that of a run.
        NothingFound: there is no store yet.
    """
    if data_dir is not None:
        if data_dir.is_file():
            raise UsageError(f"--data-dir: {data_dir} is a file; name the directory of a run")
        influx = influx_of_run(data_dir)
        if influx is not None:
            return load_settings(store="influxdb", **influx)
        path = data_dir / STORE_FILE
        if not path.is_file():
            raise UsageError(f"--data-dir: {data_dir} holds no {STORE_FILE}; name the directory of a run")
        return load_settings(store="sqlite", sqlite_path=path)
    settings = load_settings()
    if settings.store == "influxdb":
        return _as_last_run(settings)
    if settings.sqlite_path is not None:
        return settings
    latest = latest_store_path()
    if latest is None or not latest.is_file():
        raise NothingFound(
            "nothing is stored yet: start with `make run`, or name a store"
            " (--data-dir DIR, SQLITE_PATH, STORE=influxdb)"
        )
    return load_settings(store="sqlite", sqlite_path=latest)


def _as_last_run(settings: Settings) -> Settings:
    """The settings with the bucket for second data of the last run, if that wrote to the same InfluxDB.

    A run of old recordings writes them to the bucket `market`, where nothing expires.
    """
    latest = latest_data_dir()
    influx = influx_of_run(latest) if latest is not None else None
    same = ("influx_url", "influx_org", "influx_bucket_market")
    if influx is None or any(getattr(settings, name) != influx[name] for name in same):
        return settings
    return load_settings(influx_bucket_ticks=influx["influx_bucket_ticks"])


def _check_usage(args: argparse.Namespace, kind: _Kind) -> None:
    if args.interval is not None:
        require_interval("INTERVAL", args.interval)
    if kind.interval is True and args.interval is None:
        raise UsageError(
            f"{args.kind}: need an INTERVAL, like: cryptostream query {args.kind} {args.symbol} 1m"
        )
    if kind.interval is False and args.interval is not None:
        raise UsageError(f"{args.kind}: have no INTERVAL; leave {args.interval} out")
    if args.live and kind.live is None:
        raise UsageError(f"--live: {args.kind} have no open bar; it is for klines and indicators")
    require_order(args.from_ns, args.to_ns)


def _is_of_all(args: argparse.Namespace, kind: _Kind) -> bool:
    return kind.all_symbols and str(args.symbol).lower() == ALL


def _default_last(args: argparse.Namespace) -> int | None:
    if _is_of_all(args, KINDS[args.kind]):
        return 1
    if args.format != "table":
        return None
    if args.from_ns is not None or args.to_ns is not None:
        return _TABLE_MOST
    return _TABLE_LAST_INDICATORS if args.kind == "indicators" else _TABLE_LAST


def _rows(
    reader: Reader, kind: _Kind, tags: dict[str, str], args: argparse.Namespace, last: int | None
) -> Iterator[Row]:
    """The stored rows; with --live also those of the open bar, all with `closed`."""
    newest_ns = -1
    for row in reader.read(kind.measurement, tags, from_ns=args.from_ns, to_ns=args.to_ns, last=last):
        newest_ns = int(row["time_ns"] or 0)
        yield row | {"closed": True} if args.live else row
    if not args.live or kind.live is None:
        return
    for row in reader.read(kind.measurement, tags, last=1):
        newest_ns = int(row["time_ns"] or 0)
    # Skip a live point whose bar has closed meanwhile.
    start_ns = max(newest_ns + 1, args.from_ns or 0)
    for row in reader.read(kind.live, tags, from_ns=start_ns, to_ns=args.to_ns):
        yield row | {"closed": False}


def _nothing_found(
    reader: Reader, kind: _Kind, tags: dict[str, str], args: argparse.Namespace, settings: Settings
) -> str:
    if "symbol" not in tags:
        return f"no {args.kind}: the store holds none of them yet"
    exchange, symbol = tags["exchange"], tags["symbol"]
    asked = " ".join(filter(None, (args.kind, "of", symbol, args.interval)))
    stored: dict[str, list[str]] = {}
    others: set[str] = set()
    elsewhere: set[str] = set()
    for row in reader.read(kind.measurement, {}, last=1):
        if row["exchange"] != exchange:
            others.add(str(row["exchange"]))
            if row["symbol"] == symbol:
                elsewhere.add(f"{row['exchange']}:{symbol}")
            continue
        intervals = stored.setdefault(str(row["symbol"]), [])
        if row.get("interval"):
            intervals.append(str(row["interval"]))
    if elsewhere and symbol not in stored:
        return f"no {asked} at {exchange}; the store holds {' and '.join(sorted(elsewhere))}"
    if others and not stored:
        return f"no {asked}: the store holds nothing of {exchange}; name another by --exchange: " + ", ".join(
            sorted(others)
        )
    near = meant(symbol, [*stored, *(each.symbol for each in settings.markets if each.exchange == exchange)])
    hint = f"; did you mean {near}?" if near is not None else ""
    if not stored:
        return f"no {asked}: the store holds no {args.kind} at all yet{hint}"
    known = stored.get(symbol)
    if known is not None and (not args.interval or args.interval in known):
        begin, end = ("…" if ns is None else iso(ns // 10**6) for ns in (args.from_ns, args.to_ns))
        return f"no {asked} from {begin} to {end}; ask for another time"
    listed = ", ".join(
        f"{symbol} ({' '.join(sorted(set(intervals), key=_shortest_first))})" if intervals else symbol
        for symbol, intervals in sorted(stored.items())
    )
    return f"no {asked}{hint or ';'} the store holds {args.kind} of {listed}"


def _shortest_first(interval: str) -> tuple[int, str]:
    # Another program's points may have intervals of its own.
    return INTERVAL_MS.get(interval, 0), interval
