"""Telegraf's configuration, and what is said where it cannot be had."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.peers import telegraf
from bench.peers.pins import TELEGRAF
from bench.peers.venv import PeersUnavailable


class Influx:
    url = "http://127.0.0.1:8086"
    org = "crypto"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_it_reads_our_trades_by_a_protocol_of_today_and_sends_as_the_others_do(encoding: str) -> None:
    influx: Any = Influx()
    written = telegraf.config("127.0.0.1:9092", "market.trades", "bench", influx, encoding)
    asked = tomllib.loads(written)
    (kafka,), (output,) = asked["inputs"]["kafka_consumer"], asked["outputs"]["influxdb_v2"]
    assert (kafka["topics"], kafka["kafka_version"]) == (["market.trades"], "3.6.0")
    assert kafka["max_undelivered_messages"] > asked["agent"]["metric_batch_size"]
    fields = {field["path"]: field["type"] for field in kafka["json_v2"][0]["field"]}
    assert fields == {"trade_id": "int", "price": "float", "quantity": "float", "buyer_is_maker": "bool"}
    assert output["content_encoding"] == encoding
    # The token is not in a file: it is in the environment of the process.
    assert output["token"] == "${INFLUX_TOKEN}"


def test_without_go_it_is_one_line_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeersUnavailable, match="go is not on the PATH; with Go it is compiled"):
        telegraf.telegraf()


def test_the_one_in_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(tmp_path))
    program = tmp_path / f"telegraf-{TELEGRAF.version}" / "bin" / "telegraf"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert telegraf.telegraf() == program


def test_a_build_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "go").write_text("#!/bin/sh\necho 'first' >&2\necho 'no such module' >&2\nexit 1\n")
    (tools / "go").chmod(0o755)
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    with pytest.raises(PeersUnavailable, match="no such module"):
        telegraf.telegraf()
