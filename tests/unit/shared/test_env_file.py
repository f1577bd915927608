"""`.env`: what cannot be read or is unknown stops the start, with file and line; wrong values too."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.snapshots.settings import SECRETS as SNAPSHOT_SECRETS
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from shared import setting_names
from shared.env_file import read_env_file
from shared.errors import SettingsError
from shared.setting_names import misspelt
from shared.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*setting_names.SETTINGS, "INTERVALL"):
        monkeypatch.delenv(name, raising=False)


def written(text: str | bytes) -> None:
    Path(".env").write_bytes(text if isinstance(text, bytes) else text.encode())


def refused() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    with pytest.raises(SettingsError):
        load_snapshot_settings()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"# caf\xe9\nSTORE=sqlite\n", ".env line 1: is not UTF-8 (byte 0xe9)"),
        (b"STORE=sqlite\n\n# \xff\n", ".env line 3: is not UTF-8"),
        ("STORE=sqlite".encode("utf-16"), ".env line 1: is not UTF-8"),
        (b"STORE=sq\0lite\n", ".env line 1: has a zero byte"),
        ('SYMBOLS="BTCUSDT,ETHUSDT\nINTERVALS=1m\n', ".env line 1: SYMBOLS: its quote is not closed"),
        ("\n\nSYMBOLS='BTCUSDT\n", ".env line 3: SYMBOLS: its quote is not closed"),
        ('SYMBOLS="BTCUSDT" and more\n', ".env line 1: SYMBOLS: its quote is not closed, or something"),
        ("SYMBOLS: BTCUSDT\n", ".env line 1: SYMBOLS: has a colon; write SYMBOLS=value"),
        ("SYMBOLS:BTCUSDT\n", ".env line 1: SYMBOLS: has a colon; write SYMBOLS=value"),
        ("SYMBOLS:=BTCUSDT\n", ".env line 1: SYMBOLS: has a colon; write SYMBOLS=value"),
        ("STORE=sqlite\nSYMBOLS\n", ".env line 2: SYMBOLS: has no value"),
        ("export SYMBOLS\n", ".env line 1: SYMBOLS: has no value"),
        ("follow BTCUSDT please\n", ".env line 1: is not NAME=value"),
        ("=1m\n", ".env line 1: is not NAME=value"),
        ("INTERVALL=1m\n", ".env line 1: INTERVALL is not a setting; did you mean INTERVALS?"),
        ("SYMBOL=BTCUSDT\n", ".env line 1: SYMBOL is not a setting; did you mean SYMBOLS?"),
        ("symbols=BTCUSDT\n", ".env line 1: symbols is not a setting; did you mean SYMBOLS?"),
        ("DJANGO_DEBUG=1\n", ".env line 1: DJANGO_DEBUG is not a setting; docs/settings.md"),
        ("HTTPS_PROXY=http://proxy\n", ".env line 1: HTTPS_PROXY is read from the environment only"),
        ("ALERT_WEBHOOK_URL=http://s3cret\n", ".env line 1: ALERT_WEBHOOK_URL is a secret; move it"),
        ("INTERVALS=1m\n# …\nINTERVALS=1h\n", ".env line 3: INTERVALS is in line 1 too"),
        ("SQLITE_PATH=$HOME/x.db\n", ".env line 1: SQLITE_PATH has a $"),
        ("SYMBOLS BTCUSDT", ".env line 1: is not NAME=value"),
    ],
)
def test_what_cannot_be_read_stops_the_start(text: str | bytes, expected: str) -> None:
    written(text)
    assert refused().startswith(expected)


def test_every_fault_is_named_at_once_and_no_value_is_shown() -> None:
    written('INFLUX_TOKEN="s3cret\nINTERVALL=s3cret\nSYMBOLS: s3cret\n')
    text = refused()
    assert text.count(".env line ") == 3
    assert "s3cret" not in text


def test_a_file_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    written("STORE=sqlite\n")

    def denied(_path: Path, _most: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shared.env_file.read_small_file", denied)
    assert refused().startswith(".env: cannot be read (Permission denied)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("STORE=influxdb # mine\n", "influxdb"),
        ("STORE='influxdb' # mine\n", "influxdb"),
        ('export STORE = "influxdb"\r\n', "influxdb"),
        ("\ufeffSTORE=influxdb\n", "influxdb"),
        ("STORE=\n", "sqlite"),
        ("STORE= # none\n", "sqlite"),
        ("STORE='  '\n", "sqlite"),
        ("COMPOSE_PROJECT_NAME=mine # my project\nSTORE=influxdb", "influxdb"),
        ("GRAFANA_PORT=3001\nPREFECT_API_URL=x\nSNAPSHOT_CRON=*/5 * * * *\nSTORE=influxdb", "influxdb"),
        ("BACKUPS=$HOME/x\nINFLUX_ORG='a$b'\nSTORE=influxdb", "influxdb"),
    ],
)
def test_what_composers_read_is_read_alike(text: str, expected: str) -> None:
    written(text)
    assert load_settings().store == expected
    load_snapshot_settings()


def test_a_virtual_environment_of_that_name_is_somebody_elses() -> None:
    Path(".env").mkdir()
    Path(".env/pyvenv.cfg").touch()
    assert load_settings().store == "sqlite"


def test_the_example_can_be_used_as_it_is() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    written(example)
    assert read_env_file(Path(".env")).values == {"COMPOSE_PROJECT_NAME": "cryptostream"}
    written(re.sub(r"^#(?=[A-Z])", "", example, flags=re.MULTILINE))
    assert "SNAPSHOT_CRON" in read_env_file(Path(".env")).values


@pytest.mark.parametrize("name", sorted({name.upper() for name in Settings.model_fields}))
def test_empty_is_the_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    written(f"{name}=\n")
    assert load_settings() == Settings.model_construct()


def test_what_is_empty_in_the_environment_hides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    written("STORE=influxdb\n")
    monkeypatch.setenv("STORE", "")
    assert load_settings().store == "sqlite"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BINANCE_WS_URL", "https://stream.binance.com", "begins with https://; it must begin with ws://"),
        ("BINANCE_REST_URL", "wss://api.binance.com", "begins with wss://; it must begin with http://"),
        ("BINANCE_HISTORY_URL", "ftp://api.binance.com", "begins with ftp://"),
        ("INFLUX_URL", "localhost:8086", "is not a URL"),
        ("INFLUX_URL", "htp://localhost:8086", "begins with htp://"),
        ("INFLUX_URL", "http://localhost:80860", "has no port from 1 to 65535"),
        ("INFLUX_URL", "http://localhost:port", "has no port"),
        ("INFLUX_URL", "http://:8086", "has no host"),
        ("INFLUX_URL", "http://[::1", "wrong host"),
        ("INFLUX_URL", "http://local host", "has a space or control character"),
        ("BINANCE_WS_URL", "wss://host/stream?streams=x", "remove it from ? or #"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:kafka", '"localhost:kafka" is not a broker'),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092,,b:1", '"" is not a broker'),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:99999", "is not a broker"),
        ("SQLITE_PATH", ".", '"." is a folder'),
        ("SQLITE_PATH", "/", '"/" is a folder'),
        ("SQLITE_PATH", "x" * 300, "cannot be used (File name too long)"),
        ("SQLITE_PATH", "~nobody-of-that-name/x.db", "cannot be used (Could not determine home directory.)"),
    ],
)
def test_a_wrong_address_or_path_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "servers", ["kafka", "a:1,b:2", "PLAINTEXT://a:9092", "[::1]:9092", "[::1]", " a:1, b"]
)
def test_brokers_are_taken_as_librdkafka_takes_them(servers: str) -> None:
    assert load_settings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers.strip()


@pytest.mark.parametrize("name", ["BINANCE_REST_URL", "BINANCE_WS_URL", "INFLUX_URL"])
@pytest.mark.parametrize("url", ["gopher://user:s3cret@host", "http://user:s3cret@host:x", "//u:s3cret@h://"])
def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"tok\xff", "is not UTF-8 (byte 4)"),
        (b" \n", "is empty"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_by_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    for name in ("INFLUX_TOKEN_FILE", "SNAPSHOT_WEBHOOK_URL_FILE"):
        monkeypatch.setenv(name, str(path))
    for load, name in (
        (load_settings, "INFLUX_TOKEN_FILE"),
        (load_snapshot_settings, "SNAPSHOT_WEBHOOK_URL_FILE"),
    ):
        with pytest.raises(SettingsError) as caught:
            load()
        assert str(caught.value).startswith(f"{name}: {path} {fault}")


def test_a_secrets_file_may_be_named_in_the_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\ufeffof-file\n", encoding="utf-8")
    written("INFLUX_TOKEN_FILE=token\n")
    assert load_settings().influx_token.get_secret_value() == "of-file"
    monkeypatch.setenv("INFLUX_TOKEN", "of-environment")
    assert load_settings().influx_token.get_secret_value() == "of-environment"


def _pipe() -> None:
    os.mkfifo(".env")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Path(".env").symlink_to("nowhere"), "is a link to a missing file"),
        (lambda: Path(".env").symlink_to(".env"), "Too many levels of symbolic links"),
        (lambda: Path(".env").symlink_to("/dev/zero"), "a pipe or a device"),
        (_pipe, "a pipe or a device"),
        (lambda: Path(".env").mkdir(), "is a folder; put a file there"),
        (lambda: written("#" * 2**20 + "\n"), "longer than 1,048,576 bytes"),
    ],
)
def test_what_is_there_and_cannot_be_read_is_not_passed_over(make: Callable[[], None], told: str) -> None:
    make()
    assert refused().startswith(".env: ") and told in refused()


def test_what_is_wrong_is_told_by_setting_whether_a_line_or_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    written("nonsense here\nSTORE=a\nLOG_LEVEL=loud\nINTERVALS=1m\nSYMBOL=x\nSTORE=b\nINTERVALS\n")
    monkeypatch.setenv("INTERVALS", "7m")
    monkeypatch.setenv("INFLUX_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [fault.partition(";")[0].partition(" is refused")[0] for fault in caught.value.faults] == [
        ".env line 1: is not NAME=value",
        ".env line 5: SYMBOL is not a setting",
        ".env line 7: INTERVALS: has no value",
        'INTERVALS: "7m" is not an interval of bars',
        ".env line 6: STORE is in line 2 too",
        'STORE: "a"',
        "INFLUX_TOKEN_FILE: /nowhere/token cannot be read (No such file or directory)",
        'LOG_LEVEL: "LOUD"',
    ]


def test_a_file_of_something_else_is_told_in_part() -> None:
    written("".join(f"SYMBOLS_{number}=x\n" for number in range(1_000)))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(caught.value.faults) == 101 and len(str(caught.value)) <= 4_001
    assert caught.value.faults[-1] == ".env: has more faults; check that it is the right file"


def test_nothing_else_reads_it() -> None:
    _pipe()
    assert Settings().store == "sqlite"  # pydantic's own reading would wait for the pipe


def test_a_path_may_begin_at_home() -> None:
    written("SQLITE_PATH=~/x.db\n")
    assert load_settings().sqlite_path == Path.home() / "x.db"


def test_slips_in_the_environment_are_found_and_others_names_are_not() -> None:
    assert misspelt(["INTERVALL", "BINANCE_RES_URL", "INFLUX_TOKENFILE"]) == [
        ("BINANCE_RES_URL", "BINANCE_REST_URL"),
        ("INFLUX_TOKENFILE", "INFLUX_TOKEN_FILE"),
        ("INTERVALL", "INTERVALS"),
    ]
    others = ["INFLUX_HOST", "INFLUX_ORG_ID", "INFLUX_BUCKET_NAME", "BINANCE_API_KEY", "LOG_DIR", "STATE"]
    assert misspelt([*others, "SYMBOLS", "symbols", "COMPOSE_PROJECT_NAM", "PREFECT_API_URL"]) == []
    assert misspelt(os.environ) == []


def test_every_name_is_declared_where_it_is_looked_up() -> None:
    """Fields of both models, secrets' files, and the variables of all compose files."""
    assert {name.upper() for name in Settings.model_fields} == set(setting_names.STREAM)
    snapshots = {name.upper() for name in SnapshotSettings.model_fields}
    assert snapshots - set(setting_names.STREAM) == set(setting_names.SNAPSHOTS)
    files = {f"{name.upper()}_FILE" for name in (*SNAPSHOT_SECRETS, "influx_token", "api_token")}
    assert files == set(setting_names.FILES)
    composed = {
        name
        for path in (*ROOT.glob("*.yml"), *(ROOT / "kafka").glob("*.yml"))
        for name in re.findall(r"(?<!\$)\$\{?([A-Z][A-Z0-9_]+)", path.read_text(encoding="utf-8"))
    }
    assert composed - setting_names.SETTINGS == setting_names.STACK
