"""The command line of `cryptostream run`, checked before anything is started."""

from __future__ import annotations

import argparse
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from shared.arguments import finite, named, whole
from shared.errors import RecordingError, UsageError

SourceWord = Literal["auto", "live", "simulator", "replay"]
BrokerWord = Literal["auto", "kafka", "memory", "external"]
_SOURCES: Final[tuple[SourceWord, ...]] = ("auto", "live", "simulator")
_UNCHANGED: Final = ("store", "symbols", "intervals", "shift_now", "data_dir", "seed", "issued_log")
_BROKERS: Final[tuple[BrokerWord, ...]] = ("auto", "kafka", "memory")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The command line of `run`.

    Attributes:
        recordings: files to replay; empty unless `source` is "replay".
        address: HOST:PORT of the broker; empty unless `broker` is "external".
        duration_s: seconds from the start of the services; None: until stopped.
        speed: of a replay; 0 is as fast as possible.
        seed: of the simulated world; None takes the data directory's, or 1.
        issued_log: the simulator's log of what it issued.
        web: serve the page.
    """

    source: SourceWord
    recordings: tuple[Path, ...]
    broker: BrokerWord
    address: str
    store: str | None
    symbols: str | None
    intervals: str | None
    duration_s: float | None
    speed: float
    shift_now: bool
    data_dir: Path | None
    screen: bool
    web: bool
    seed: int | None
    issued_log: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `run` (DESIGN §4.5)."""
    parser.add_argument(
        "--source",
        nargs="+",
        default=["auto"],
        metavar="auto|live|simulator|FILE",
        help="auto = the live exchanges, else simulated ones; FILE… = recordings to replay",
    )
    parser.add_argument(
        "--broker",
        default="auto",
        metavar="auto|kafka|memory|HOST:PORT",
        help="auto = KAFKA_BOOTSTRAP_SERVERS, else a Kafka of its own, else one in memory",
    )
    parser.add_argument("--store", choices=("sqlite", "influxdb"), help="default: STORE, else sqlite")
    parser.add_argument(
        "--symbols",
        type=named,
        metavar="A,B,…",
        help="like BTCUSDC,kraken:BTC/USD (default: SYMBOLS; in a replay those recorded)",
    )
    parser.add_argument("--intervals", metavar="1s,1m,…", help="default: INTERVALS")
    parser.add_argument("--duration", type=finite, metavar="S", help="stop after so many seconds")
    parser.add_argument("--speed", type=finite, metavar="X", help="speed of a replay (0: as fast as it goes)")
    parser.add_argument("--shift-now", action="store_true", help="shift a replay's times to now")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="default: data/live|simulator|replay")
    parser.add_argument("--no-ui", action="store_true", help="plain lines instead of the screen")
    parser.add_argument("--no-web", action="store_true", help="without the page in the browser")
    parser.add_argument("--seed", type=whole, metavar="N", help="seed of the simulated market")
    parser.add_argument(
        "--issued-log",
        type=Path,
        metavar="FILE",
        help="log of what the simulator issued; of several exchanges a file each",
    )


def read_options(arguments: argparse.Namespace) -> RunOptions:
    """The checked options.

    Raises:
        UsageError: options that contradict each other; the message says which fit.
        RecordingError: a file to replay does not exist.
    """
    source, recordings = _source(arguments.source)
    broker, address = _broker(arguments.broker)
    if arguments.duration is not None and not arguments.duration > 0:
        raise UsageError(f"--duration {arguments.duration:g}: give seconds, more than 0")
    if arguments.speed is not None and not 0 <= arguments.speed < float("inf"):
        raise UsageError(
            f"--speed {arguments.speed:g}: give a factor such as 20, or 0 for as fast as it goes"
        )
    if source != "replay":
        for given, name in ((arguments.speed is not None, "--speed"), (arguments.shift_now, "--shift-now")):
            if given:
                raise UsageError(f"{name}: only for recordings; name their files by --source FILE…")
    if source not in ("auto", "simulator"):
        for given, name in ((arguments.seed, "--seed"), (arguments.issued_log, "--issued-log")):
            if given is not None:
                raise UsageError(f"{name} {given}: only for the simulator; add --source simulator")
    return RunOptions(
        source=source,
        recordings=recordings,
        broker=broker,
        address=address,
        duration_s=arguments.duration,
        speed=1.0 if arguments.speed is None else arguments.speed,
        screen=not arguments.no_ui,
        web=not arguments.no_web,
        **{name: getattr(arguments, name) for name in _UNCHANGED},
    )


def _source(words: list[str]) -> tuple[SourceWord, tuple[Path, ...]]:
    for kind in _SOURCES:
        if words == [kind]:
            return kind, ()
    files = tuple(Path(word) for word in words)
    for file in files:
        if str(file) in _SOURCES:
            raise UsageError(f"--source {' '.join(words)}: name either {file} or files, not both")
        fault = None if str(file) == "-" else _fault_of(file)
        if fault is not None:
            raise RecordingError(
                f"--source {file}: {fault}; name recordings, or one of {', '.join(_SOURCES)}"
            )
    return "replay", files


def _fault_of(file: Path) -> str | None:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) else "no file, but a folder or a device"


def _broker(word: str) -> tuple[BrokerWord, str]:
    for kind in _BROKERS:
        if word == kind:
            return kind, ""
    hosts = word.split(",")
    if not all(_is_host_and_port(host) for host in hosts):
        raise UsageError(f"--broker {word}: choose from {', '.join(_BROKERS)}, or name a Kafka by HOST:PORT")
    return "external", word


def _is_host_and_port(word: str) -> bool:
    host, _, port = word.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65_536
