"""Settings: one typed model, read from the environment, `.env` and `*_FILE` secrets (DESIGN §4.4)."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.addresses import WEBSOCKET, checked_servers, checked_url
from shared.env_file import Fault, read_env_file
from shared.errors import SettingsError
from shared.files import read_small_file
from shared.intervals import INTERVAL_MS
from shared.markets import NOTATIONS, Market, exchanges_of, known_exchange, read_markets
from shared.shortened import shortened
from shared.shown import masked_url

# The hosts that serve market data only: no account, reachable where the main ones are not
# (BINANCE_SPOT.md §1, §7.1).
MARKET_DATA_REST_URL: Final = "https://data-api.binance.vision"
MARKET_DATA_WS_URL: Final = "wss://data-stream.binance.vision"
HISTORY_REST_URL: Final = "https://api.binance.com"
KRAKEN_REST_URL: Final = "https://api.kraken.com"
KRAKEN_WS_URL: Final = "wss://ws.kraken.com"
COINBASE_REST_URL: Final = "https://api.coinbase.com"
COINBASE_WS_URL: Final = "wss://advanced-trade-ws.coinbase.com"
COINBASE_EXCHANGE_URL: Final = "https://api.exchange.coinbase.com"

ENV_FILE: Final = Path(".env")

_SHOWN: Final = 200  # of a value in an error

Names = tuple[str, ...]


def split_names(value: Any) -> Any:
    """Comma-separated names, each once."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, Collection):
        raise ValueError("write names with commas between them")
    if not value:
        raise ValueError("must name at least one")
    return tuple(dict.fromkeys(value))


def _cut(value: object) -> str:
    return shortened(value, _SHOWN)


class EnvironmentSettings(BaseSettings):
    """Settings whose names in the environment and in `.env` are the fields' names in upper case.

    Empty values count as unset. `load_model` reads `.env`: pydantic's own reading silently skips unreadable
    lines, and blocks on a pipe.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment."""
        return init_settings, _Environment(settings_cls)


