"""The flow of statements on fakesnow, which stands in for Snowflake; not all its semantics are the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

import fakesnow
from snowflake.connector.errors import OperationalError

from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from pipelines.snapshots.warehouse import statements
from pipelines.snapshots.warehouse.port import WarehouseError, WarehouseMisconfigured
from pipelines.snapshots.warehouse.snowflake import SnowflakeWarehouse, connection_arguments
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row


@pytest.fixture
def settings() -> SnapshotSettings:
    return load_snapshot_settings(
        snowflake_account="account", snowflake_user="loader", snowflake_token="token"
    )


@pytest.fixture
def warehouse(settings: SnapshotSettings) -> Iterator[SnowflakeWarehouse]:
    with warnings.catch_warnings(), fakesnow.patch():
        warnings.simplefilter("ignore")
        made = SnowflakeWarehouse(settings)
        made.create()
        yield made
        made.close()


def stored(warehouse: SnowflakeWarehouse, columns: str = "symbol, slot, status") -> list[Any]:
    return list(warehouse._execute(f"SELECT {columns} FROM SNAPSHOTS ORDER BY slot, symbol").fetchall())


def statuses(warehouse: SnowflakeWarehouse) -> list[str]:
    return [status for _, _, status in stored(warehouse)]


def test_rows_are_merged_by_their_key_and_again_without_a_change(warehouse: SnowflakeWarehouse) -> None:
    rows = [row(), row(symbol="ETHUSDT", status="missing"), row(SLOT + FIVE_MINUTES, "backfilled")]
    for _ in range(2):
        warehouse.load(rows)
    assert statuses(warehouse) == ["complete", "missing", "backfilled"]


def test_a_better_row_replaces_and_a_worse_one_does_not(warehouse: SnowflakeWarehouse) -> None:
    warehouse.load([row(status="missing"), row(SLOT + FIVE_MINUTES)])
    warehouse.load([row(status="backfilled"), row(SLOT + FIVE_MINUTES, "backfilled")])
    assert statuses(warehouse) == ["backfilled", "complete"]
    warehouse.load([row(observed_ms=SLOT + 9)])
    warehouse.load([row(observed_ms=SLOT + 5, last_price="101")])
    warehouse.load([row(observed_ms=SLOT + 7, last_price="102")])
    assert stored(warehouse, "last_price")[0] == (Decimal(101),)


def test_decimals_and_nulls_arrive_as_they_are(warehouse: SnowflakeWarehouse) -> None:
    exact = "99999999999999999999.999999999999999999"
    warehouse.load([row(last_price=exact), row(SLOT + FIVE_MINUTES, "backfilled")])
    assert [price for (price,) in stored(warehouse, "last_price")] == [Decimal(exact), Decimal("100.5")]
    assert [bid for (bid,) in stored(warehouse, "best_bid")] == [Decimal("100.4"), None]
    assert [f"{slot:%H:%M %Z}" for (slot,) in stored(warehouse, "slot")] == ["14:25 UTC", "14:30 UTC"]


def tables_of(warehouse: SnowflakeWarehouse) -> list[str]:
    lines = warehouse._execute("SHOW TABLES").fetchall()
    return [name for line in lines for name in line if str(name).startswith("SNAPSHOTS")]


def test_no_table_of_a_load_is_left(warehouse: SnowflakeWarehouse) -> None:
    warehouse.load([row()])
    assert tables_of(warehouse) == ["SNAPSHOTS"]


def test_a_copy_that_lost_rows_merges_nothing(
    warehouse: SnowflakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_copy = statements.copy_sql
    case_sensitive = true_copy("x").replace("CASE_INSENSITIVE", "CASE_SENSITIVE")
    assert case_sensitive != true_copy("x")
    monkeypatch.setattr(
        statements, "copy_sql", lambda f: true_copy(f).replace("CASE_INSENSITIVE", "CASE_SENSITIVE")
    )
    with pytest.raises(WarehouseError, match="1 with nulls; nothing was merged"):
        warehouse.load([row()])
    assert stored(warehouse) == [] and tables_of(warehouse) == ["SNAPSHOTS"]


def test_without_the_table_the_way_out_is_named(settings: SnapshotSettings) -> None:
    with warnings.catch_warnings(), fakesnow.patch():
        warnings.simplefilter("ignore")
        with pytest.raises(WarehouseMisconfigured, match="snapshots schema --apply"):
            SnowflakeWarehouse(settings).load([row()])


def test_an_error_of_the_network_leaves_rows_in_the_spool(
    warehouse: SnowflakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_sql: str) -> Any:
        raise OperationalError("no route")

    monkeypatch.setattr(warehouse._cursor, "execute", away)
    with pytest.raises(WarehouseError, match="rows wait in the spool"):
        warehouse.load([row()])


def test_a_key_pair_goes_before_a_token_and_one_of_them_is_needed() -> None:
    def arguments(**given: str) -> dict[str, Any]:
        return connection_arguments(
            load_snapshot_settings(snowflake_account="a", snowflake_user="u", **given)
        )

    by_key = arguments(snowflake_private_key_file="/key.p8", snowflake_token="t")
    assert (by_key["authenticator"], by_key["private_key_file"]) == ("SNOWFLAKE_JWT", "/key.p8")
    assert arguments(snowflake_token="t")["token"] == "t"
    with pytest.raises(WarehouseMisconfigured, match="SNOWFLAKE_PRIVATE_KEY_FILE or SNOWFLAKE_TOKEN"):
        arguments()


def test_a_key_that_is_none_is_named_and_stops_no_run(tmp_path: Path) -> None:
    key = tmp_path / "key.p8"
    key.write_text("junk")
    settings = load_snapshot_settings(
        snowflake_account="account", snowflake_user="loader", snowflake_private_key_file=key
    )
    with pytest.raises(WarehouseMisconfigured, match=r"SNOWFLAKE_PRIVATE_KEY_FILE: .*key\.p8 cannot be used"):
        SnowflakeWarehouse(settings).load([row()])
