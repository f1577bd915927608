from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.snapshots.settings import load_snapshot_settings
from shared.errors import SettingsError


def test_the_defaults_are_those_that_users_of_such_pipelines_know() -> None:
    settings = load_snapshot_settings()
    assert settings.snapshot_symbols == ("BTCUSDT", "ETHUSDT", "BNBUSDT")
    assert (settings.interval_ms, settings.share) == (300_000, 0.5)


def test_settings_come_from_the_environment_and_secrets_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook").write_text("https://hook/secret\n")
    monkeypatch.setenv("SNAPSHOT_SYMBOLS", "btcusdt, solusdt")
    monkeypatch.setenv("SNAPSHOT_CRON", "*/15 * * * *")
    monkeypatch.setenv("SNAPSHOT_WEBHOOK_URL_FILE", str(tmp_path / "hook"))
    settings = load_snapshot_settings()
    assert settings.snapshot_symbols == ("BTCUSDT", "SOLUSDT")
    assert settings.interval_ms == 900_000
    assert settings.snapshot_webhook_url.get_secret_value() == "https://hook/secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"snapshot_symbols": "BTC/USDT"}, 'SNAPSHOT_SYMBOLS: "BTC/USDT" is not a symbol'),
        ({"snapshot_symbols": ","}, "SNAPSHOT_SYMBOLS: .*at least one"),
        ({"snapshot_symbols": ",".join(f"S{n}" for n in range(600))}, "SNAPSHOT_SYMBOLS: 600 symbols need"),
        ({"snapshot_landing": "s3://bucket"}, 'SNAPSHOT_LANDING: "s3://bucket" is no place'),
        ({"snowflake_schema": "A; DROP TABLE B"}, "SNOWFLAKE_SCHEMA: .*no plain name"),
        ({"snapshot_repeat_alert_minutes": 0}, "SNAPSHOT_REPEAT_ALERT_MINUTES"),
    ],
)
def test_a_wrong_setting_is_named_with_the_way_out(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_snapshot_settings(**given)


def test_a_schedule_without_even_steps_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="SNAPSHOT_CRON"):
        load_snapshot_settings(snapshot_cron="7 9 * * 1")
