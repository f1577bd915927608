from __future__ import annotations

import asyncio

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.quiet import quiet

quiet()

from prefect.states import Failed

from pipelines.snapshots.flow import chart, parameters_of, worth_retrying
from pipelines.snapshots.settings import load_snapshot_settings
from shared.errors import ExchangeRefused, ExchangeUnavailable, UnknownSymbol
from tests.snapshot_builders import row


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ExchangeUnavailable("502"), True),
        (ExchangeUnavailable("429", retry_after=30.0), False),
        (ExchangeRefused("451"), False),
        (UnknownSymbol("no such"), False),
        (KeyError("a fault of ours"), False),
    ],
)
def test_only_what_passes_by_itself_is_tried_again_by_the_task(error: Exception, again: bool) -> None:
    assert asyncio.run(worth_retrying(None, None, Failed(data=error))) is again


def test_a_deployment_carries_the_settings_and_no_secret() -> None:
    settings = load_snapshot_settings(snapshot_symbols="BTCUSDT", azure_storage_connection_string="secret")
    assert parameters_of(settings) == {
        "symbols": ["BTCUSDT"],
        "cron": "*/5 * * * *",
        "landing": "",
        "directory": "data/snapshots",
    }


def test_the_chart_is_a_line_of_prices_for_each_symbol() -> None:
    text = chart(
        "2026-08-03 14:25", [row(), row(symbol="ETHUSDT", status="missing")], {"BTCUSDT": [1.0, 3.0, 2.0]}
    )
    assert "| BTCUSDT | 100.5 | `▁█▅` |" in text
    assert "| ETHUSDT | – | `` |" in text
