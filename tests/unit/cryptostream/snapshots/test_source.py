"""Settings of the snapshot commands."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from cryptostream.snapshots.source import settings_of


def test_markets_of_other_exchanges_are_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = Namespace(dir=None, landing=None, source="simulator")
    # As the containers have it on simulated exchanges: the symbols of the stream.
    monkeypatch.setenv("SNAPSHOT_SYMBOLS", "BTCUSDC,kraken:BTC/USD,coinbase:BTC-USD")
    assert settings_of(arguments).symbols == ("BTCUSDC",)
    assert capsys.readouterr().err == (
        "warning: SNAPSHOT_SYMBOLS: kraken:BTC/USD, coinbase:BTC-USD:"
        " left out, snapshots are taken of binance alone\n"
    )
    monkeypatch.setenv("SNAPSHOT_SYMBOLS", "BTCUSDC")
    assert settings_of(arguments).symbols == ("BTCUSDC",)
    assert capsys.readouterr().err == ""
