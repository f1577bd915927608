"""Each command at each edge of the machine: one clear line, nothing "unexpected", no traceback."""

from __future__ import annotations

import errno
import io
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumers.measurements import KLINE, LEDGER, Point, Series
from consumers.stores.sqlite import SqliteStore
from cryptostream import cli, data_dir
from cryptostream.engines import fetch
from cryptostream.processes.server import EngineUnavailable
from shared import setting_names
from shared.edges import in_words
from shared.errors import StoreUnavailable
from tests.kline_files import archive, bars, write

OPEN_NS = 1_785_767_100_000 * 10**6
SYMBOL = "币安人生USDT"
# Each command, as far as it comes without an exchange and a broker.
READING = {
    "query table": ("query", "klines", SYMBOL, "1m"),
    "query csv": ("query", "klines", SYMBOL, "1m", "--format", "csv"),
    "query json": ("query", "klines", SYMBOL, "1m", "--format", "json"),
    "query nothing": ("query", "trades", SYMBOL),
    "ledger table": ("ledger",),
    "ledger csv": ("ledger", "--format", "csv"),
    "ledger json": ("ledger", "--format", "json"),
    "ledger verify": ("ledger", "--verify"),
    "indicators": ("indicators", "BTCUSDC-1m-2026-08-03.csv"),
    "doctor": ("doctor",),
    "doctor json": ("doctor", "--format", "json"),
}
FAILING = ("query nothing", "ledger verify", "doctor", "doctor json")
REFUSING = {
    "run": ("run", "--source", "nowhere.jsonl"),
    "produce": ("produce",),
    "consume": ("consume", "--stream", "trades"),
    "topics": ("topics",),
    "simulate": ("simulate", "--port", "70000"),
    "repair": ("repair", "BTCUSDC", "trades", "--from", "1", "--to", "2"),
    "dead-letters": ("dead-letters", "list"),
}
SETTINGS = ("query table", "ledger table", "produce", "consume", "topics", "repair", "dead-letters")
ALL = READING | REFUSING


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as after a run, with prices of a symbol that ASCII does not have."""
    for name in setting_names.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    nobody = {"BINANCE_REST_URL": "http://127.0.0.1:1", "BINANCE_WS_URL": "ws://127.0.0.1:1"}
    for name, value in nobody.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run" / data_dir.STORE_FILE
    store = SqliteStore(path, ticks_expiry_ns=None)
    values = (1.5, 2.0, 1.0, 1.75, 10.0, 15.0, 5.0, 7.5, 3)
    store.write([Point(Series(KLINE, ("binance", SYMBOL, "1m")), OPEN_NS, values)])
    store.write([Point(Series(LEDGER, ("binance", SYMBOL, "klines", "1m")), OPEN_NS, (1, 1, 0, 0, 0, 0))])
    store.close()
    data_dir.remember_latest(path.parent)
    write(tmp_path / "BTCUSDC-1m-2026-08-03.csv", archive(bars(60)))
    return tmp_path


class Errors:
    """Standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._said = ""

    def getvalue(self) -> str:
        self._said += self._capsys.readouterr().err
        return self._said


@pytest.fixture
def errors(capsys: pytest.CaptureFixture[str]) -> Errors:
    return Errors(capsys)


def clear(text: str) -> str:
    assert "unexpected" not in text
    assert "Traceback" not in text
    return text


def full_disk() -> io.TextIOWrapper:
    return io.TextIOWrapper(Path("/dev/full").open("wb"), encoding="utf-8")


def reader_gone() -> io.TextIOWrapper:
    reader, writer = os.pipe()
    os.close(reader)
    return io.TextIOWrapper(os.fdopen(writer, "wb"), encoding="utf-8")


@pytest.mark.parametrize("command", READING)
def test_a_full_disk_is_told_as_one(command: str, monkeypatch: pytest.MonkeyPatch, errors: Errors) -> None:
    monkeypatch.setattr(sys, "stdout", full_disk())
    code = cli.main(READING[command])
    said = clear(errors.getvalue())
    assert code == 1
    if command != "query nothing":
        assert said.endswith("error: standard output: No space left on device; send it where there is room\n")


