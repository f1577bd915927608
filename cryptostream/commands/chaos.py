"""`cryptostream chaos`: breaks a stack on purpose, and shows what was lost and how long recovery took."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptostream.chaos.engines import Engines
from cryptostream.chaos.market import Market, start_before
from cryptostream.chaos.soak import SoakResult, soak, soak_page

_SOAK = "soak"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="what to run, or soak (default: all but soak)")
    add("--seed", type=int, default=1, help="another seed, another market (default: %(default)s)")
    add("--keep", type=Path, metavar="DIR", help="keep engines' data, logs and samples there")
    add("--duration", type=float, default=3_600.0, metavar="S", help="of soak (default: %(default)g)")
    add("--speed", type=float, default=20.0, metavar="X", help="of soak (default: %(default)g)")
    add("--write", type=Path, metavar="FILE", help="write the results to this page")


def run(arguments: argparse.Namespace) -> int:
    """0 if every promise was kept."""
    if arguments.keep is not None:
        return _run(arguments, arguments.keep.resolve())
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        return _run(arguments, Path(directory))


def _run(arguments: argparse.Namespace, directory: Path) -> int:
    say = _sayer()
    with Engines(directory / "engines") as engines:
        return _soak(arguments, engines, directory, say)


def _soak(
    arguments: argparse.Namespace, engines: Engines, directory: Path, say: Callable[[str], None]
) -> int:
    market = Market(
        start_before(time.time_ns() // 1_000_000), symbols=("BTCUSDC", "ETHUSDC"), seed=arguments.seed
    )

    def progress(result: SoakResult) -> None:
        say(f"{result.seconds / 60:.0f} minutes, {sum(map(len, result.samples.values())):,} samples")
        if arguments.write is not None:
            arguments.write.write_text(soak_page(result), encoding="utf-8")

    result = soak(
        engines,
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
