"""One exchange of a run beside others: names, files, processes, and where its series go on."""

from __future__ import annotations

import argparse
from pathlib import Path

import orjson
import pytest

from cryptostream.run.data_directory import DataDirectory
from cryptostream.run.options import RunOptions, add_arguments, read_options
from cryptostream.run.proof.checks import Result, Status
from cryptostream.run.services import Wiring
from cryptostream.run.source import SourceKind
from cryptostream.run.venue import Venue
from shared.settings import load_settings
from tests.unit.cryptostream.run.test_start_positions import Rows

BOTH = "BTC-USD,coinbase:BTC-USD,coinbase:ETH-USD"


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / "data", "simulator")


def venue(
    directory: DataDirectory, exchange: str, symbols: str = BOTH, kind: SourceKind = "simulator"
) -> Venue:
    settings = load_settings(symbols=symbols)
    several = len(settings.exchanges) > 1
    return Venue(settings.of(exchange), kind, directory, lambda _text: None, several=several)


def wiring(symbols: str = BOTH, *, memory: bool = True) -> Wiring:
    return Wiring(load_settings(symbols=symbols).markets, ("1m",), memory)


def options(*words: str) -> RunOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(words))


def test_its_processes_have_names_of_their_own_only_beside_others(directory: DataDirectory) -> None:
    coinbase = venue(directory, "coinbase")
    assert (coinbase.producers_child, coinbase.simulator_child) == (
        "producers-coinbase",
        "simulator-coinbase",
    )
    alone = venue(directory, "binance", "BTCUSDC")
    assert (alone.producers_child, alone.simulator_child) == ("producers", "simulator")


def test_results_say_whose_they_are_beside_others(directory: DataDirectory) -> None:
    results = [Result("BTC-USD trades", Status.OK), Result("the end", Status.UNKNOWN, "no clock")]
    named = venue(directory, "coinbase").named(results)
    assert [str(each) for each in named] == ["coinbase:BTC-USD trades", "coinbase: the end: no clock"]
    assert venue(directory, "binance", "BTC-USD").named(results) == results


def test_its_producers_carry_its_symbols_alone(directory: DataDirectory) -> None:
    command = venue(directory, "coinbase").producers_command(wiring(), lambda: Rows([], [], []), 9100)
    words = command.arguments
    assert words[words.index("--symbols") + 1] == "coinbase:BTC-USD,coinbase:ETH-USD"
    # The deployment as a whole decides which part of an exchange's limits is this process's.
    assert command.environment["SYMBOLS"] == "binance:BTC-USD,coinbase:BTC-USD,coinbase:ETH-USD"
    assert (command.environment["INSTANCE"], command.environment["METRICS_PORT"]) == ("coinbase", "9100")


def test_start_positions_are_in_a_file_of_each_exchange(directory: DataDirectory) -> None:
    files = []
    for exchange in ("binance", "coinbase"):
        command = venue(directory, exchange).producers_command(wiring(), lambda: Rows([], [], []), None)
        files.append(Path(command.arguments[command.arguments.index("--bearings") + 1]).name)
    assert [file.partition("-")[2] for file in files] == ["binance.json", "coinbase.json"]


def test_a_real_broker_has_positions_of_its_own(directory: DataDirectory) -> None:
    alone = venue(directory, "binance", "BTCUSDC")
    command = alone.producers_command(wiring("BTCUSDC", memory=False), lambda: Rows([], [], []), None)
    file = Path(command.arguments[command.arguments.index("--stored") + 1])
    assert file.name == "bearings.json"


@pytest.mark.parametrize(("kind", "told"), [("live", True), ("simulator", True), ("replay", False)])
def test_producers_are_told_what_was_not_carried_unless_a_recording_is_played(
    directory: DataDirectory, kind: SourceKind, told: bool
) -> None:
    rows = Rows([], [], [])
    row = {"exchange": "binance", "symbol": "BTCUSDC", "stream": "depth"}
    rows.rows["carriage"] = [row | {"time_ns": 9_000_000, "carried": False, "since_ms": 5}]
    alone = venue(directory, "binance", "BTCUSDC", kind)
    for _ in range(2):  # a recording's first producers are given nothing at all
        command = alone.producers_command(wiring("BTCUSDC"), lambda: rows, None)
    file = Path(command.arguments[command.arguments.index("--bearings") + 1])
    assert orjson.loads(file.read_bytes()) == ({"binance:BTCUSDC:uncarried:depth": [5, 9]} if told else {})


def test_each_simulator_writes_a_log_of_its_own(directory: DataDirectory, tmp_path: Path) -> None:
    asked = options("--source", "simulator", "--issued-log", str(tmp_path / "issued.log"))
    command = venue(directory, "coinbase").source_command(asked, 3, 1_000)
    words = command.arguments
    after = [words[words.index(name) + 1] for name in ("--exchange", "--symbols", "--log")]
    assert after == ["coinbase", "BTC-USD,ETH-USD", str(tmp_path / "issued-coinbase.log")]
    assert command.environment == {"EXCHANGE": "coinbase", "SYMBOLS": "BTC-USD,ETH-USD"}


def test_where_a_series_begins_is_kept_by_exchange(directory: DataDirectory) -> None:
    directory.keep_trade_bases({"coinbase:BTC-USD": 7, "ETH-USD": 8})
    begun: dict[str, int] = {}
    for exchange in ("binance", "coinbase"):
        each = venue(directory, exchange)
        each.read_store(Rows([], [], []), wiring())
        command = each.producers_command(wiring(), lambda: Rows([], [], []), None)
        begun |= orjson.loads(Path(command.arguments[command.arguments.index("--bearings") + 1]).read_bytes())
    # Plain symbols are those of an older version, which had one exchange.
    assert begun == {"coinbase:BTC-USD:trades": 7, "coinbase:ETH-USD:trades": 8}