@pytest.mark.parametrize("command", READING)
def test_a_reader_that_has_gone_is_no_error(
    command: str, monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    monkeypatch.setattr(sys, "stdout", reader_gone())
    # Of a short answer nobody sees that it was not read: then the exit code is the command's own.
    assert cli.main(READING[command]) == (1 if command in FAILING else 0)
    clear(errors.getvalue())


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_shows_it_in_plain_signs(
    command: str, encoding: str, monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding))
    code = cli.main(READING[command])
    clear(errors.getvalue())
    assert code == (1 if command in FAILING else 0)
    if command in ("query csv", "query json", "ledger csv", "ledger json"):
        assert rb"\u5e01\u5b89\u4eba\u751fUSDT" in shown.getvalue()


@pytest.mark.parametrize("command", ALL)
def test_closed_streams_are_not_taken_for_files(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(ALL[command]) in (0, 1, 2)


@pytest.mark.parametrize("command", SETTINGS)
@pytest.mark.parametrize(
    "text",
    [b"# caf\xe9\n", b'SYMBOLS="BTC\n', b"SYMBOLS: X\n", b"SYMBOL=X\n", b"LOG_LEVEL=INFO\nLOG_LEVEL=INFO\n"],
)
def test_a_fault_in_env_stops_each_command(command: str, text: bytes, errors: Errors) -> None:
    Path(".env").write_bytes(text)
    assert cli.main(ALL[command]) == 2
    assert clear(errors.getvalue()).startswith("error: .env line ")
    assert errors.getvalue().count("\n") == 1


@pytest.mark.parametrize("text", [b"# caf\xe9\n", b'SYMBOLS="BTC\n', b"SYMBOLS: X\nINTERVALL=1m\n"])
def test_the_doctor_finds_it_before_a_run_does(text: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_bytes(text)
    assert cli.main(("doctor",)) == 1
    said = clear(capsys.readouterr().out)
    faults = [line for line in said.splitlines() if line.startswith("fail  settings  .env line ")]
    assert len(faults) == (2 if b"INTERVALL" in text else 1)
    assert all(" → " in line for line in faults)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"https_proxy": "socks5://u:s3cret@p:1", "BINANCE_REST_URL": "https://x.example"}, "fail  proxy"),
        ({"https_proxy": "http://u:s3cret@p:1", "BINANCE_REST_URL": "https://x.example"}, "ok    proxy"),
        ({"INTERVALL": "1m"}, "INTERVALL in the environment is not a setting → did you mean INTERVALS?"),
        ({"BINANCE_WS_URL": "https://stream.binance.com"}, 'BINANCE_WS_URL: "https://stream.binance.com"'),
        ({"BINANCE_REST_URL": "http://u:s3cret@127.0.0.1:1"}, "GET http://***@127.0.0.1:1"),
        ({"INFLUX_TOKEN_FILE": "token"}, "INFLUX_TOKEN_FILE: token is not UTF-8"),
        ({"SQLITE_PATH": "."}, 'SQLITE_PATH: "." is a folder'),
    ],
)
def test_the_doctor_finds_what_surrounds_a_run(
    given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("token").write_bytes(b"tok\xff")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cli.main(("doctor",))
    printed = capsys.readouterr()
    said = clear(" ".join(printed.out.split()))
    assert " ".join(expected.split()) in said
    assert "s3cret" not in printed.out + printed.err


def test_the_doctor_sees_that_the_metrics_port_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("METRICS_PORT", str(port))
        cli.main(("doctor",))
        assert f"METRICS_PORT {port} cannot be used now (Address already in use)" in capsys.readouterr().out
        monkeypatch.setenv("METRICS_ADDRESS", "192.0.2.1")
        cli.main(("doctor",))
    assert "METRICS_ADDRESS: 192.0.2.1 is no address of this machine" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["query table", "ledger table"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda latest: latest.write_bytes(b"/caf\xe9"),
        lambda latest: latest.write_bytes(b"\0"),
        lambda latest: latest.write_bytes(b""),
        lambda latest: (latest.unlink(), latest.mkdir()),
    ],
)
def test_what_names_the_last_run_may_be_damaged(
    command: str, damage: Callable[[Path], object], errors: Errors
) -> None:
    damage(Path("data/latest"))
    assert cli.main(ALL[command]) == 1
    assert "nothing is stored yet" in clear(errors.getvalue())


