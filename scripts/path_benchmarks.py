"""Sections of docs/benchmarks.md about the paths of producers and consumers, beside peers and end to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.consumer_parts import BARE, FORMER, OURS
from bench.peers.pins import CRYPTOFEED, PINS, QUIX, TELEGRAF
from bench.report import spread
from bench.rounds import Goal, times
from scripts.benchmark_tables import Result, table

_COLUMNS: Final = {
    "thread_us": "CPU µs, main thread",
    "cpu_us": "CPU µs, process",
    "resident_mb": "resident MB",
}
_PRODUCER_COLUMNS: Final = ("thread_us", "cpu_us", "resident_mb")
_CONSUMER_COLUMNS: Final = ("cpu_us", "resident_mb")


def goals(asked: Sequence[Goal]) -> Iterator[str]:
    """Each target beside its figure, and whether it is reached or by how much it is short."""
    yield from table(
        ("target", "measured", "outcome"), [(goal.asked, goal.measured, goal.outcome) for goal in asked]
    )


def producer_section(result: Result) -> Iterator[str]:
    sides = result["sides"]
    yield from goals(
        [
            Goal("CPU of the main thread, bare loop / ours", _of(sides, BARE, "thread_us"), 90, "%"),
            Goal("rate, ours / bare loop", 100 / times(sides, BARE, OURS, "messages_per_s"), 85, "%"),
        ]
    )
    yield ""
    yield _counts(result, "messages")
    yield "The bare loop decodes, encodes and sends each frame, under uvloop; ours holds every field to its"
    yield "rule, steps the sequences, the book and the ledger. Both are processes with the same librdkafka."
    yield ""
    yield from _rounds("socket → Kafka", sides, "messages/s", _PRODUCER_COLUMNS)


def cryptofeed_section(result: Result) -> Iterator[str]:
    sides = result["sides"]
    ratio = times(sides, CRYPTOFEED.title, OURS, "cpu_us")
    yield from goals([Goal(f"CPU of the process, {CRYPTOFEED.title} / ours", ratio, 10, "×")])
    yield ""
    yield f"{result['messages']:,} messages of ours and {result['peer_messages']:,} of cryptofeed's, which"
    yield f"take it longer, in {_turns(result)}."
    yield "The same market of Binance's frames: trades, quotes, changes of the book and bars of a minute,"
    yield "each a record on Kafka, acknowledged by all. cryptofeed takes `aggTrade` for trades. Its own"
    yield "writer waits for the answer to each record of a channel; what comes meanwhile stays in a queue"
    yield "without bound: nothing is dropped. It writes no copies of the whole book between the changes, and"
    yield "does all work in its main thread."
    yield ""
    yield from _rounds("socket → Kafka", sides, "messages/s", _PRODUCER_COLUMNS)


def symbols_section(result: Result) -> Iterator[str]:
    sides = result["sides"]
    few, many = str(min(map(int, sides))), str(max(map(int, sides)))
    ratio = times(sides, many, few, "thread_us")
    yield from goals([Goal(f"CPU a message, {many} symbols / {few}", ratio, 1.6, "×", at_least=False)])
    yield ""
    yield _counts(result, "messages")
    yield ""
    yield from _rounds("symbols of one process", sides, "messages/s", _PRODUCER_COLUMNS)


def trades_section(result: Result) -> Iterator[str]:
    sides = result["sides"]
    asked = [Goal("rate, ours / bare loop", _rate(sides, BARE) * 100, 85, "%")]
    if TELEGRAF.title in sides:
        asked += [
            Goal(f"rate, ours / {TELEGRAF.title}", _rate(sides, TELEGRAF.title), 1.1, "×"),
            _equal("trades", result),
        ]
    yield from goals(asked)
    yield ""
    yield _counts(result, "trades")
    yield f"By CPU of the process ours has {_of(sides, BARE, 'cpu_us'):.0f} % of the bare loop's pace."
    yield _encoding(result)
    if result["unavailable"]:
        yield f"{TELEGRAF.title} was not measured: {result['unavailable']}."
    yield "Trades of one millisecond overwrite each other in Telegraf's points, whose time has no id: here no"
    yield "two have the same."
    yield ""
    yield from _rounds("trades → InfluxDB", sides, "trades/s", _CONSUMER_COLUMNS)


def quix_section(result: Result) -> Iterator[str]:
    sides = result["sides"]
    yield from goals(
        [
            Goal(f"rate, ours / {QUIX.title}", _rate(sides, QUIX.title), 1.9, "×"),
            Goal(
                f"CPU of the process, {QUIX.title} / ours",
                times(sides, QUIX.title, OURS, "cpu_us"),
                1.9,
                "×",
            ),
            _equal("values", result),
        ]
    )
    yield ""
    yield _counts(result, "bars")
    yield _encoding(result)
    yield ""
    yield from _rounds("bars, six indicators → InfluxDB", sides, "bars/s", _CONSUMER_COLUMNS)


def before_section(result: Result) -> Iterator[str]:
    sides = result["sides"]
    less = 100 * (1 - times(sides, OURS, FORMER, "cpu_us"))
    yield from goals([Goal("CPU less than before", less, 10, "%"), _equal("values of one symbol", result)])
    yield ""
    yield _counts(result, "bars")
    yield f"Before: the consumers of commit {result['commit']}, run from the repository's history, with the"
    yield "same libraries. Each side has an InfluxDB of its own."
    yield ""
    yield from _rounds("bars, all indicators → InfluxDB", sides, "bars/s", _CONSUMER_COLUMNS)


def end_to_end_section(result: Result) -> Iterator[str]:
    steady, busy = result["steady"], result.get("busy")
    p50, p99 = _stored(steady)
    cores = sum(steady["cores"].values())
    asked = [
        Goal("messages/s", steady["messages_per_s"], 2_000, ""),
        Goal("… event → stored, p50", p50, 40, "ms", at_least=False),
        Goal("… p99", p99, 250, "ms", at_least=False),
        Goal("… producers and consumers together", cores, 0.5, "core", at_least=False),
    ]
    if busy:
        asked += [
            Goal("messages/s", busy["messages_per_s"], 10_000, ""),
            Goal("… event → stored, p50", _stored(busy)[0], 60, "ms", at_least=False),
        ]
    if backlog := result.get("backlog"):
        caught_up = backlog["caught_up_per_s"] / 2_000
        name = f"a backlog of {backlog['messages']:,} caught up, of 2,000/s"
        asked.append(Goal(name, caught_up, 10, "×"))
    yield from goals(asked)
    yield ""
    yield "Event → stored is the worst stream's: the median of the medians of 10 s, the worst p99 of 10 s."
    exchange = [f"{state['exchange_cores']:.2f}" for state in (steady, busy) if state]
    yield f"The simulated exchange, one process, took {' and '.join(exchange)} cores beside it."
    for state in filter(None, (steady, busy)):
        yield ""
        yield from _state(state)


def peers_made_by_others() -> Iterator[str]:
    """Of all peers: version, licence, and how it is had."""
    yield "None of them is among our packages or in our images: each is had when a benchmark first needs it,"
    yield "in an environment of its own with pinned hashes. One that cannot be had is left out, and the"
    yield f"benchmark says so. {CRYPTOFEED.title} brings `order_book`, which is GPL-3.0: it lies in the"
    yield "peers' environment alone, and nothing of this project imports it. cryptofeed 3 is not run: it is"
    yield "AGPL-3.0."
    yield ""
    yield from table(
        ("peer", "licence", "had by", "parts"),
        [(pin.title, pin.licence, pin.got, ", ".join(pin.used)) for pin in PINS],
    )


def _of(sides: Mapping[str, Any], other: str, figure: str) -> float:
    """The other side's figure in per cent of ours."""
    return 100 * times(sides, other, OURS, figure)


