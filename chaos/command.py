"""`cryptostream chaos`: injects faults into a stack, and reports losses and recovery times."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from chaos.market import Market, start_before
from chaos.report import as_json, as_page, as_table, listed
from chaos.result import Result
from chaos.runner import Runner
from chaos.scenarios import Scenario
from chaos.servers import Servers
from chaos.soak import SoakResult, soak, soak_page
from chaos.venues import VENUES, Venue, chosen
from shared.arguments import finite, whole
from shared.errors import UsageError

_SOAK = "soak"
_SOAK_SYMBOLS = ("BTCUSDC", "ETHUSDC")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="what to run, or soak (default: all but soak)")
    add(
        "--exchange",
        choices=tuple(VENUES),
        default="binance",
        help="which one is simulated and followed (default: %(default)s)",
    )
    add("--list", action="store_true", help="name the scenarios and end")
    add(
        "--kills",
        type=whole,
        default=5,
        metavar="N",
        help="of each scenario that kills (default: %(default)s)",
    )
    add(
        "--rounds",
        type=whole,
        default=1,
        metavar="N",
        help="runs of each scenario, each of another market and by other chances (default: %(default)s)",
    )
    add("--seed", type=whole, default=1, help="another seed, another market (default: %(default)s)")
    add("--format", choices=("table", "json"), default="table", help="of the results (default: %(default)s)")
    add("--keep", type=Path, metavar="DIR", help="keep the engines' data, logs and samples there")
    add("--write", type=Path, metavar="FILE", help="enter the results in this page")
    add("--duration", type=finite, default=3_600.0, metavar="S", help="of soak (default: %(default)g)")
    add("--speed", type=finite, default=20.0, metavar="X", help="of soak (default: %(default)g)")


def run(arguments: argparse.Namespace) -> int:
    """0 if every promise was kept, 1 if not.

    Raises:
        UsageError: an unknown scenario, a number that is not above 0.
    """
    venue = VENUES[arguments.exchange]
    if arguments.list:
        sys.stdout.write(listed(venue))
        return 0
    soaking = arguments.scenarios == [_SOAK]
    if soaking and arguments.exchange != "binance":
        raise UsageError(f"soak follows Binance; leave out --exchange {arguments.exchange}")
    scenarios = () if soaking else chosen(arguments.scenarios, venue)
    for name in ("kills", "rounds", "duration", "speed"):
        if getattr(arguments, name) <= 0:
            raise UsageError(f"--{name} {getattr(arguments, name):g} is not above 0")
    if arguments.keep is not None:
        return _run(arguments, venue, scenarios, arguments.keep.resolve())
    with tempfile.TemporaryDirectory(prefix="cryptostream-chaos-") as directory:
        return _run(arguments, venue, scenarios, Path(directory))


def _run(arguments: argparse.Namespace, venue: Venue, scenarios: Sequence[Scenario], directory: Path) -> int:
    say = _sayer()
    with Servers.start(directory / "engines") as servers:
        if not scenarios:
            return _soak(arguments, servers, directory, say)
        start_ms = start_before(time.time_ns() // 1_000_000)
        runners = [
            Runner(
                servers,
                venue.market(start_ms, arguments.seed + number),
                directory / f"round-{number + 1}" if number else directory,
                say,
                kills=arguments.kills,
            )
            for number in range(arguments.rounds)
        ]
        results: list[Result] = []
        for scenario in scenarios:
            results.append(Result(scenario))
            for runner in runners:
                result = runner.run(scenario)
                _report(result, say)
                results[-1].include(result)
            # After each scenario, so that an interrupted run leaves its results.
            if arguments.write is not None:
                page = arguments.write.read_text(encoding="utf-8") if arguments.write.exists() else ""
                now = datetime.now(UTC)
                arguments.write.write_text(as_page(page, results, now, venue), encoding="utf-8")
    if arguments.format == "json":
        sys.stdout.write(orjson.dumps(as_json(results), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write(as_table(results))
    return 1 if any(result.broken() or result.too_slow for result in results) else 0


def _report(result: Result, say: Callable[[str], None]) -> None:
    say(f"{result.scenario.name}: {result.outcome} in {result.seconds:.0f} s")
    for line in result.broken():
        say(f"  {line}")


def _soak(
    arguments: argparse.Namespace, servers: Servers, directory: Path, say: Callable[[str], None]
) -> int:
    market = Market(start_before(time.time_ns() // 1_000_000), symbols=_SOAK_SYMBOLS, seed=arguments.seed)

    def progress(result: SoakResult) -> None:
        say(f"{result.seconds / 60:.0f} minutes, {sum(map(len, result.samples.values())):,} samples")
        if arguments.write is not None:
            arguments.write.write_text(soak_page(result), encoding="utf-8")

    result = soak(
        servers,
        market,
        duration_s=arguments.duration,
        speed=arguments.speed,
        directory=directory / _SOAK,
        say=say,
        progress=progress,
    )
    sys.stdout.write(soak_page(result))
    return 1 if result.broken() else 0


def _sayer() -> Callable[[str], None]:
    began_s = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began_s:7.1f} s  {line}\n")
        sys.stderr.flush()

    return say