@pytest.mark.parametrize("command", ["query table", "ledger table", "doctor", "produce"])
def test_arguments_and_settings_that_are_not_utf8(
    command: str, monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    monkeypatch.setenv("SYMBOLS", os.fsdecode(b"BTC\xff"))
    assert cli.main(ALL[command]) in (1, 2)
    clear(errors.getvalue())
    monkeypatch.delenv("SYMBOLS")
    assert cli.main(("query", "klines", os.fsdecode(b"BTC\xff"), "1m")) in (1, 2)
    assert clear(errors.getvalue())


@pytest.mark.parametrize("digits", ["9" * 5000, "1e999", "nan", "-1", "٣"])
@pytest.mark.parametrize(
    "words",
    [
        ("query", "trades", "BTCUSDC", "--last"),
        ("query", "trades", "BTCUSDC", "--from"),
        ("simulate", "--seed"),
        ("simulate", "--start"),
        ("simulate", "--rate"),
        ("run", "--duration"),
        ("run", "--seed"),
        ("repair", "BTCUSDC", "trades", "--to", "5", "--from"),
    ],
)
def test_numbers_of_any_size(
    words: tuple[str, ...], digits: str, monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    # What gets that far must end before it has begun.
    monkeypatch.setattr("simulator.__main__._check", _stop)
    monkeypatch.setattr("cryptostream.run.session.Session.run", lambda _session: 0)
    try:
        code = cli.main((*words, digits))
    except SystemExit as end:  # argparse's own refusal
        code = int(end.code or 0)
    assert code in (0, 1, 2)
    clear(errors.getvalue())


def _stop(_arguments: object) -> None:
    raise StoreUnavailable("that is far enough")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/file"),
        OSError("no number"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied"),
        TimeoutError(),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        sqlite3.OperationalError("disk I/O error"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        ImportError("no module", name="pyarrow"),
        KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True)),
        KafkaException(cast(KafkaError, "bare words")),
    ],
    ids=repr,
)
def test_errors_of_the_system_are_told_as_what_they_are(
    error: Exception, monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    def broken(_args: object) -> int:
        raise error

    monkeypatch.setattr("cryptostream.commands.query.run", broken)
    assert cli.main(("query", "trades", "BTCUSDC")) == 1
    said = clear(errors.getvalue())
    assert said.startswith("error: ")
    assert "; " in said and said.count("\n") == 1
    assert in_words(error) is not None


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uid without a passwd entry, and no HOME."""
    for name in ("HOME", "XDG_CACHE_HOME", "CRYPTOSTREAM_ENGINES"):
        monkeypatch.delenv(name, raising=False)

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_there_are_no_engines_and_that_is_said() -> None:
    assert fetch.find_kafka() is None
    assert fetch.find_influxd() is None
    with pytest.raises(EngineUnavailable, match=r"HOME: not set.*CRYPTOSTREAM_ENGINES"):
        fetch.engines_dir()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(tmp_path / "file" / "engines"))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    for get in (fetch.fetch_kafka, fetch.fetch_influxd):
        with pytest.raises(EngineUnavailable, match=r"cannot be made \(Not a directory\)"):
            get(lambda _text: None)


def test_two_that_get_an_engine_at_once_get_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = f"kafka_2.13-{fetch.KAFKA_VERSION}.jar"
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    waits, downloads = threading.Event(), []

    def download(command: list[str], **_others: object) -> subprocess.CompletedProcess[str]:
        downloads.append(command)
        assert waits.wait(30), "the second one does not wait for the first"
        libs = Path(command[-1].removeprefix("-DoutputDirectory="))
        libs.mkdir()
        (libs / jar).touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    def say(text: str) -> None:
        if "another process" in text:
            waits.set()

    monkeypatch.setattr("subprocess.run", download)
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(fetch.fetch_kafka, [say, say]))
    assert got[0] == got[1]
    assert (got[0] / jar).exists()
    assert len(downloads) == 1


def test_a_cache_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTOSTREAM_ENGINES", str(tmp_path))
    (tmp_path / "fetch.lock").mkdir()
    for get in (fetch.fetch_kafka, fetch.fetch_influxd):
        with pytest.raises(EngineUnavailable, match=r"fetch\.lock: cannot be written \(Is a directory\)"):
            get(lambda _text: None)


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", ["</dev/null >&- 2>&-", "> /dev/full", "2>/dev/full >/dev/full"])
def test_the_interpreter_ends_without_a_word_of_its_own(arguments: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m cryptostream.cli query klines BTCUSDC 1m --data-dir run {arguments}"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"unexpected" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_standard_input_that_is_closed_has_nothing_in_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m cryptostream.cli indicators - <&-"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "error: -: no klines in there\n")


def test_a_rebuild_goes_on_where_nobody_hears_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records are on the way from files to the new topic: the one time at which it must not end."""

    def rebuild(*given: object) -> int:
        say = given[-1]
        assert callable(say)
        say("reading")
        return 3

    monkeypatch.setattr("cryptostream.commands.topics.rebuild", rebuild)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(full, write_through=True))
        assert cli.main(("topics", "--rebuild", "market.klines.1m")) == 0


