"""`python -m simulator` and `cryptostream simulate`: arguments, signals, events on standard output."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import orjson
import uvloop

from shared.arguments import finite, named, whole
from shared.command import main_of, stop_signals
from shared.errors import UsageError
from shared.logs import set_up_logging
from shared.pipes import Readable, readable
from shared.settings import Settings, load_settings
from shared.shortened import shortened
from simulator.faults.kinds import OF_THE_MARKET
from simulator.faults.market import halts_by_symbol, listed_by_symbol, restarts_by_symbol
from simulator.faults.script import check_symbols, parse_script
from simulator.protocols.registry import EXCHANGES, Spoken
from simulator.recordings.files import open_recordings
from simulator.recordings.player import Player, shift_to
from simulator.server.app import Simulator, SimulatorOptions
from simulator.server.connection import ConnectionRules
from simulator.world.world import World

# A minute of a busy symbol then holds a million trades; beyond that a minute no longer fits its draw.
_HIGHEST_RATE = 2_000.0
# A snapshot of 22 MB, four times the greatest that was recorded.
_MOST_FAR_LEVELS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments, without `--debug`, which every command has."""
    add = parser.add_argument
    add(
        "--exchange",
        choices=tuple(EXCHANGES),
        default="binance",
        help="whose protocol is spoken (default: %(default)s)",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=whole, default=0, help="port to listen on; 0 takes a free one (default)")
    add("--symbols", type=named, help="comma-separated, as the exchange writes them (default: the settings')")
    add("--seed", type=whole, default=1, help="another seed, another market (default: %(default)s)")
    add(
        "--start",
        type=whole,
        metavar="MS",
        help="the world's time at the start, ms since the epoch (default: now)",
    )
    add("--resume", action="store_true", help="go on with the world of --start: its time is now")
    add("--rate", type=finite, default=1.0, help="multiplies the trades from the start on (default: 1)")
    add(
        "--speed",
        type=finite,
        default=1.0,
        help="world seconds in a real second; in replay 0 = as fast as taken",
    )
    add("--replay", nargs="+", type=Path, metavar="FILE", help="serve recordings instead of a seeded market")
    add("--shift-now", action="store_true", help="move the recording's times to now")
    add("--log", type=Path, metavar="FILE", help="write what was issued, as JSON lines")
    add(
        "--log-intervals",
        metavar="1s,1m,…",
        help="log trades and bars of these intervals from the start on, whoever asks for them",
    )
    add("--market-data-only", action="store_true", help="only the endpoints of the market-data host")
    add(
        "--far-levels",
        type=whole,
        metavar="N",
        help="Coinbase: levels on each side of a book that nobody reaches (default: 22500: 5 MB)",
    )
    add("--ping-interval", type=finite, default=20.0, metavar="S", help="seconds (default: %(default)s)")
    add("--pong-timeout", type=finite, default=60.0, metavar="S", help="seconds (default: %(default)s)")
    add("--connection-age", type=finite, default=86_400.0, metavar="S", help="seconds a connection lives")
    add(
        "--announce-shutdown", action="store_true", help="send serverShutdown before a connection ends of age"
    )
    add("--shutdown-lead", type=finite, default=0.0, metavar="S", help="how many seconds before")
    add(
        "--hold",
        type=whole,
        nargs="?",
        const=1,
        default=0,
        metavar="N",
        help="the world's clock stands at its start until N connections (default: 1) have subscribed",
    )
    add(
        "--freeze-at",
        type=finite,
        metavar="S",
        help="world seconds after the start at which the market stops",
    )
    add("--faults", type=Path, metavar="FILE", help="a script of faults (docs/simulator.md)")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:key=value,…]",
        help="one more fault, like skip:streams=trade,probability=0.01; may be repeated",
    )
    add(
        "--fault-seed",
        type=whole,
        metavar="N",
        help="of the faults' draws (default: the script's, else --seed)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; the exit code.

    Raises:
        UsageError, SettingsError, RecordingError: a wrong argument, setting or file.
    """
    with readable(arguments.replay or ()) as files:
        return _run(arguments, files)


def _run(arguments: argparse.Namespace, files: list[Readable]) -> int:
    _check(arguments)
    spoken = EXCHANGES[arguments.exchange]
    script = parse_script(arguments.faults, arguments.fault, spoken.dialect.scope)
    settings = load_settings(symbols=None if spoken.checked else arguments.symbols)
    set_up_logging(settings.log_level, settings.log_format)
    now_ms = time.time_ns() // 1_000_000
    exchange: World | Player
    seeds = (arguments.fault_seed, script.seed, arguments.seed)
    fault_seed = next(seed for seed in seeds if seed is not None)
    if arguments.replay:
        for fault in script.faults:
            if fault.kind in OF_THE_MARKET:
                raise UsageError(
                    f"fault {fault.kind} belongs to the seeded market; leave it out with --replay"
                )
        recording = open_recordings(
            [file.path for file in files], lambda read: _say({"event": "reading", "read": read})
        )
        for note in recording.notes:
            _say({"event": "note", "text": note})
        exchange = Player(recording, shift_to(recording, now_ms) if arguments.shift_now else 0)
    else:
        start_ms = now_ms if arguments.start is None else arguments.start
        clock_start_ms = max(start_ms, now_ms) if arguments.resume else start_ms
        symbols = _symbols(arguments.symbols, spoken) or symbols_on(arguments.exchange, settings)
        exchange = spoken.world(
            symbols,
            arguments.seed,
            start_ms,
            arguments.rate,
            clock_start_ms=clock_start_ms,
            halts=halts_by_symbol(script.faults, fault_seed, clock_start_ms, symbols),
            listed_ms=listed_by_symbol(script.faults, clock_start_ms, symbols),
            trade_restarts_ms=restarts_by_symbol(script.faults, clock_start_ms, symbols, "trade"),
            update_restarts_ms=restarts_by_symbol(script.faults, clock_start_ms, symbols, "depth"),
        )
    check_symbols(script.faults, exchange.symbols)
    logged = load_settings(intervals=arguments.log_intervals).intervals if arguments.log_intervals else ()
    options = SimulatorOptions(
        host=arguments.host,
        port=arguments.port,
        speed=arguments.speed,
        market_data_only=arguments.market_data_only,
        log=arguments.log,
        rules=ConnectionRules(
            ping_interval=arguments.ping_interval,
            pong_timeout=arguments.pong_timeout,
            age=arguments.connection_age,
            announce_shutdown=arguments.announce_shutdown,
            shutdown_lead=arguments.shutdown_lead,
        ),
        faults=script.faults,
        fault_seed=fault_seed,
        hold=arguments.hold,
        freeze_at=arguments.freeze_at,
        log_intervals=logged,
        far_levels=arguments.far_levels,
    )
    uvloop.run(_serve(exchange, options))
    return 0


def symbols_on(exchange: str, settings: Settings) -> tuple[str, ...]:
    """The symbols of the settings that belong to an exchange, without its name before them.

    Raises:
        UsageError: none does.
    """
    found = settings.of(exchange).symbols
    if not found:
        raise UsageError(
            f"SYMBOLS: {','.join(settings.symbols)} has none of {exchange}; name some with --symbols"
        )
    return found


def _symbols(text: str | None, spoken: Spoken) -> tuple[str, ...]:
    """The symbols of an exchange that writes them in its own way; empty: the settings have them."""
    if spoken.checked is None:
        return ()
    if text is None:
        return spoken.symbols
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--symbols {text!r} names none; write them like {','.join(spoken.symbols[:2])}")
    return tuple(dict.fromkeys(spoken.checked(name) for name in names))


async def _serve(exchange: World | Player, options: SimulatorOptions) -> None:
    stop = asyncio.Event()
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, stop.set)
    simulator = Simulator(
        exchange, options, lambda frames: _say({"event": "replay_finished", "frames": frames}), failed
    )
    try:
        await simulator.start()
    except UnicodeError:
        # The encoding of internationalized names fails: a part is empty or longer than 63 characters.
        raise UsageError(
            f"--host {shortened(options.host)}: is no name of a host; give one, or an address"
        ) from None
    address = f"{options.host}:{simulator.port}"
    _say(
        {
            "event": "listening",
            "port": simulator.port,
            "rest_url": f"http://{address}",
            "ws_url": f"ws://{address}",
        }
    )
    await stop.wait()
    await simulator.stop()
    if failures:
        # Without a market clients would wait for ever.
        raise failures[0]


def _say(event: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(event).decode() + "\n")
    sys.stdout.flush()


def _check(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.port <= 65_535:
        raise UsageError(f"--port {arguments.port} is not a port; choose 1 to 65535, or 0 for a free one")
    if not 0 < arguments.rate <= _HIGHEST_RATE:
        raise UsageError(
            f"--rate {arguments.rate:g} is not possible; choose above 0, up to {_HIGHEST_RATE:g}"
        )
    if not (0 < arguments.speed <= 1_000 or (arguments.speed == 0 and arguments.replay)):
        raise UsageError(
            f"--speed {arguments.speed:g} is not possible; choose above 0, up to 1000 (0: in replay only)"
        )
    # Binance's history begins in 2017; years beyond 2100 are a wrong unit.
    if arguments.start is not None and not 1_483_228_800_000 <= arguments.start <= 4_102_444_800_000:
        raise UsageError(
            f"--start {arguments.start} is not a time in ms between 2017 and 2100, like 1785767100000"
        )
    for name in ("ping_interval", "pong_timeout", "connection_age"):
        if not getattr(arguments, name) > 0:
            raise UsageError(
                f"--{name.replace('_', '-')} {getattr(arguments, name):g} is not above 0 seconds"
            )
    if not 0 <= arguments.shutdown_lead <= arguments.connection_age:
        raise UsageError(
            f"--shutdown-lead {arguments.shutdown_lead:g} is not between 0 and --connection-age "
            f"{arguments.connection_age:g}"
        )
    if arguments.hold < 0:
        raise UsageError(f"--hold {arguments.hold} is not a number of connections")
    if arguments.freeze_at is not None and not arguments.freeze_at > 0:
        raise UsageError(f"--freeze-at {arguments.freeze_at:g} is not above 0 seconds")
    if arguments.log_intervals is not None and arguments.log is None:
        raise UsageError("--log-intervals: says what goes into a log; name its file with --log FILE")
    _check_exchange(arguments)
    _check_replay(arguments)


def _check_exchange(arguments: argparse.Namespace) -> None:
    if arguments.replay and arguments.exchange != "binance":
        raise UsageError(
            f"--exchange {arguments.exchange} has no recordings to --replay; leave one of them out"
        )
    if arguments.market_data_only and arguments.exchange != "binance":
        raise UsageError(
            f"--market-data-only is a host of Binance; leave it out with --exchange {arguments.exchange}"
        )
    if arguments.far_levels is not None:
        if arguments.exchange != "coinbase":
            raise UsageError("--far-levels belongs to the books of --exchange coinbase; leave it out")
        if not 0 <= arguments.far_levels <= _MOST_FAR_LEVELS:
            raise UsageError(f"--far-levels {arguments.far_levels} is not between 0 and {_MOST_FAR_LEVELS:,}")


def _check_replay(arguments: argparse.Namespace) -> None:
    if arguments.shift_now and not arguments.replay:
        raise UsageError("--shift-now moves a recording; name one with --replay FILE")
    if arguments.replay and (arguments.start is not None or arguments.rate != 1.0):
        raise UsageError("--start and --rate belong to the seeded market; leave them out with --replay")
    if arguments.replay and (arguments.hold or arguments.freeze_at is not None):
        raise UsageError(
            "--hold and --freeze-at belong to the seeded market; a replay waits for its first client"
        )


def main() -> int:
    return main_of("simulator", "An exchange on localhost: Binance, Kraken or Coinbase.", add_arguments, run)


if __name__ == "__main__":
    sys.exit(main())
