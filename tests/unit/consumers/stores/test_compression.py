"""Compression of bodies: which server gets it, and that what it makes can be read by anybody."""

from __future__ import annotations

import builtins
import gzip
import importlib.util
import sys
from typing import Any

import pytest

from consumers.stores import compression
from consumers.stores.compression import GZIP, NONE, compression_to

BODY = b"trade,exchange=binance,symbol=BTCUSDC trade_id=1i,price=61000.5 1700000000000000000\n" * 500


@pytest.mark.parametrize(
    ("url", "compressed"),
    [
        ("http://localhost:8086", False),
        ("http://LOCALHOST", False),
        ("http://127.0.0.1:8086", False),
        ("https://127.8.9.1/influx", False),
        ("http://[::1]:8086", False),
        ("http://user:secret@localhost:8086", False),
        ("http://influxdb:8086", True),
        ("http://192.168.1.2:8086", True),
        ("http://localhost.example.com:8086", True),
        ("http://127.0.0.1.example.com", True),
        ("http://[2001:db8::1]:8086", True),
        ("https://eu-central-1-1.aws.cloud2.influxdata.com", True),
        ("http://[::1", True),  # no URL: the client says so
        ("", True),
    ],
)
def test_only_what_leaves_the_machine_is_compressed(url: str, compressed: bool) -> None:
    assert compression_to(url) is (GZIP if compressed else NONE)


def test_what_is_compressed_is_a_gzip_stream_of_a_fraction_of_the_bytes() -> None:
    assert GZIP.encoding == "gzip"
    assert gzip.decompress(GZIP.compressed(BODY)) == BODY
    assert len(GZIP.compressed(BODY)) < len(BODY) / 20
    assert GZIP.compressed(BODY) == GZIP.compressed(BODY), "no time of the day in it"
    assert gzip.decompress(GZIP.compressed(b"")) == b""


def test_what_is_not_compressed_is_sent_as_it_is() -> None:
    assert NONE.encoding == "identity"
    assert NONE.compressed(BODY) is BODY


def test_without_a_wheel_of_isal_the_standard_library_compresses(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "isal":
            raise ImportError(name)
        return imported(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    spec = importlib.util.find_spec(compression.__name__)
    assert spec is not None
    assert spec.loader is not None
    fallback = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fallback)
    assert fallback.GZIP.compressed.func is gzip.compress
    assert gzip.decompress(fallback.GZIP.compressed(BODY)) == BODY
    assert sys.modules[compression.__name__] is compression
