"""`cryptostream snapshots schema`: the warehouse's tables, as SQL or created."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from pipelines.snapshots.settings import load_snapshot_settings
from pipelines.snapshots.warehouse.statements import schema_sql
from shared.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Print the statements, or execute them with --apply.

    Raises:
        UsageError: no warehouse is set.
        WarehouseError: the warehouse cannot be reached, or refuses.
    """
    settings = load_snapshot_settings()
    if not args.apply:
        sys.stdout.write(
            ";\n\n".join(schema_sql(settings.snowflake_database, settings.snowflake_schema)) + ";\n"
        )
        return 0
    if not settings.snowflake_account:
        raise UsageError("SNOWFLAKE_ACCOUNT: not set; there is no warehouse to create tables in")
    from pipelines.snapshots.warehouse.snowflake import SnowflakeWarehouse  # noqa: PLC0415

    with closing(SnowflakeWarehouse(settings)) as warehouse:
        warehouse.create()
    return 0
