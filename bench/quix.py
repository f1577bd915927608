"""Kafka → the six usual indicators → InfluxDB: our consumer beside Quix Streams on the same bars.

`make bench ARGS=quix`. Quix Streams pins another confluent-kafka, so it has an environment of its own. Both
send lines as ours are sent to this machine, compressed or not. The stored values of both are compared.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench import consumer_path, report
from bench.bars import SYMBOLS, fill
from bench.consumer_path import KLINE_STREAM, Place, broker_held, rows_of, stored
from bench.encoding import encoding_to_this_machine
from bench.indicators import SIX
from bench.parts import options
from bench.peers.pins import QUIX
from bench.peers.venv import QUIX_LOCK, PeersUnavailable, peers_python
from bench.processes import running
from bench.rounds import Round, in_turn, result_of, say
from bench.store import settings_of
from bench.watch import Watch
from consumers.stores.factory import open_reader
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.topics import klines_topic

OURS: Final = "CryptoStream"
_TOLERANCE: Final = 1e-9
_SETTINGS: Final = {"INDICATORS": ",".join(SIX), "INTERVALS": "1m"}


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON; 1 if the two do not agree."""
    asked = options("quix", arguments)
    try:
        python = peers_python(lock=QUIX_LOCK)
    except PeersUnavailable as why:
        say(f"quix: {QUIX.title} is not measured: {why}")
        return 1
    each = asked.a_round // len(SYMBOLS)
    encoding = encoding_to_this_machine()
    with (
        tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name,
        InfluxServer(Path(name) / "influx") as influx,
        KafkaServer(Path(name) / "kafka") as kafka,
    ):
        servers, count = kafka.bootstrap_servers, each * len(SYMBOLS)
        place = Place(servers, kafka.pid, influx, encoding)
        ensure_topics(servers, ("1m",))
        say(f"quix: filling a topic with {count:,} bars")
        start_ms = fill(servers, each)

        def theirs(number: int) -> Round:
            return _quix(python, place, count, Path(name) / f"state{number}")

        def ours(_: int) -> Round:
            return consumer_path.ours(place, KLINE_STREAM, count, _SETTINGS)

        sides = in_turn("quix", asked.rounds, {QUIX.title: theirs, OURS: ours}, warm_up=False)
        say("quix: comparing what is stored")
        compared, different = _compare(influx, start_ms)
    report.show_rounds("Bars → six indicators → InfluxDB", sides, "bars/s", ("cpu_us",))
    print(f"{compared:,} values compared, {different} differ by more than {_TOLERANCE:g} relative")
    result = result_of(
        count * asked.rounds, asked.rounds, sides, encoding=encoding, compared=compared, different=different
    )
    print(f"written: {report.write('quix', result)}")
    return 1 if different or not compared else 0


def _quix(python: Path, place: Place, count: int, state_dir: Path) -> Round:
    job, influx = Path(__file__).with_name("quix_job.py"), place.influx
    command = [str(python), str(job), place.bootstrap_servers, klines_topic("1m"), f"bench-{state_dir.name}"]
    command += [influx.url, influx.org, str(state_dir), place.encoding]
    watch = Watch(influx)
    token = {"INFLUX_TOKEN": influx.token}
    with broker_held(place) as let_go, running(command, token, stderr=subprocess.DEVNULL) as process:
        return stored(process, watch, count, KLINE_STREAM.points, let_go)


def _compare(influx: InfluxServer, start_ms: int) -> tuple[int, int]:
    """Values compared, and how many differ."""
    compared = different = 0
    with closing(open_reader(settings_of(influx))) as reader:
        for symbol in SYMBOLS:
            tags = {"exchange": "binance", "symbol": symbol, "interval": "1m"}
            ours = {
                row["time_ns"]: row for row in reader.read("indicator", tags, from_ns=start_ms * 1_000_000)
            }
            for time_ns, theirs in rows_of(influx, "market", "quix_indicator", symbol, start_ms):
                mine: Mapping[str, Any] = ours.get(time_ns, {})
                for name in SIX:
                    compared += name in theirs or name in mine
                    different += not _equal(mine.get(name), theirs.get(name))
    return compared, different


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