def test_a_slip_in_the_environment_is_said_and_followed_by_the_defaults(
    monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    monkeypatch.setenv("INTERVALL", "1m")
    assert cli.main(ALL["query table"]) == 0
    assert errors.getvalue() == (
        "warning: INTERVALL in the environment is not a setting; did you mean INTERVALS?\n"
    )


def test_a_thread_that_dies_is_one_line(monkeypatch: pytest.MonkeyPatch, errors: Errors) -> None:
    def run(_args: object) -> int:
        for error in (
            OSError(errno.EIO, "Input/output error", "/disk"),
            StoreUnavailable("away"),
            KeyError(1),
        ):
            thread = threading.Thread(target=_raising(error), name="reader")
            thread.start()
            thread.join()
        return 0

    before = threading.excepthook
    monkeypatch.setattr("cryptostream.commands.query.run", run)
    assert cli.main(("query", "trades", "BTCUSDC")) == 0
    assert errors.getvalue().splitlines() == [
        "error: reader: /disk: Input/output error; see that it is there, may be used, and has room",
        "error: reader: away",
        "error: reader: unexpected KeyError: 1 (--debug shows where)",
    ]
    assert threading.excepthook is before


def _raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImportError("no module", name="rich")])
def test_what_happens_while_a_command_is_imported_is_told_too(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    def broken(_name: str) -> object:
        raise error

    monkeypatch.setattr("importlib.import_module", broken)
    assert cli.main(("doctor",)) == (130 if isinstance(error, KeyboardInterrupt) else 1)
    clear(errors.getvalue())


@pytest.mark.parametrize("words", [("--help",), ("query", "--help"), ("nonsense",), ()])
def test_help_and_wrong_words(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, errors: Errors
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == (0 if "--help" in words else 2)
    monkeypatch.setattr(sys, "stdout", full_disk())
    if "--help" in words:
        assert cli.main(words) == 1
    clear(errors.getvalue())


@pytest.mark.parametrize("command", ALL)
def test_a_working_directory_that_is_gone(command: str, tmp_path: Path, errors: Errors) -> None:
    here = tmp_path / "here"
    here.mkdir()
    os.chdir(here)
    try:
        here.rmdir()
        assert cli.main(ALL[command]) in (1, 2)
    finally:
        os.chdir(tmp_path)
    clear(errors.getvalue())
