"""Telegraf, InfluxData's agent: Kafka → InfluxDB by its own plugins, compiled once from its Go module.

`go install …@version` refuses its module for the `replace` directives, as influxd's: a private module that
depends on it builds. Tags leave out all plugins but those that are used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.peers.pins import TELEGRAF
from bench.peers.venv import PeersUnavailable
from cryptostream.engines.fetch import engines_dir
from cryptostream.engines.influxdb import InfluxServer

MODULE: Final = "github.com/influxdata/telegraf"
MEASUREMENT: Final = "telegraf_trade"
_TAGS: Final = "custom,inputs.kafka_consumer,outputs.influxdb_v2,parsers.json_v2,parsers.json"
_SETTINGS: Final = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}

# Batches as InfluxDB's manual advises; more records under way than its 1,000, so that a batch is full. The
# version is that of the protocol: without one the plugin speaks Kafka 2.1's.
_CONFIG: Final = """\
[agent]
  interval = "1s"
  flush_interval = "100ms"
  metric_batch_size = 5000
  metric_buffer_limit = 100000
  omit_hostname = true
  quiet = true

[[inputs.kafka_consumer]]
  brokers = ["{brokers}"]
  topics = ["{topic}"]
  consumer_group = "{group}"
  offset = "oldest"
  kafka_version = "3.6.0"
  max_undelivered_messages = 20000
  data_format = "json_v2"

  [[inputs.kafka_consumer.json_v2]]
    measurement_name = "{measurement}"
    timestamp_path = "trade_time_ms"
    timestamp_format = "unix_ms"

    [[inputs.kafka_consumer.json_v2.tag]]
      path = "exchange"
    [[inputs.kafka_consumer.json_v2.tag]]
      path = "symbol"
    [[inputs.kafka_consumer.json_v2.field]]
      path = "trade_id"
      type = "int"
    [[inputs.kafka_consumer.json_v2.field]]
      path = "price"
      type = "float"
    [[inputs.kafka_consumer.json_v2.field]]
      path = "quantity"
      type = "float"
    [[inputs.kafka_consumer.json_v2.field]]
      path = "buyer_is_maker"
      type = "bool"

[[outputs.influxdb_v2]]
  urls = ["{url}"]
  token = "${{INFLUX_TOKEN}}"
  organization = "{org}"
  bucket = "ticks"
  content_encoding = "{encoding}"
"""


def config(brokers: str, topic: str, group: str, influx: InfluxServer, encoding: str) -> str:
    """Telegraf's configuration: trades into points like ours, with the time of a trade as theirs.

    Args:
        encoding: gzip or identity.
    """
    return _CONFIG.format(
        brokers=brokers,
        topic=topic,
        group=group,
        measurement=MEASUREMENT,
        url=influx.url,
        org=influx.org,
        encoding=encoding,
    )


def find_telegraf() -> Path | None:
    """The program in the cache of engines; None if it was not compiled yet."""
    program = _place() / "bin" / "telegraf"
    return program if os.access(program, os.X_OK) else None


def _place() -> Path:
    return engines_dir() / f"telegraf-{TELEGRAF.version}"


def telegraf() -> Path:
    """The program, from the cache of engines; compiled first where that has none (2 to 5 minutes).

    Raises:
        PeersUnavailable: no Go, or the build fails.
    """
    found = find_telegraf()
    if found is not None:
        return found
    directory = _place()
    program = directory / "bin" / "telegraf"
    if shutil.which("go") is None:
        raise PeersUnavailable(f"{TELEGRAF.title}: go is not on the PATH; with Go it is compiled by itself")
    source = directory / "src"
    for folder in (source, program.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if not (source / "go.mod").exists():
        _run(["go", "mod", "init", "cryptostream/telegraf"], source)
    _run(["go", "get", f"{MODULE}@v{TELEGRAF.version}"], source)
    # Beside its place and renamed, so that the program is always whole.
    new = program.with_suffix(".new")
    build = ["go", "build", "-tags", _TAGS, "-ldflags", "-s -w", "-o", str(new)]
    _run([*build, f"{MODULE}/cmd/telegraf"], source)
    new.rename(program)
    return program


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **_SETTINGS}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise PeersUnavailable(f"{TELEGRAF.title}: {' '.join(command[:3])}: {last[:300]}")