def _rate(sides: Mapping[str, Any], other: str) -> float:
    return times(sides, OURS, other, "messages_per_s")


def _equal(what: str, result: Result) -> Goal:
    return Goal(f"{what} that differ, of {result['compared']:,}", result["different"], 0, "", at_least=False)


def _counts(result: Result, records: str) -> str:
    return f"{result['messages']:,} {records} a side, in {_turns(result)}."


def _turns(result: Result) -> str:
    return "a single round" if result["rounds"] == 1 else f"{result['rounds']} rounds in turn"


def _encoding(result: Result) -> str:
    how = "compressed by gzip" if result["encoding"] == "gzip" else "uncompressed"
    return f"All sides send their lines {how}, as ours are sent to this machine."


def _rounds(
    title: str, sides: Mapping[str, Sequence[Mapping[str, float]]], rate: str, figures: Sequence[str]
) -> Iterator[str]:
    rows = []
    for side, rounds in sides.items():
        cells = [
            spread([one[figure] for one in rounds], 0 if figure == "resident_mb" else 1)
            if all(figure in one for one in rounds)
            else ""
            for figure in figures
        ]
        rows.append((side, spread([one["messages_per_s"] for one in rounds]), *cells))
    yield from table((title, rate, *(_COLUMNS[figure] for figure in figures)), rows)


def _stored(state: Mapping[str, Any]) -> tuple[float, float]:
    """The worst stream's p50 and p99."""
    found = [hop for name, hop in state["latencies_ms"].items() if name.endswith("stored")]
    return max(hop["p50"] for hop in found), max(hop["p99"] for hop in found)


def _state(state: Mapping[str, Any]) -> Iterator[str]:
    rate = f"{state['messages_per_s']:,.0f} messages/s"
    rows = [(name, f"{hop['p50']:,.0f}", f"{hop['p99']:,.0f}") for name, hop in state["latencies_ms"].items()]
    yield from table((f"{rate}: stream and hop, age in ms", "p50", "worst p99 of 10 s"), rows)
    yield ""
    held = state["resident_mb"]
    rows = [(name, f"{used:.2f}", f"{held[name]:.0f}") for name, used in state["cores"].items()]
    rows.append(("together", f"{sum(state['cores'].values()):.2f}", f"{sum(held.values()):.0f}"))
    yield from table((f"{rate}: process", "cores", "resident MB"), rows)
