"""Settings: one typed model, read from the environment, `.env` and `*_FILE` secrets (DESIGN §4.4)."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import SettingsError
from shared.intervals import INTERVAL_MS

# The hosts that serve market data only: no account, reachable where the main ones are not
# (BINANCE_SPOT.md §1, §7.1).
MARKET_DATA_REST_URL: Final = "https://data-api.binance.vision"
MARKET_DATA_WS_URL: Final = "wss://data-stream.binance.vision"
HISTORY_REST_URL: Final = "https://api.binance.com"

Names = Annotated[tuple[str, ...], NoDecode]


def split_names(value: Any) -> Any:
    """Comma-separated names, each once."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
    if not value:
        raise ValueError("must name at least one")
    return tuple(dict.fromkeys(value))


def checked_symbols(value: tuple[str, ...]) -> tuple[str, ...]:
    """Symbols in upper case, each once."""
    for symbol in value:
        # Letters of any script: Binance lists symbols beyond A–Z (BINANCE_SPOT.md §2.1).
        if not symbol.replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise ValueError(f'"{symbol}" is not a symbol; write them like BTCUSDC,ETHUSDC')
    return tuple(dict.fromkeys(symbol.upper() for symbol in value))


def checked_url(value: str) -> str:
    """A URL without a slash at its end, since paths are appended."""
    if value and "://" not in value:
        raise ValueError(f'"{value}" is not a URL; write scheme and host, like https://host:port')
    return value.rstrip("/")


class Settings(BaseSettings):
    """Everything that can be set from outside. Names are the environment variables', in lower case."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, case_sensitive=False
    )

    exchange: Literal["binance"] = "binance"
    symbols: Names = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
    intervals: Names = ("1s", "1m", "15m", "1h", "1d")
    indicators: Names = ("all",)
    binance_rest_url: str = MARKET_DATA_REST_URL
    binance_ws_url: str = MARKET_DATA_WS_URL
    binance_history_url: str = ""
    kafka_bootstrap_servers: str = ""
    store: Literal["influxdb", "sqlite"] = "sqlite"
    sqlite_path: Path | None = None
    sqlite_synchronous: Literal["normal", "full"] = "full"
    influx_url: str = "http://localhost:8086"
    influx_org: str = "crypto"
    influx_token: SecretStr = SecretStr("")
    influx_bucket_market: str = "market"
    influx_bucket_ticks: str = "ticks"
    book_interval_ms: int = Field(default=1000, ge=0, le=3_600_000)
    live_interval_ms: int = Field(default=1000, ge=0, le=3_600_000)
    warmup_bars: int = Field(default=1000, ge=0, le=100_000)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("symbols", "intervals", "indicators", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("symbols")
    @classmethod
    def _upper(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_symbols(value)

    @field_validator("intervals")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for interval in value:
            if interval not in INTERVAL_MS:
                raise ValueError(
                    f'"{interval}" is not an interval of Binance; choose from {", ".join(INTERVAL_MS)}'
                )
        return value

    @field_validator("binance_rest_url", "binance_ws_url", "binance_history_url", "influx_url")
    @classmethod
    def _url(cls, value: str) -> str:
        return checked_url(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    def history_url(self) -> str:
        """Where `historicalTrades` is asked for: the market-data host lacks it (BINANCE_SPOT.md §7.1)."""
        if self.binance_history_url:
            return self.binance_history_url
        return HISTORY_REST_URL if self.binance_rest_url == MARKET_DATA_REST_URL else self.binance_rest_url


_SECRETS: Final = frozenset(("influx_token",))
Model = TypeVar("Model", bound=BaseSettings)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and `.env`; `overrides` (from the command line) win.

    Raises:
        SettingsError: one line that names each wrong setting, its value (no secret's) and what is allowed.
    """
    return load_model(Settings, _SECRETS, overrides)


def load_model(model: type[Model], secrets: Collection[str], overrides: Mapping[str, Any]) -> Model:
    """The same for another model of settings.

    Args:
        secrets: names whose value may be in a file, named by `<NAME>_FILE`, and is never shown.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    for name in secrets:
        given.setdefault(name, _secret_from_file(name))
    try:
        return model(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(detail, secrets) for detail in error.errors())) from None


def _secret_from_file(name: str) -> str | None:
    variable = f"{name.upper()}_FILE"
    path = os.environ.get(variable)
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"{variable}: {path} cannot be read ({error.strerror}); mount it or unset it"
        ) from None


def _explain(detail: Any, secrets: Collection[str]) -> str:
    name = str(detail["loc"][0])
    text = detail["msg"].removeprefix("Value error, ")
    if name in secrets:
        return f"{name.upper()}: {text}"
    if text.startswith('"'):
        return f"{name.upper()}: {text}"
    value = detail["input"]
    value = ",".join(value) if isinstance(value, tuple | list) else value
    return f'{name.upper()}: "{value}" is refused: {text}'
