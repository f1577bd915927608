"""A store that does not answer is waited for once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cryptostream.run.store import Readers
from shared.errors import StoreUnavailable

ROW = {"symbol": "BTCUSDC", "time_ns": 5}


class Store:
    """A store that answers or not, and counts questions."""

    def __init__(self) -> None:
        self.asked, self.answers, self.opens, self.now_s = 0, True, True, 0.0

    def open(self) -> Store:
        if not self.opens:
            raise StoreUnavailable("INFLUX_URL: no answer from http://127.0.0.1:1")
        return self

    def read(
        self,
        measurement: str,
        tags: Mapping[str, str],
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        last: int | None = None,
    ) -> Iterator[Any]:
        self.asked += 1
        if not self.answers:
            raise StoreUnavailable("INFLUX_URL: no answer from http://127.0.0.1:1")
        return iter([{**ROW, "asked": (measurement, tags["symbol"], from_ns, to_ns, last)}])

    def close(self) -> None:
        pass


@pytest.fixture
def store() -> Store:
    return Store()


def newest(readers: Readers) -> list[Any]:
    return list(readers().read("trade", {"symbol": "X"}, from_ns=1, to_ns=2, last=3))


def test_rows_come_as_the_store_gives_them(store: Store) -> None:
    rows = newest(Readers(store.open, lambda: store.now_s))
    assert rows == [{**ROW, "asked": ("trade", "X", 1, 2, 3)}]


def test_a_silent_store_is_asked_once_a_minute(store: Store) -> None:
    readers = Readers(store.open, lambda: store.now_s)
    before = readers()
    store.answers = False
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="no answer"):
            newest(readers)
    with pytest.raises(StoreUnavailable, match="no answer"):
        list(before.read("trade", {"symbol": "X"}))
    assert store.asked == 1
    store.answers, store.now_s = True, 61.0
    assert len(newest(readers)) == 1


def test_a_store_that_nothing_can_be_opened_of_is_silent_too(store: Store) -> None:
    readers = Readers(store.open, lambda: store.now_s)
    store.opens = False
    with pytest.raises(StoreUnavailable):
        readers()
    store.opens = True
    with pytest.raises(StoreUnavailable, match="no answer"):
        readers()
