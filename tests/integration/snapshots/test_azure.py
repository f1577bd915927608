"""The landing on Azurite, which stands in for Azure Blob Storage."""

from __future__ import annotations

import logging
import time
import uuid

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.landing.azure import AzureLanding
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.port import Landing, LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.query import QueryRefused, ask, open_query
from pipelines.snapshots.settings import load_snapshot_settings
from pipelines.snapshots.slots import DAY_MS, day_of, day_start_ms
from tests.landing_contract import LandingContract
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row


def address() -> str:
    return f"abfs://{uuid.uuid4().hex}/some/prefix"


class TestAzureLanding(LandingContract):
    @pytest.fixture
    def landing(self, azurite: str) -> Landing:
        return AzureLanding(address(), azurite)


def test_slots_land_in_a_container_and_are_questioned_there(azurite: str) -> None:
    landing = address()
    settings = load_snapshot_settings(snapshot_landing=landing, azure_storage_connection_string=azurite)
    with open_query(settings) as connection:
        assert ask(connection, "SELECT * FROM snapshots")[1] == []
    files = SnapshotFiles(AzureLanding(landing, azurite), FIVE_MINUTES)
    files.land([row(), row(SLOT + FIVE_MINUTES, "missing")])
    files.land([row(SLOT + FIVE_MINUTES, "backfilled")])
    with open_query(settings) as connection:
        _, lines = ask(
            connection, "SELECT strftime(slot, '%H:%M'), status, exchange FROM snapshots ORDER BY slot"
        )
        # With a landing place elsewhere SQL reads this machine's files no more than without.
        with pytest.raises(QueryRefused, match="file system operations are disabled"):
            ask(connection, "SELECT * FROM read_text('/etc/passwd')")
        with pytest.raises(QueryRefused, match="only reads"):
            ask(connection, f"COPY (SELECT 1) TO '{landing}/exchange=binance/theirs.parquet'")
    assert lines == [("14:25", "complete", "binance"), ("14:30", "backfilled", "binance")]
    files.compact(day_start_ms(day_of(SLOT)) + 9 * DAY_MS)
    assert [one.status for one in files.rows_of_day(day_of(SLOT))] == ["complete", "backfilled"]
    assert files.unsettled() == {}


def test_a_wrong_key_is_named_by_its_setting_and_not_shown(azurite: str) -> None:
    wrong = azurite.replace("AccountKey=Eby8", "AccountKey=Xby8")
    with pytest.raises(LandingMisconfigured, match="AZURE_STORAGE_CONNECTION_STRING") as raised:
        AzureLanding(address(), wrong).write("a", b"x", None)
    assert "Xby8" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "nonsense"])
def test_what_is_no_connection_string_is_refused_at_once(text: str) -> None:
    with pytest.raises(LandingMisconfigured, match="AZURE_STORAGE_CONNECTION_STRING"):
        AzureLanding(address(), text)


@pytest.mark.timeout(900)
def test_an_account_that_is_away_is_given_up_within_a_minute(azurite: str) -> None:
    away = azurite.split("BlobEndpoint", maxsplit=1)[0] + "BlobEndpoint=http://127.0.0.1:9/devstoreaccount1;"
    begun = time.monotonic()
    with pytest.raises(LandingUnavailable, match="wait in the spool"):
        AzureLanding(address(), away).read("a")
    assert time.monotonic() - begun < 60


def test_requests_are_not_told_one_by_one(azurite: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    AzureLanding(address(), azurite).write("a", b"x", None)
    assert [record for record in caplog.records if record.name.startswith("azure")] == []
