"""Sections of docs/benchmarks.md about the exchanges: what each costs, and other adapters beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from bench.exchanges import shares
from bench.peers.runs import OURS
from bench.report import spread
from bench.venue_footprint import together_mb
from scripts.benchmark_tables import Result, Target, table, targets

_TITLES: Final = {"binance": "Binance", "kraken": "Kraken", "coinbase": "Coinbase"}
# Which peer the design measures by.
_MEASURED_BY: Final = "cryptofeed 2.5.0"


def exchanges_section(result: Result) -> Iterator[str]:
    asked: list[Target] = []
    path, footprint = result.get("path"), result.get("footprint")
    if path:
        of_bare = shares(path)
        asked += [
            (
                f"{_TITLES[exchange]}: 90 % of Binance's share of the bare loop ({of_bare['binance']:.0%})",
                f"{share / of_bare['binance']:.0%} ({share:.0%})",
                share >= 0.9 * of_bare["binance"],
            )
            for exchange, share in of_bare.items()
            if exchange != "binance"
        ]
    if "checksum_us" in result:
        checksum_us = median(result["checksum_us"])
        asked.append(("Kraken's checksum: 12 µs a message", f"{checksum_us:.1f} µs", checksum_us <= 12))
    if footprint:
        cores, held = sum(footprint["cores"].values()), together_mb(footprint)
        latest = max(seconds for each in footprint["started_s"].values() for seconds in each.values())
        asked += [
            ("three exchanges × four symbols: 0.5 core", f"{cores:.2f}", cores <= 0.5),
            ("… 220 MB, their libraries once", f"{held:.0f} MB", held <= 220),
            ("each symbol starts within 30 s", f"the last one after {latest:.0f} s", latest <= 30),
        ]
    yield from targets(asked)
    yield ""
    yield from _load(result)
    if path:
        yield ""
        yield from _path(path)
    if footprint:
        yield ""
        yield from _footprint(footprint)


def _path(path: Mapping[str, Any]) -> Iterator[str]:
    yield "Frames of Kraken and Coinbase are the simulated market's, of one symbol: trades as they come, ten"
    yield "books a second, and Kraken's quotes. The bare loop reads, decodes, encodes and sends a record for"
    yield "each; ours checks every field, keeps the book with its proof, and builds bars. Coinbase's quotes"
    yield "are those of its book: a further record, which the bare loop has not."
    yield ""
    rows = [
        (
            f"{_TITLES[exchange]}, {whose}",
            spread([one["messages_per_s"] for one in sides[key]]),
            f"{median([one['cpu_us'] for one in sides[key]]):.1f}",
        )
        for exchange, sides in path.items()
        for whose, key in (("bare libraries", "bare"), (OURS, "ours"))
    ]
    yield from table(("producer path", "messages/s", "CPU µs a message"), rows)


def _footprint(footprint: Mapping[str, Any]) -> Iterator[str]:
    yield "Each producer has four symbols and five intervals. Trades, a book in step and a closed bar of a"
    yield "second make a symbol started, counted from the start of the process, all three started at once."
    resident = sum(footprint["resident_mb"].values())
    yield "“Of its own” is what no other process has mapped; the rest is libraries, which containers of one"
    yield f"image share. With them counted three times, {resident:.0f} MB are resident."
    yield ""
    rows = []
    for exchange, cores in footprint["cores"].items():
        started = ", ".join(f"{seconds:.0f}" for seconds in footprint["started_s"][exchange].values())
        messages, held, own = (
            f"{footprint[figure][exchange]:.0f}" for figure in ("messages_per_s", "resident_mb", "own_mb")
        )
        rows.append((_TITLES[exchange], messages, f"{cores:.3f}", held, own, started))
    columns = ("messages/s", "cores", "resident MB", "of its own", "symbols started after s")
    yield from table(("producer", *columns), rows)


def peers_books_section(result: Result) -> Iterator[str]:
    yield "Two symbols on the same market with the same faults, each side on a simulator of its own. Trades"
    yield "are right by id, taker's side, price and quantity. A shown book is wrong if one of its best ten"
    yield "levels is not the exchange's at the book's own time, or at the newest time shown. Of the moments"
    yield "at which the exchange's best ten changed, the last column has the share at which a right book was"
    yield "shown: who is silent while in doubt, or connects again, shows fewer."
    yield ""
    yield from _sides(result)
    yield f"* {OURS}: `market.trades` and `market.book` on Kafka, with `BOOK_INTERVAL_MS=0`."
    yield ""
    yield from _load(result)
    columns = (
        "trades due",
        "missing",
        "twice",
        "wrong side",
        "wrong value",
        "books",
        "wrong",
        "right of due",
    )
    for exchange, found in result["comparisons"].items():
        yield ""
        yield from table(
            (f"{_TITLES[exchange]}, {result['seconds']} s: faults", "side", *columns),
            [
                (name, side, *_cells(comparison))
                for name, scenario in found.items()
                for side, comparison in scenario["sides"].items()
            ],
        )


def _sides(result: Result) -> Iterator[str]:
    for peer, how in result["peers"].items():
        left_out = f" Not run on Kraken: {how['why_not']}." if how["why_not"] else ""
        yield f"* {peer} ({how['licence']}): {how['options']}.{left_out}"
    yield "* cryptofeed 2.5.0 brings `order_book`, which is GPL-3.0: it lies in the environment of the peers"
    yield "  alone, which this benchmark makes when it is run; nothing of this project imports it."
    yield "* cryptofeed 3.0.1 is not run: it is AGPL-3.0. By its source it speaks Kraken's v2, checks its"
    yield "  checksum and Coinbase's count, keeps its asks and gives the taker's side: what is found here of"
    yield "  2.5.0 does not hold for it."


def peers_speed_section(result: Result) -> Iterator[str]:
    speed = result["speed"]
    asked = list(_speed_targets(speed))
    if asked:
        yield from targets(asked)
        yield ""
    yield "Prepared frames, sent at once. “To Kafka” is until everything is acknowledged; the others only"
    yield "call back. cryptofeed's own writer has one message in flight for each channel."
    yield ""
    yield from _load(result)
    columns = ("messages by a second of CPU", "messages/s", "resident MB")
    for exchange, sides in speed.items():
        yield ""
        rows = [
            (
                side,
                spread([one["messages_per_cpu_s"] for one in rounds]),
                spread([one["messages_per_s"] for one in rounds]),
                f"{max(one['resident_mb'] for one in rounds):.0f}",
            )
            for side, rounds in sides.items()
        ]
        yield from table((_TITLES[exchange], *columns), rows)


def _speed_targets(speed: Mapping[str, Any]) -> Iterator[Target]:
    sides = speed.get("coinbase", {})
    ours, theirs = sides.get(f"{OURS}, to Kafka"), sides.get(f"{_MEASURED_BY}, to Kafka")
    if not ours or not theirs:
        return
    ratios = [_median(ours, key) / _median(theirs, key) for key in ("messages_per_s", "messages_per_cpu_s")]
    yield (
        f"10 times {_MEASURED_BY} on the same job: Coinbase's socket → Kafka",
        f"{ratios[0]:.1f} times ({ratios[1]:.1f} by CPU)",
        ratios[0] >= 10,
    )


def _median(rounds: Sequence[Mapping[str, float]], key: str) -> float:
    return median([one[key] for one in rounds])


def _cells(comparison: Mapping[str, Any]) -> list[str]:
    trades, books = comparison["trades"], comparison["books"]
    counts = [trades[key] for key in ("due", "missing", "repeated", "wrong_side", "wrong_value")]
    counts += [books["shown"], books["wrong"]]
    return [*(f"{count:,}" for count in counts), f"{books['right'] / max(1, books['due']):.0%}"]


def _load(result: Result) -> Iterator[str]:
    low, high = min(result["load"]), max(result["load"])
    yield f"Load average of the machine: {low:.1f} to {high:.1f}; it is shared."
