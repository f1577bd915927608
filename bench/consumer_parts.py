"""Consumer path: trades beside the bare loop and Telegraf, full bars beside the bare loop or the code before;
a part of `make bench` each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bench import consumer_path, report
from bench.bars import SYMBOLS, fill
from bench.before import BEFORE, NoHistory, checked_out
from bench.consumer_path import (
    KLINE_STREAM,
    SPACING_MS,
    TRADE_STREAM,
    Place,
    fill_trades,
    trades_that_differ,
)
from bench.encoding import encoding_to_this_machine
from bench.parts import options
from bench.peers.pins import TELEGRAF
from bench.peers.telegraf import telegraf
from bench.peers.venv import PeersUnavailable
from bench.rounds import Side, in_turn, result_of, say
from bench.store import settings_of
from consumers.stores.factory import open_reader
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics

OURS: Final = "CryptoStream"
BARE: Final = "bare libraries"
FORMER: Final = "CryptoStream before"
_FIGURES: Final = ("cpu_us", "resident_mb")
# Newest trades: to read them all back takes longer than to write them.
_COMPARED: Final = 50_000


@contextmanager
def _engines(directory: Path) -> Iterator[Place]:
    with KafkaServer(directory / "kafka") as kafka, InfluxServer(directory / "influx") as influx:
        ensure_topics(kafka.bootstrap_servers, ("1m",))
        yield Place(kafka.bootstrap_servers, kafka.pid, influx, encoding_to_this_machine())


def trades(arguments: list[str]) -> int:
    """Trades: ours, the bare loop, and Telegraf where it can be had."""
    asked = options("trades", arguments)
    count = asked.a_round
    unavailable = ""
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
        directory = Path(name)
        with _engines(directory) as place:
            sides: dict[str, Side] = {
                BARE: lambda _: consumer_path.bare(place, TRADE_STREAM, count),
                OURS: lambda _: consumer_path.ours(place, TRADE_STREAM, count),
            }
            try:
                program = telegraf()
                sides[TELEGRAF.title] = lambda _: consumer_path.by_telegraf(place, program, count, directory)
            except PeersUnavailable as why:
                unavailable = str(why)
                say(f"trades: {TELEGRAF.title} is not measured: {why}")
            say(f"trades: filling a topic with {count:,} trades")
            since_ms = fill_trades(place.bootstrap_servers, TRADE_STREAM.topic, count)
            found = in_turn("trades", asked.rounds, sides, warm_up=False)
            compared = different = 0
            if not unavailable:
                say("trades: comparing what is stored")
                newest_ms = since_ms + max(0, count - _COMPARED) * SPACING_MS
                compared, different = trades_that_differ(place.influx, newest_ms)
    report.show_rounds("Trades → points → InfluxDB", found, "trades/s", _FIGURES)
    print(f"{compared:,} trades compared with Telegraf's, {different} differ")
    result = result_of(
        count * asked.rounds,
        asked.rounds,
        found,
        encoding=place.encoding,
        unavailable=unavailable,
        compared=compared,
        different=different,
    )
    print(f"written: {report.write('trades', result)}")
    return 1 if different else 0


def before(arguments: list[str]) -> int:
    """Bars with all indicators: this code, and that of a commit before; each has a store of its own."""
    asked = options("before", arguments)
    each = asked.a_round // len(SYMBOLS)
    count = each * len(SYMBOLS)
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
        directory = Path(name)
        try:
            code = checked_out(BEFORE, directory / "before")
        except NoHistory as why:
            say(f"before: not measured: {why}")
            return 1
        with (
            _engines(directory) as place,
            InfluxServer(directory / "influx-before") as former,
        ):
            say(f"before: filling a topic with {count:,} bars")
            since_ms = fill(place.bootstrap_servers, each)
            sides = in_turn(
                "before",
                asked.rounds,
                {
                    FORMER: lambda _: consumer_path.ours(
                        replace(place, influx=former), KLINE_STREAM, count, code=code
                    ),
                    OURS: lambda _: consumer_path.ours(place, KLINE_STREAM, count),
                },
                warm_up=False,
            )
            say("before: comparing what is stored")
            compared, different = _differ(_bars(former, since_ms), _bars(place.influx, since_ms))
    report.show_rounds("Bars → all indicators → InfluxDB", sides, "bars/s", _FIGURES)
    print(f"{compared:,} values of {SYMBOLS[0]} compared, {different} differ")
    result = result_of(
        count * asked.rounds, asked.rounds, sides, commit=BEFORE, compared=compared, different=different
    )
    print(f"written: {report.write('before', result)}")
    return 1 if different or not compared else 0


def klines(arguments: list[str]) -> int:
    """Bars with all indicators: ours and the bare loop; not among the parts of a whole run."""
    asked = options("before", arguments)
    each = asked.a_round // len(SYMBOLS)
    count = each * len(SYMBOLS)
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name,
        _engines(Path(name)) as place,
    ):
        fill(place.bootstrap_servers, each)
        sides = in_turn(
            "klines",
            asked.rounds,
            {
                BARE: lambda _: consumer_path.bare(place, KLINE_STREAM, count),
                OURS: lambda _: consumer_path.ours(place, KLINE_STREAM, count),
            },
        )
    report.show_rounds("Bars → all indicators → InfluxDB", sides, "bars/s", _FIGURES)
    result = result_of(count * asked.rounds, asked.rounds, sides, encoding=place.encoding)
    print(f"written: {report.write('klines', result)}")
    return 0


def _bars(influx: InfluxServer, since_ms: int) -> dict[Any, Mapping[str, Any]]:
    """Indicators of the first symbol by their times."""
    tags = {"exchange": "binance", "symbol": SYMBOLS[0], "interval": "1m"}
    with closing(open_reader(settings_of(influx))) as reader:
        return {row["time_ns"]: row for row in reader.read("indicator", tags, from_ns=since_ms * 1_000_000)}


def _differ(one: Mapping[Any, Mapping[str, Any]], other: Mapping[Any, Mapping[str, Any]]) -> tuple[int, int]:
    """Values compared, and how many are not the same."""
    compared = different = 0
    for time_ns in one.keys() | other.keys():
        left, right = one.get(time_ns, {}), other.get(time_ns, {})
        for column in (left.keys() | right.keys()) - {"time_ns"}:
            compared += 1
            different += left.get(column) != right.get(column)
    return compared, different
