"""Settings of the snapshot pipeline, read as the stream's settings are (docs/snapshots.md)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, field_validator

from pipelines.snapshots.observation import EXCHANGE
from pipelines.snapshots.plan import slot_weight, weight_share
from pipelines.snapshots.slots import interval_of
from shared.addresses import checked_url
from shared.errors import SettingsError
from shared.files import read_small_file
from shared.markets import Market, read_markets
from shared.settings import (
    LONGEST_SECRET,
    MARKET_DATA_REST_URL,
    EnvironmentSettings,
    Names,
    load_model,
    split_names,
)
from shared.shortened import shortened

# Azure's own rule for containers: 3 to 63 lower case letters, digits and single hyphens.
_ADDRESS: Final = re.compile(r"abfs://(?=[a-z0-9-]{3,63}(?:/|$))[a-z0-9]+(?:-[a-z0-9]+)*(?:/[^/]+)*")
DEFAULT_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
DEFAULT_CRON: Final = "*/5 * * * *"
SECRETS: Final = frozenset(
    (
        "snapshot_webhook_url",
        "azure_storage_connection_string",
        "snowflake_private_key_passphrase",
        "snowflake_token",
    )
)


class SnapshotSettings(EnvironmentSettings):
    """All settings; names are those of environment variables, in lower case.

    Attributes:
        snapshot_symbols: markets, as SYMBOLS has them; see `symbols` and `left_out`.
        snapshot_landing: empty for Parquet files below `snapshot_dir`, or `abfs://container[/prefix]`.
        snowflake_account: empty for no warehouse.
    """

    snapshot_symbols: Names = DEFAULT_SYMBOLS
    snapshot_cron: str = DEFAULT_CRON
    snapshot_dir: Path = Path("data/snapshots")
    snapshot_landing: str = ""
    snapshot_webhook_url: SecretStr = SecretStr("")
    snapshot_repeat_alert_minutes: int = Field(default=60, ge=1, le=10_080)
    binance_rest_url: str = MARKET_DATA_REST_URL
    azure_storage_connection_string: SecretStr = SecretStr("")
    snowflake_account: str = ""
    snowflake_user: str = ""
    snowflake_role: str = ""
    snowflake_warehouse: str = ""
    snowflake_database: str = "CRYPTOSTREAM"
    snowflake_schema: str = "MARKET"
    snowflake_private_key_file: Path | None = None
    snowflake_private_key_passphrase: SecretStr = SecretStr("")
    snowflake_token: SecretStr = SecretStr("")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("snapshot_symbols", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("snapshot_symbols")
    @classmethod
    def _symbols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        markets = read_markets(value, EXCHANGE)
        if all(market.exchange != EXCHANGE for market in markets):
            raise ValueError(
                f'"{shortened(",".join(value))}" has no symbol of {EXCHANGE}, and snapshots are taken of no'
                f" other exchange; name some, like {','.join(DEFAULT_SYMBOLS[:2])}"
            )
        return tuple(map(str, markets))

    @field_validator("snapshot_landing")
    @classmethod
    def _landing(cls, value: str) -> str:
        address = value.rstrip("/")
        if value and not _ADDRESS.fullmatch(address):
            raise ValueError(
                f'"{value}" is not an address of snapshots; leave it empty or write abfs://CONTAINER/PREFIX '
                "(a container's name has 3 to 63 lower case letters, digits and single hyphens)"
            )
        return address

    @field_validator("binance_rest_url")
    @classmethod
    def _url(cls, value: str) -> str:
        return checked_url(value)

    @field_validator("snapshot_webhook_url")
    @classmethod
    def _webhook(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("is not a URL; write scheme and host, like https://host/path")
        return value

    @field_validator("snowflake_private_key_file")
    @classmethod
    def _key_file(cls, value: Path | None) -> Path | None:
        # The connector reads to the end of the file, and would wait for ever on a pipe.
        if value is not None:
            try:
                read_small_file(value, LONGEST_SECRET)
            except FileNotFoundError:
                pass  # the warehouse reports it: rows wait in the spool until the file is mounted
            except OSError as error:
                raise ValueError(
                    f'"{shortened(value)}" cannot be read ({error.strerror}); name the file of the key'
                ) from None
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("snowflake_database", "snowflake_schema")
    @classmethod
    def _identifier(cls, value: str) -> str:
        # Names become part of SQL text: they cannot be parameters.
        if not value.isidentifier() or not value.isascii():
            raise ValueError(f'"{value}" is not a plain name; use letters, digits and underscores')
        return value

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that snapshots are taken of."""
        return tuple(market.symbol for market in self._markets if market.exchange == EXCHANGE)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Markets of other exchanges: none is taken of them."""
        return tuple(str(market) for market in self._markets if market.exchange != EXCHANGE)

    @property
    def _markets(self) -> tuple[Market, ...]:
        return read_markets(self.snapshot_symbols, EXCHANGE)

    @property
    def interval_ms(self) -> int:
        """Milliseconds between two slots."""
        return interval_of(self.snapshot_cron)

    @property
    def share(self) -> float:
        """Share of the exchange's weight limit that the pipeline may use."""
        share = weight_share(len(self.symbols), self.interval_ms)
        assert share is not None  # checked by load_snapshot_settings
        return share


def load_snapshot_settings(**overrides: Any) -> SnapshotSettings:
    """Settings from the environment, `.env` and secret files; `overrides` win.

    Raises:
        SettingsError: a wrong value, or more symbols than a slot has weight for.
    """
    settings = load_model(SnapshotSettings, SECRETS, overrides)
    symbols = len(settings.symbols)
    if weight_share(symbols, settings.interval_ms) is None:
        minutes = settings.interval_ms // 60_000
        raise SettingsError(
            f"SNAPSHOT_SYMBOLS: {symbols} symbols need a request weight of {slot_weight(symbols):,} a slot, "
            f"more than the exchange grants in time every {minutes} min; name fewer, or take them less often "
            "by SNAPSHOT_CRON"
        )
    return settings
