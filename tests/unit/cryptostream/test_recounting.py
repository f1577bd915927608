"""The store is counted again at the end of a run."""

from __future__ import annotations

import pytest

from consumers.ledger_events import LedgerSeries
from consumers.measurements import KLINE, TRADE
from consumers.points import Point, Series
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.embedded.evidence import State
from cryptostream.embedded.recounting import Claim, recount
from shared.id_ranges import IdRanges

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BARS = LedgerSeries("binance", "BTCUSDC", "klines", "1m")
T0_MS = 1_790_000_040_000


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "store.db"
    store = SqliteStore(path, ticks_expiry_ns=None)
    trade = Series(TRADE, ("binance", "BTCUSDC"))
    bar = Series(KLINE, ("binance", "BTCUSDC", "1m"))
    store.write([Point(trade, (T0_MS + n) * 1_000_000 + n, (n, 1.0, 1.0, True)) for n in (1, 2, 3, 5)])
    store.write([Point(bar, (T0_MS + n * 60_000) * 1_000_000, (1.0,) * 8 + (1,)) for n in range(3)])
    store.close()
    return path


def looks(path, claims, **more):
    return recount(lambda: SqliteReader(path), claims, **{"uptime_s": 60.0, **more})


def claim(*ranges, series=TRADES):
    return {series: Claim(IdRanges(ranges), T0_MS, T0_MS + 600_000)}


def test_what_is_said_to_be_stored_and_is_there_is_seen(database):
    first = T0_MS // 60_000
    counted = looks(database, claim((1, 3), (5, 5)) | claim((first, first + 2), series=BARS))
    assert [look.state for look in counted.looks] == [State.SEEN, State.SEEN]
    assert (counted.rows, counted.claimed) == (7, 7)


def test_what_is_said_to_be_stored_and_is_not_there_is_named(database):
    counted = looks(database, claim((1, 6)))
    (look,) = counted.looks
    assert look.state is State.MISSING
    assert str(look) == "BTCUSDC trades: 2 said to be stored are not in the store: trade ids 4, 6"


def test_an_empty_store_has_nothing_of_what_is_claimed(tmp_path):
    SqliteStore(tmp_path / "new.db", ticks_expiry_ns=None).close()
    (look,) = looks(tmp_path / "new.db", claim((1, 4))).looks
    assert look.state is State.MISSING and "4 said to be stored" in look.said


def test_a_store_that_is_gone_is_unknown_and_never_complete(tmp_path):
    (look,) = looks(tmp_path / "gone.db", claim((1, 4))).looks
    assert look.state is State.UNKNOWN and look.what == "the store"


def test_a_store_that_takes_too_long_is_unknown(database):
    times = iter((0.0, 61.0, 61.0))
    (look,) = looks(database, claim((1, 3)), clock_s=lambda: next(times)).looks
    assert look.state is State.UNKNOWN and "BTCUSDC trades" in str(look)


def test_what_may_have_expired_in_a_long_run_is_not_asked_for(database):
    (look,) = looks(database, claim((-5, 3)), uptime_s=8 * 86_400.0).looks
    assert look.state is State.SEEN
