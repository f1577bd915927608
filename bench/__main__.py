"""`make bench`: the parts of `bench.parts` one after the other, on real engines; each alone by its name.

With `--messages` all of them are smaller. The others run by name and have their own options:
`make bench ARGS="indicators --help"`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench import (
    commits,
    consumer_parts,
    end_to_end,
    exchanges,
    indicators,
    ledger,
    limits,
    producer_parts,
    producer_start,
    quix,
    report,
    restarts,
    scale,
    stages,
    store,
)
from bench.dashboard import main as dashboard
from bench.parts import PARTS, WHOLE_S
from bench.peers import main as peers
from bench.rounds import say
from bench.topics import create_topic
from cryptostream.engines.kafka import KafkaServer
from shared.arguments import Parser, whole
from shared.command import run_command
from shared.errors import CryptoStreamError

Command = Callable[[list[str]], int]

_PARTS: Final[dict[str, Command]] = {
    "producer": producer_parts.producer,
    "cryptofeed": producer_parts.cryptofeed,
    "symbols": producer_parts.symbols,
    "trades": consumer_parts.trades,
    "quix": quix.main,
    "before": consumer_parts.before,
    "end-to-end": end_to_end.main,
}
_OTHERS: Final[dict[str, Command]] = {
    "api": lambda more: dashboard.main(["api", *more]),
    "page": lambda more: dashboard.main(["page", *more]),
    "indicators": indicators.main,
    "klines": consumer_parts.klines,
    "ledger": ledger.main,
    "store": store.main,
    "commits": commits.main,
    "producer-start": producer_start.main,
    "exchanges": exchanges.main,
    "peers": peers.main,
    "restarts": restarts.main,
    "scale": scale.main,
    "stages": stages.main,
}


def main() -> int:
    name, *more = sys.argv[1:] or [""]
    command = (_OTHERS | _PARTS).get(name)
    if command is not None:
        return command(more)
    parser = Parser(prog="bench", description="Figures as ratios to the bare libraries and to peers.")
    parser.add_argument("part", nargs="?", help=f"one alone: {', '.join((*_PARTS, *_OTHERS))}")
    parser.add_argument("--messages", type=whole, help="of each side, in all rounds (default: of each part)")
    asked = parser.parse_args()
    if asked.part:
        parser.error(f"{asked.part}: no such benchmark; choose from {', '.join((*_PARTS, *_OTHERS))}")
    return _whole([] if asked.messages is None else ["--messages", str(asked.messages)])


def _whole(more: Sequence[str]) -> int:
    began_s = time.monotonic()
    parts: dict[str, Any] = {}
    fitness = _fitness()
    for part in PARTS:
        say(f"{part.name}: {part.about}; at most {part.budget_s} s")
        start_s = time.monotonic()
        # End to end it is time that counts.
        options = [] if part.name == "end-to-end" else list(more)
        try:
            code = _PARTS[part.name]([*options, *part.arguments])
        except (SystemExit, CryptoStreamError) as end:  # that part is no result; the others still are
            say(f"{part.name}: {end}")
            code = 1
        took_s = time.monotonic() - start_s
        over = " (over its budget)" if took_s > part.budget_s else ""
        say(f"{part.name}: took {took_s:.0f} s{over}")
        parts[part.name] = {"code": code, "took_s": took_s, "budget_s": part.budget_s}
    whole_s = time.monotonic() - began_s
    say(f"all parts: {whole_s / 60:.1f} of {WHOLE_S / 60:.0f} minutes")
    report.write("whole", {"fitness": fitness, "parts": parts, "took_s": whole_s})
    return max(int(not fitness["fit"]), *(int(part["code"]) for part in parts.values()))


def _fitness() -> dict[str, Any]:
    """Whether bare loops come near the machine's known figures."""
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name,
        KafkaServer(Path(name) / "kafka") as kafka,
    ):
        create_topic(kafka.bootstrap_servers, "bench.limits")
        rounds = [
            (
                limits.bare_in(kafka.bootstrap_servers, "bench.limits", 300_000),
                limits.bare_out(kafka.bootstrap_servers, "bench.limits", 200_000),
            )
            for _ in range(3)
        ]
    best_in, best_out = (max(values) for values in zip(*rounds, strict=True))
    fit = best_in >= limits.FIT * limits.KNOWN_IN and best_out >= limits.FIT * limits.KNOWN_OUT
    report.show(
        "The machine: bare Kafka, 200-byte values (messages/s)",
        ["", "here", "known", "share"],
        [
            ["in", f"{best_in:,.0f}", f"{limits.KNOWN_IN:,}", f"{best_in / limits.KNOWN_IN:.0%}"],
            ["out", f"{best_out:,.0f}", f"{limits.KNOWN_OUT:,}", f"{best_out / limits.KNOWN_OUT:.0%}"],
        ],
    )
    if not fit:
        print(f"VOID: the bare loops must reach {limits.FIT:.0%} of the known figures; the machine is busy.")
    return {"in": best_in, "out": best_out, "fit": fit}


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    sys.exit(run_command(main))
