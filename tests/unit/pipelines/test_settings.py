from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.snapshots.settings import load_snapshot_settings
from shared.errors import SettingsError


def test_the_defaults_are_those_that_users_of_such_pipelines_know() -> None:
    settings = load_snapshot_settings()
    assert settings.symbols == ("BTCUSDT", "ETHUSDT", "BNBUSDT")
    assert (settings.interval_ms, settings.share) == (300_000, 0.5)


def test_settings_come_from_the_environment_and_secrets_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook").write_text("https://hook/secret\n")
    monkeypatch.setenv("SNAPSHOT_SYMBOLS", "btcusdt, solusdt")
    monkeypatch.setenv("SNAPSHOT_CRON", "*/15 * * * *")
    monkeypatch.setenv("SNAPSHOT_WEBHOOK_URL_FILE", str(tmp_path / "hook"))
    settings = load_snapshot_settings()
    assert settings.symbols == ("BTCUSDT", "SOLUSDT")
    assert settings.interval_ms == 900_000
    assert settings.snapshot_webhook_url.get_secret_value() == "https://hook/secret"
    assert "secret" not in repr(settings)


def test_of_markets_of_several_exchanges_those_of_binance_are_taken() -> None:
    settings = load_snapshot_settings(snapshot_symbols="binance:BTCUSDT,kraken:BTC/USD,ethusdt")
    assert settings.symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.left_out == ("kraken:BTC/USD",)
    assert load_snapshot_settings().left_out == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"snapshot_symbols": "kraken:BTC/USD"},
            'SNAPSHOT_SYMBOLS: "kraken:BTC/USD" has no symbol of binance',
        ),
        ({"snapshot_symbols": "ftx:BTC"}, 'SNAPSHOT_SYMBOLS: "ftx:BTC" names no exchange that is here'),
        ({"snapshot_symbols": "BTC/USDT"}, 'SNAPSHOT_SYMBOLS: "BTC/USDT" is not a symbol'),
        ({"snapshot_symbols": ","}, "SNAPSHOT_SYMBOLS: .*at least one"),
        ({"snapshot_symbols": ",".join(f"S{n}" for n in range(600))}, "SNAPSHOT_SYMBOLS: 600 symbols need"),
        ({"snapshot_landing": "s3://bucket"}, 'SNAPSHOT_LANDING: "s3://bucket" is not an address'),
        ({"snapshot_landing": "abfs://"}, "SNAPSHOT_LANDING: .*abfs://CONTAINER/PREFIX"),
        ({"snapshot_landing": "abfs://Upper/x"}, "SNAPSHOT_LANDING: .*lower case"),
        (
            {"snapshot_landing": "abfs://box@account.dfs.core.windows.net/x"},
            "SNAPSHOT_LANDING: .*box@account",
        ),
        ({"snapshot_landing": "abfs://box//x"}, "SNAPSHOT_LANDING"),
        ({"binance_rest_url": "localhost"}, 'BINANCE_REST_URL: "localhost" is not a URL'),
        ({"snowflake_schema": "A; DROP TABLE B"}, "SNOWFLAKE_SCHEMA: .*not a plain name"),
        ({"snapshot_repeat_alert_minutes": 0}, "SNAPSHOT_REPEAT_ALERT_MINUTES"),
    ],
)
def test_a_wrong_setting_is_named_with_the_way_out(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_snapshot_settings(**given)


def test_a_schedule_without_even_steps_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="SNAPSHOT_CRON"):
        load_snapshot_settings(snapshot_cron="7 9 * * 1")


def test_a_webhook_that_is_no_address_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match="SNAPSHOT_WEBHOOK_URL: is not a URL") as raised:
        load_snapshot_settings(snapshot_webhook_url="hook/secret")
    assert "secret" not in str(raised.value)


def test_addresses_lose_their_last_slash_and_levels_may_be_written_small() -> None:
    settings = load_snapshot_settings(
        binance_rest_url="http://host/", snapshot_landing="abfs://box-1/a/b/", log_level="info"
    )
    assert (settings.binance_rest_url, settings.snapshot_landing, settings.log_level) == (
        "http://host",
        "abfs://box-1/a/b",
        "INFO",
    )


def test_what_is_handed_on_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT", "USER", "PRIVATE_KEY_FILE", "PRIVATE_KEY_PASSPHRASE_FILE", "TOKEN_FILE"):
        monkeypatch.setenv(f"SNOWFLAKE_{name}", "")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING_FILE", "")
    settings = load_snapshot_settings()
    assert (settings.snowflake_account, settings.snowflake_private_key_file) == ("", None)
    assert not settings.snowflake_token.get_secret_value()


def test_the_file_of_a_key_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path), "x" * 90_000):
        monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE", path)
        with pytest.raises(SettingsError, match=r"SNOWFLAKE_PRIVATE_KEY_FILE: .* cannot be read") as caught:
            load_snapshot_settings()
        assert len(str(caught.value)) < 500
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE", "/key-that-is-mounted-later")
    assert load_snapshot_settings().snowflake_private_key_file == Path("/key-that-is-mounted-later")
