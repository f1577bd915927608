from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given

from consumers.measurements import INDICATOR, Point, Series
from consumers.stores import sqlite
from consumers.stores.disk import DiskGuard, Space
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_file import Synchronous
from consumers.stores.sqlite_reader import SqliteReader
from shared.errors import StoreMisconfigured, StoreUnavailable
from tests.conftest import ROOT
from tests.store_contract import (
    BASE_NS,
    DAY_NS,
    HOUR_NS,
    ON_ONE_STORE,
    StoreContract,
    bar,
    hour_of_bars,
    points,
    trade,
    trade_ids,
)


class SqlitePlace:
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, *, ticks_expiry_ns: int | None = 7 * DAY_NS) -> SqliteStore:
        return SqliteStore(self.path, ticks_expiry_ns=ticks_expiry_ns, synchronous="normal")

    def reader(self) -> SqliteReader:
        return SqliteReader(self.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store ? 100%.db"


def test_a_measurement_that_an_older_version_did_not_know_has_no_rows(path: Path) -> None:
    with closing(SqliteStore(path, ticks_expiry_ns=None)) as store:
        store.write([trade("BTCUSDC", 1)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE instrument")
    assert list(SqliteReader(path).read("instrument", {}, last=1)) == []
    assert list(SqliteReader(path).read("instrument", {"exchange": "binance", "symbol": "BTCUSDC"})) == []
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1]


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def place(self, path: Path) -> SqlitePlace:
        return SqlitePlace(path)

    @ON_ONE_STORE
    @given(batch=points())
    def test_every_measurement_comes_back_with_equal_values_and_types(
        self, place: SqlitePlace, store: SqliteStore, batch: list[Point]
    ) -> None:
        self.assert_comes_back(place, store, batch)


def open_times(path: Path) -> list[tuple[object, object]]:
    return [(row["interval"], row["time_ns"]) for row in SqliteReader(path).read("kline", {})]


def pass_time(store: SqliteStore, from_ns: int, to_ns: int) -> None:
    """The exchange's time goes on, half an hour at a time."""
    for time_ns in (*range(from_ns, to_ns, HOUR_NS // 2), to_ns):
        store.write([bar("CLOCK", "1m", 0)._replace(time_ns=time_ns)])


def test_expired_second_data_is_deleted_once_an_hour_and_at_opening(path: Path) -> None:
    store = SqliteStore(path, synchronous="normal")
    store.write([bar("A", "1s", 0), bar("A", "1m", 0), trade("A", 1), trade("B", 2), *hour_of_bars("CLOCK")])
    end_ns = BASE_NS + 7 * DAY_NS
    pass_time(store, BASE_NS, end_ns)
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1, 2]
    pass_time(store, end_ns, end_ns + HOUR_NS)
    store.write([trade("A", 3, at_ns=end_ns)])
    assert trade_ids(SqliteReader(path).read("trade", {})) == [3]
    assert ("1s", BASE_NS) not in open_times(path)
    assert ("1m", BASE_NS) in open_times(path)
    pruned_ns = []
    for minutes in range(0, 600, 10):
        pass_time(store, end_ns + HOUR_NS, end_ns + HOUR_NS + minutes * 60 * 10**9)
        pruned_ns.append(store._pruned_ns or 0)
    apart = [later - earlier for earlier, later in itertools.pairwise(sorted(set(pruned_ns)))]
    assert len(apart) > 5
    assert min(apart) >= HOUR_NS
    store.close()
    # Opened again it remembers the time, and what is too old for it.
    again = SqliteStore(path)
    assert again.oldest_kept_ns == BASE_NS + HOUR_NS + 590 * 60 * 10**9
    assert again.write([trade("A", 4)]) == [trade("A", 4)]
    again.close()


def test_a_file_whose_time_is_not_known_loses_nothing(path: Path) -> None:
    """One of an earlier version, or one that has had no bar and no trade for an hour."""
    store = SqliteStore(path)
    store.write([trade("A", 1, at_ns=BASE_NS - 100 * DAY_NS), trade("A", 2)])
    store.close()
    again = SqliteStore(path)
    assert again.write([trade("A", 3, at_ns=BASE_NS + 100 * DAY_NS)]) == []
    again.close()
    SqliteStore(path).close()
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1, 2, 3]


_SHIFTED_CLOCKS = """
import sys, time
offset_ns = 0
true_ns = time.time_ns
time.time_ns = lambda: true_ns() + offset_ns
time.time = lambda: time.time_ns() / 1e9
from pathlib import Path
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from tests.store_contract import BASE_NS, DAY_NS, HOUR_NS, hour_of_bars, trade

path = Path(sys.argv[1])
store = SqliteStore(path)
store.write([*hour_of_bars("A"), *(trade("A", n, at_ns=BASE_NS - n * DAY_NS) for n in range(1, 7))])
for number, hours in enumerate((1, -1, 24, -24, 8 * 24, 30 * 24, -30 * 24), 10):
    offset_ns = hours * HOUR_NS
    store.write([trade("A", number)])
    store.close()
    store = SqliteStore(path)
    store.write([trade("A", number)])
    print(store.expired, sum(1 for _ in SqliteReader(path).read("trade", {})))
"""


def test_no_clock_of_the_host_from_the_start_on_deletes_anything(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SHIFTED_CLOCKS, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"0 {count}" for count in range(7, 14)], done.stderr


@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_a_commit_waits_for_the_disk_if_it_is_told_to(path: Path, synchronous: Synchronous) -> None:
    store = SqliteStore(path, synchronous=synchronous)
    asked = store._connection.execute("PRAGMA synchronous").fetchone()
    assert asked == ({"normal": 1, "full": 2}[synchronous],)
    store.close()


def _replace(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    SqliteStore(path).close()


def _remove_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def _remove_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


@pytest.mark.parametrize("harm", [Path.unlink, _replace, _remove_directory, _remove_log])
@pytest.mark.parametrize("meanwhile", [False, True], ids=["before a write", "during a write"])
def test_a_file_that_is_removed_or_replaced_takes_no_more_points(
    path: Path, harm: Callable[[Path], None], meanwhile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(path)
    store.write([trade("A", 1)])
    if meanwhile:
        monkeypatch.setattr(sqlite, "remember_time", lambda *_: harm(path))
    else:
        harm(path)
    with pytest.raises(StoreMisconfigured, match=r"^SQLITE_PATH: .* was removed or replaced"):
        store.write([trade("A", 2)])
    store.close()


def test_what_a_removed_file_leaves_behind_is_not_taken_for_part_of_a_new_one(path: Path) -> None:
    store = SqliteStore(path)
    store.write([trade("A", number) for number in range(5_000)])
    log = Path(f"{path}-wal").read_bytes()
    store.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    again = SqliteStore(path)
    again.write([trade("A", 1)])
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1]
    assert again._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again.close()


def test_without_expiry_nothing_is_deleted_or_refused(path: Path) -> None:
    store = SqliteStore(path, ticks_expiry_ns=None)
    store.write([trade("A", 1, at_ns=1), *hour_of_bars("CLOCK")])
    assert store.oldest_kept_ns is None
    store.close()
    SqliteStore(path, ticks_expiry_ns=None).close()
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1]
    assert store.expired == 0


def test_columns_of_new_indicators_come_by_themselves_also_after_a_failed_write(path: Path) -> None:
    tags = ("binance", "A", "1m")
    store = SqliteStore(path, busy_timeout_s=0.05)
    store.write([Point(Series(INDICATOR.with_columns(("momentum_rsi",)), tags), BASE_NS, (50.0,))])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    later = Point(Series(INDICATOR.with_columns(("trend_kst",)), tags), BASE_NS, (7.0,))
    with pytest.raises(StoreUnavailable, match="another process writes"):
        store.write([later])
    other.execute("ROLLBACK")
    store.write([later])
    (row,) = SqliteReader(path).read("indicator", {})
    assert (row["momentum_rsi"], row["trend_kst"]) == (50.0, 7.0)


def test_a_reader_works_while_a_writer_is_in_its_transaction(path: Path) -> None:
    store = SqliteStore(path)
    store.write([trade("A", 1)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM trade")
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1]
    other.execute("ROLLBACK")


def test_several_threads_may_write(path: Path) -> None:
    store = SqliteStore(path)
    threads = [
        threading.Thread(target=lambda name=name: [store.write([trade(name, n)]) for n in range(20)])
        for name in ("A", "B", "C", "D")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for name in ("A", "B", "C", "D"):
        assert trade_ids(SqliteReader(path).read("trade", {"symbol": name})) == list(range(20))


@pytest.mark.thorough
def test_a_full_disk_is_transient_and_loses_nothing_that_was_stored(path: Path) -> None:
    store = SqliteStore(path)
    store.write([trade("A", 1)])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(
        StoreUnavailable, match=r"SQLITE_PATH: .* the disk is full; free some space"
    ) as caught:
        store.write([trade("A", number) for number in range(2, 5000)])
    assert caught.value.retry_after is not None
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1]
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.write([trade("A", number) for number in range(2, 5000)])
    assert trade_ids(SqliteReader(path).read("trade", {}, last=1)) == [4999]


def test_a_disk_that_fills_at_any_point_never_damages_the_file(path: Path) -> None:
    """One page more each time: it runs full in tables, in new columns, in the middle of rows."""
    store = SqliteStore(path)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    refused = 0
    for extra in range(40):
        store._connection.execute(f"PRAGMA max_page_count = {pages + extra}")
        later = Series(INDICATOR.with_columns((f"momentum_rsi_{extra}",)), ("binance", "A", "1m"))
        batch = [*(trade("A", number) for number in range(300)), Point(later, BASE_NS, (1.0,))]
        try:
            store.write(batch)
        except StoreUnavailable:
            refused += 1
            assert trade_ids(SqliteReader(path).read("trade", {})) == []
            assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        else:
            break
    assert refused > 3
    assert trade_ids(SqliteReader(path).read("trade", {})) == list(range(300))
    store.close()


FILL_THE_DISK = """
import resource, signal, sqlite3, sys
from pathlib import Path
from consumers.stores.sqlite import SqliteStore
from shared.errors import StoreUnavailable
from tests.store_contract import trade

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(Path(sys.argv[1]), synchronous="normal")
store.write([trade("A", 1)])
refused = 0
for kilobytes in range(160, 1200, 40):
    # No file may grow beyond this: the operating system refuses the write, in the log or in the file itself.
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))
    try:
        store.write([trade("A", number) for number in range(2, 8000)])
        break
    except StoreUnavailable:
        refused += 1
        assert store._connection.execute("SELECT count(*) FROM trade").fetchall() == [(1,)]
        assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.write([trade("A", number) for number in range(2, 8000)])
assert store._connection.execute("SELECT count(*) FROM trade").fetchall() == [(7999,)]
assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
store.close()
print(refused)
"""


@pytest.mark.thorough
def test_writes_that_the_system_refuses_are_rolled_back_and_go_on_later(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3


def test_a_nearly_full_disk_pauses_before_anything_is_written(path: Path) -> None:
    free = [0]
    disk = DiskGuard(path.parent, space=lambda _: Space(10**12, free[0]), clock=itertools.count().__next__)
    store = SqliteStore(path, disk=disk)
    with pytest.raises(StoreUnavailable, match="SQLITE_PATH: the disk under"):
        store.write([trade("A", 1)])
    assert trade_ids(SqliteReader(path).read("trade", {})) == []
    free[0] = 10**12
    store.write([trade("A", 1)])
    assert trade_ids(SqliteReader(path).read("trade", {})) == [1]


def test_a_file_that_is_no_database_is_a_wrong_setting(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("time,open\n" * 200, encoding="utf-8")
    with pytest.raises(StoreMisconfigured, match=r"SQLITE_PATH: .*text.db: it is not an SQLite database"):
        SqliteStore(text)
    assert text.read_text(encoding="utf-8").startswith("time,open\n")


def test_another_programs_database_is_a_wrong_setting(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE trade (x)")
    connection.close()
    with pytest.raises(StoreMisconfigured, match="another program's database"):
        SqliteStore(foreign)
    with pytest.raises(StoreMisconfigured, match="not a store of CryptoStream"):
        SqliteReader(foreign)


def test_a_path_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreMisconfigured, match=r"SQLITE_PATH: .*directory cannot be made"):
        SqliteStore(tmp_path / "file" / "store.db")
    with pytest.raises(StoreMisconfigured, match=r"SQLITE_PATH: .*cannot be opened"):
        SqliteStore(tmp_path)
    with pytest.raises(StoreMisconfigured, match=r"SQLITE_PATH: .*does not exist"):
        SqliteReader(tmp_path / "missing.db")


def test_a_store_that_cannot_be_written_is_transient(path: Path) -> None:
    store = SqliteStore(path)
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match="give the file and its directory write permission"):
        store.write([trade("A", 1)])
