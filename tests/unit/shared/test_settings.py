from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.markets import Market
from shared.settings import HISTORY_REST_URL, Settings, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "EXCHANGE",
        "SYMBOLS",
        "INTERVALS",
        "STORE",
        "BINANCE_REST_URL",
        "BINANCE_HISTORY_URL",
        "INFLUX_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("INTERVALS", "1m,7m", 'INTERVALS: "7m" is not an interval of bars; choose from 1s, 1m, 3m'),
        ("SYMBOLS", "BTC/USDC", 'SYMBOLS: "BTC/USDC" is not a symbol'),
        ("SYMBOLS", " , ", "must name at least one"),
        ("STORE", "mysql", 'STORE: "mysql" is refused: choose from influxdb, sqlite'),
        ("METRICS_ADDRESS", "localhost", 'METRICS_ADDRESS: "localhost" is no address'),
        ("WARMUP_BARS", "-1", 'WARMUP_BARS: "-1" is refused: write 0 or more'),
        ("METRICS_PORT", "soon", 'METRICS_PORT: "soon" is refused: write a whole number'),
        ("METRICS_PORT", "9.5", 'METRICS_PORT: "9.5" is refused: write a whole number'),
        ("METRICS_PORT", "99999", 'METRICS_PORT: "99999" is refused: write 65,535 or less'),
        ("METRICS_PORT", "9" * 5_000, "is refused: write a number of fewer digits"),
        ("LOG_FORMAT", "xml", 'LOG_FORMAT: "xml" is refused: choose from text, json'),
        ("BINANCE_WS_URL", "stream.example", 'BINANCE_WS_URL: "stream.example" is not a URL'),
        ("SYMBOLS", "BTCUSDC,²", 'SYMBOLS: "²" is not a symbol'),
        ("SYMBOLS", "B" * 41, f'SYMBOLS: "{"B" * 41}" is not a symbol'),
        ("SYMBOLS", "½", 'SYMBOLS: "½" is not a symbol'),
        ("SYMBOLS", "...", 'SYMBOLS: "..." is not a symbol'),
        (
            "SYMBOLS",
            "BTCUSDC,ftx:BTC",
            'SYMBOLS: "ftx:BTC" names no exchange that is here; exchanges: binance, kraken',
        ),
        (
            "SYMBOLS",
            "kraken:BTCUSD",
            'SYMBOLS: "kraken:BTCUSD" is not a pair of Kraken; write base and quote with',
        ),
        ("EXCHANGE", "ftx", 'EXCHANGE: "ftx" is not an exchange here; choose from binance, kraken, coinbase'),
        (
            "INFLUX_TOKEN_FILE",
            "/dev/zero",
            "INFLUX_TOKEN_FILE: /dev/zero cannot be read (it is a pipe or a device",
        ),
        ("INFLUX_TOKEN_FILE", "/nowhere/token", "INFLUX_TOKEN_FILE: /nowhere/token cannot be read"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_symbols_are_written_as_the_exchange_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBOLS", "btc/usd, ETH/USD")
    with pytest.raises(SettingsError, match="write them like BTCUSDC"):
        load_settings()
    monkeypatch.setenv("EXCHANGE", "kraken")
    assert load_settings().symbols == ("BTC/USD", "ETH/USD")
    with pytest.raises(SettingsError, match="write them like BTC/USD"):
        load_settings(symbols="BTC USD")


def test_symbols_name_markets_of_several_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBOLS", "btcusdc,kraken:BTC/USD,coinbase:BTC-USD,kraken:eth/usd")
    settings = load_settings()
    assert settings.markets == (
        Market("binance", "BTCUSDC"),
        Market("kraken", "BTC/USD"),
        Market("coinbase", "BTC-USD"),
        Market("kraken", "ETH/USD"),
    )
    assert settings.exchanges == ("binance", "kraken", "coinbase")
    kraken = settings.of("kraken")
    assert (kraken.exchange, kraken.symbols) == ("kraken", ("BTC/USD", "ETH/USD"))
    assert kraken.markets == (Market("kraken", "BTC/USD"), Market("kraken", "ETH/USD"))
    assert settings.of("binance").symbols == ("BTCUSDC",)


def test_a_prefix_wins_over_the_exchange_and_one_of_the_same_exchange_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXCHANGE", "Kraken")
    monkeypatch.setenv("SYMBOLS", "kraken:BTC/USD,binance:BTCUSDC")
    settings = load_settings()
    assert (settings.exchange, settings.symbols) == ("kraken", ("BTC/USD", "binance:BTCUSDC"))
    assert settings.exchanges == ("kraken", "binance")


def test_an_exchange_without_symbols_has_its_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE", "coinbase")
    assert load_settings().symbols == ("BTC-USD", "ETH-USD", "XRP-USD", "SOL-USD")


def test_symbols_of_another_type_are_refused_in_our_words() -> None:
    for symbols in ((5,), [None], 7):
        with pytest.raises(SettingsError) as caught:
            load_settings(symbols=symbols)
        assert "SYMBOLS: " in str(caught.value) and "nput should" not in str(caught.value)


def test_no_words_of_pydantic_reach_a_user() -> None:
    """Every setting, with values that its type does not take."""
    for name, field in Settings.model_fields.items():
        for value in (object(), "\0", "x" * 300, -(10**30), "-1", 1.5, [object()]):
            try:
                load_settings(**{name: value})
            except SettingsError as error:
                assert "nput should" not in str(error), (field, str(error))


def test_lists_are_split_and_symbols_written_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBOLS", "btcusdc, ethusdc,BTCUSDC")
    assert load_settings().symbols == ("BTCUSDC", "ETHUSDC")


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERVALS", "1h")
    assert load_settings(intervals="1m").intervals == ("1m",)
    assert load_settings(intervals=None).intervals == ("1h",)


def test_a_secret_is_read_from_its_file_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    monkeypatch.setenv("INFLUX_TOKEN_FILE", str(tmp_path / "token"))
    settings = load_settings()
    assert settings.influx_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


def test_env_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("STORE=influxdb\nINTERVALS=1d\n", encoding="utf-8")
    monkeypatch.setenv("INTERVALS", "1s")
    settings = load_settings()
    assert (settings.store, settings.intervals) == ("influxdb", ("1s",))


def test_trade_history_is_asked_where_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().history_url() == HISTORY_REST_URL
    monkeypatch.setenv("BINANCE_REST_URL", "http://127.0.0.1:9")
    assert load_settings().history_url() == "http://127.0.0.1:9"
    monkeypatch.setenv("BINANCE_HISTORY_URL", "http://127.0.0.1:8/")
    assert load_settings().history_url() == "http://127.0.0.1:8"


def test_every_setting_is_documented() -> None:
    documented = (Path(__file__).resolve().parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in documented] == []


@pytest.mark.parametrize(
    "name",
    [
        "SYMBOLS", "INTERVALS", "STORE", "BINANCE_REST_URL", "BINANCE_WS_URL", "KAFKA_BOOTSTRAP_SERVERS",
        "METRICS_ADDRESS", "SQLITE_PATH", "INFLUX_TOKEN_FILE", "LOG_LEVEL", "WARMUP_BARS",
    ],
)  # fmt: skip
def test_a_wrong_value_is_shown_in_part(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "! " * 45_000 + "!")
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    assert len(str(caught.value)) < 700