class _Environment(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._names = environment_names()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self._names.get(field_name.upper(), "").strip() or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


def environment_names() -> dict[str, str]:
    """The environment with its names in upper case; those written so win."""
    return {name.upper(): value for name, value in os.environ.items()} | dict(os.environ)


class Settings(EnvironmentSettings):
    """All settings of the services. Names are the environment variables', in lower case.

    Attributes:
        exchange: that symbols without an exchange's name before them belong to.
        symbols: the deployment's markets as text, plain if they are of `exchange`; see `markets` and `of`.
    """

    exchange: str = Field(default="binance", json_schema_extra={"enum": [*NOTATIONS]})
    symbols: Names = NOTATIONS["binance"].usual
    intervals: Names = ("1s", "1m", "15m", "1h", "1d")
    indicators: Names = ("all",)
    binance_rest_url: str = MARKET_DATA_REST_URL
    binance_ws_url: str = MARKET_DATA_WS_URL
    binance_history_url: str = ""
    kraken_rest_url: str = KRAKEN_REST_URL
    kraken_ws_url: str = KRAKEN_WS_URL
    coinbase_rest_url: str = COINBASE_REST_URL
    coinbase_ws_url: str = COINBASE_WS_URL
    coinbase_exchange_url: str = COINBASE_EXCHANGE_URL
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
    metrics_address: str = "127.0.0.1"
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_token: SecretStr = SecretStr("")
    api_frame_ms: int = Field(default=50, ge=10, le=10_000)
    api_credits: int = Field(default=2, ge=1, le=100)
    api_clients: int = Field(default=100, ge=1, le=10_000)
    api_trades_per_frame: int = Field(default=200, ge=1, le=2_000)
    api_backlog_rows: int = Field(default=20_000, ge=2_000, le=1_000_000)
    grafana_url: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _usual_symbols(cls, values: dict[str, Any]) -> dict[str, Any]:
        usual = NOTATIONS.get(str(values.get("exchange", "binance")).lower())
        return values if "symbols" in values or usual is None else {**values, "symbols": usual.usual}

    @field_validator("symbols", "intervals", "indicators", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value)

    @field_validator("exchange")
    @classmethod
    def _known_exchange(cls, value: str) -> str:
        return known_exchange(value)

    @field_validator("symbols")
    @classmethod
    def _markets(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        exchange = info.data.get("exchange", "binance")  # absent if it is wrong
        return tuple(
            market.symbol if market.exchange == exchange else str(market)
            for market in read_markets(value, exchange)
        )

    @field_validator("intervals")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for interval in value:
            if interval not in INTERVAL_MS:
                raise ValueError(
                    f'"{_cut(interval)}" is not an interval of bars; choose from {", ".join(INTERVAL_MS)}'
                )
        return value

    @field_validator(
        *("binance_rest_url", "binance_history_url", "kraken_rest_url", "influx_url"),
        *("coinbase_rest_url", "coinbase_exchange_url"),
    )
    @classmethod
    def _url(cls, value: str) -> str:
        return checked_url(value)

    @field_validator("metrics_address", "api_host")
    @classmethod
    def _address(cls, value: str) -> str:
        # A name would be looked up when a service starts, and might then mean another machine's address.
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(
                f'"{_cut(value)}" is no address; write one of this machine, like 127.0.0.1, or 0.0.0.0'
            ) from None

    @field_validator("grafana_url")
    @classmethod
    def _optional_url(cls, value: str) -> str:
        return checked_url(value) if value else value

    @field_validator("binance_ws_url", "kraken_ws_url", "coinbase_ws_url")
    @classmethod
    def _stream_url(cls, value: str) -> str:
        return checked_url(value, WEBSOCKET)

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        return checked_servers(value)

    @field_validator("sqlite_path")
    @classmethod
    def _file(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            value = value.expanduser()
            folder = value.is_dir()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f'"{_cut(value)}" cannot be used ({reason}); name another file') from None
        if folder:
            raise ValueError(f'"{_cut(value)}" is a folder; name the file of the store in it')
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @property
    def markets(self) -> tuple[Market, ...]:
        """All markets of the deployment, in their order."""
        return read_markets(self.symbols, self.exchange)

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The exchanges of the deployment, in the order of their first markets; at least `exchange`."""
        return exchanges_of(self.markets) or (self.exchange,)

    def of(self, exchange: str) -> Self:
        """The settings as one exchange of the deployment sees them: its own symbols alone, plain."""
        symbols = tuple(market.symbol for market in self.markets if market.exchange == exchange)
        return self.model_copy(update={"exchange": exchange, "symbols": symbols})

    def stands_in(self, exchange: str) -> str | None:
        """Host and port asked in place of the exchange's own, such as a simulator's; None if its own is."""
        name = f"{exchange}_ws_url"
        asked = getattr(self, name, None)
        if asked is None or asked == type(self).model_fields[name].default:
            return None
        parts = urlsplit(asked)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return host if parts.port is None else f"{host}:{parts.port}"

    def history_url(self) -> str:
        """URL for `historicalTrades`, which the market-data host lacks (BINANCE_SPOT.md §7.1)."""
        if self.binance_history_url:
            return self.binance_history_url
        return HISTORY_REST_URL if self.binance_rest_url == MARKET_DATA_REST_URL else self.binance_rest_url


_SECRETS: Final = frozenset(("influx_token", "api_token"))
LONGEST_SECRET: Final = 2**16
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
    environment, (values, in_lines) = environment_names(), read_env_file(ENV_FILE)
    faults = list(in_lines)
    for name in secrets:
        try:
            given.setdefault(name, _secret(name.upper(), environment, values))
        except SettingsError as error:
            faults += [Fault(name.upper(), text) for text in error.faults]
    for name in model.model_fields.keys() - given.keys():
        # The environment wins over `.env`, even by an empty value.
        if name.upper() not in environment:
            given[name] = values.get(name.upper(), "").strip() or None
    try:
        settings = model(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults += [_explain(detail, secrets) for detail in error.errors()]
    else:
        if not faults:
            return settings
    # By setting, so that all that is wrong with one stands together; first what belongs to none.
    order = {name.upper(): place for place, name in enumerate(("", *model.model_fields))}
    raise SettingsError(
        *(fault.text for fault in sorted(faults, key=lambda each: order.get(each.setting, len(order))))
    )


def _secret(name: str, *layers: Mapping[str, str]) -> str | None:
    """A secret from the first layer that has it or its file; the file wins."""
    for layer in layers:
        plain, path = layer.get(name), layer.get(f"{name}_FILE")
        if path:
            return secret_of_file(f"{name}_FILE", path)
        if plain is not None or path is not None:
            return plain or None
    return None


def secret_of_file(variable: str, path: str) -> str:
    """Content of the file that a variable names.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    try:
        content = read_small_file(Path(path), LONGEST_SECRET)
        text = content.decode("utf-8").removeprefix("\ufeff").strip()
    except OSError as error:
        raise SettingsError(
            f"{variable}: {_cut(path)} cannot be read ({error.strerror}); mount it or unset it"
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{variable}: {_cut(path)} is not UTF-8 (byte {error.start + 1}); copy the secret into it again"
        ) from None
    if not text:
        raise SettingsError(f"{variable}: {_cut(path)} is empty; put the secret into it, or unset it")
    return text


# What pydantic says, in our words; the placeholders are its own. Others are our own validators'.
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "write a whole number"),
    "int_parsing_size": "write a number of fewer digits",
    "greater_than_equal": "write {ge:,} or more",
    "less_than_equal": "write {le:,} or less",
    "literal_error": "choose from {expected}",
    **dict.fromkeys(("tuple_type", "string_type"), "write text; several names with commas between them"),
    "path_type": "write the path of a file",
}


def _said(detail: Any) -> str:
    """What is wrong with a value, or what to write in its place."""
    text: str = detail["msg"].removeprefix("Value error, ")
    words = _WORDS.get(detail["type"])
    if words is None:
        return text
    context = dict(detail.get("ctx", {}))
    if "expected" in context:  # 'a', 'b' or 'c'
        context["expected"] = context["expected"].replace("'", "").replace(" or ", ", ")
    return words.format(**context)


def _explain(detail: Any, secrets: Collection[str]) -> Fault:
    name = str(detail["loc"][0])
    return Fault(name.upper(), f"{name.upper()}: {_fault(detail, secret=name in secrets)}")


def _fault(detail: Any, *, secret: bool) -> str:
    text = _said(detail)
    if secret or text.startswith('"'):
        return text
    value = detail["input"]
    value = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
    return f'"{_cut(masked_url(str(value)))}" is refused: {text}'
