from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from consumers.stores.port import Row
from consumers.tap.stored import StoredRows
from shared.errors import StoreUnavailable

TAGS = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m"}


class FakeReader:
    def __init__(self) -> None:
        self.closed = False
        self.answer = threading.Event()
        self.fails = False

    def read(self, measurement: str, tags: Mapping[str, str], **span: Any) -> Iterator[Row]:
        self.answer.wait(30)
        if self.fails:
            raise StoreUnavailable("away")
        yield {"time_ns": span["from_ns"], "measurement": measurement, **tags}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def stored(reader: FakeReader) -> Iterator[StoredRows]:
    rows = StoredRows(lambda: reader)
    yield rows
    reader.answer.set()
    rows.close()


def test_rows_of_a_store_that_answers(reader: FakeReader, stored: StoredRows) -> None:
    reader.answer.set()
    rows = stored.rows("indicator", TAGS, (5, 9), 30.0)
    assert rows == [{"time_ns": 5, "measurement": "indicator", **TAGS}] and reader.closed


def test_a_store_that_hangs_is_not_waited_for(stored: StoredRows) -> None:
    for _ in range(4):
        assert stored.rows("indicator", TAGS, (5, 9), 0.0) is None


def test_a_store_that_fails_gives_nothing(reader: FakeReader, stored: StoredRows) -> None:
    reader.fails = True
    reader.answer.set()
    assert stored.rows("indicator", TAGS, (5, 9), 30.0) is None


def test_without_a_store_there_are_no_rows() -> None:
    rows = StoredRows(None)
    assert rows.rows("indicator", TAGS, (None, None), 30.0) is None
    rows.close()
