"""The store is counted again at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consumers.measurements import KLINE, TRADE, Point, Series
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.run.proof.checks import Status
from cryptostream.run.proof.recounting import Claim, Counted, recount
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BARS = LedgerSeries("binance", "BTCUSDC", "klines", "1m")
T0_MS = 1_790_000_040_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    store = SqliteStore(path, ticks_expiry_ns=None)
    trade = Series(TRADE, ("binance", "BTCUSDC"))
    bar = Series(KLINE, ("binance", "BTCUSDC", "1m"))
    store.write([Point(trade, (T0_MS + n) * 1_000_000 + n, (n, 1.0, 1.0, True)) for n in (1, 2, 3, 5)])
    store.write([Point(bar, (T0_MS + n * 60_000) * 1_000_000, (1.0,) * 8 + (1,)) for n in range(3)])
    store.close()
    return path


def results(path: Path, claims: Mapping[LedgerSeries, Claim], **more: Any) -> Counted:
    return recount(lambda: SqliteReader(path), claims, **{"uptime_s": 60.0, **more})


def claim(*ranges: tuple[int, int], series: LedgerSeries = TRADES) -> dict[LedgerSeries, Claim]:
    return {series: Claim(IdRanges(ranges), T0_MS, T0_MS + 600_000)}


def test_what_is_said_to_be_stored_and_is_there_is_seen(database: Path) -> None:
    first = T0_MS // 60_000
    counted = results(database, claim((1, 3), (5, 5)) | claim((first, first + 2), series=BARS))
    assert [result.status for result in counted.results] == [Status.OK, Status.OK]
    assert (counted.rows, counted.claimed) == (7, 7)


def test_what_is_said_to_be_stored_and_is_not_there_is_named(database: Path) -> None:
    counted = results(database, claim((1, 6)))
    (result,) = counted.results
    assert result.status is Status.MISSING
    assert str(result) == "BTCUSDC trades: 2 said to be stored are not in the store: trade ids 4, 6"


def test_rows_that_are_known_by_number_alone_are_told_as_not_looked_for(database: Path) -> None:
    counted = results(database, {TRADES: Claim(IdRanges([(1, 3)]), counted=5)})
    assert (counted.rows, counted.claimed) == (3, 8)


def test_an_empty_store_has_nothing_of_what_is_claimed(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "new.db", ticks_expiry_ns=None).close()
    (result,) = results(tmp_path / "new.db", claim((1, 4))).results
    assert result.status is Status.MISSING and "4 said to be stored" in result.detail


def test_a_store_that_is_gone_is_unknown_and_never_complete(tmp_path: Path) -> None:
    (result,) = results(tmp_path / "gone.db", claim((1, 4))).results
    assert result.status is Status.UNKNOWN and result.subject == "the store"


def test_a_store_that_takes_too_long_is_unknown(database: Path) -> None:
    times = iter((0.0, 61.0, 61.0))
    (result,) = results(database, claim((1, 3)), clock_s=lambda: next(times)).results
    assert result.status is Status.UNKNOWN and "BTCUSDC trades" in str(result)


def test_what_may_have_expired_in_a_long_run_is_not_asked_for(database: Path) -> None:
    (result,) = results(database, claim((-5, 3)), uptime_s=8 * 86_400.0).results
    assert result.status is Status.OK
