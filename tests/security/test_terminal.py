"""What the exchange, Kafka's records and files say reaches no terminal as a command, and forges no line."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from cryptostream.dead_letters import output as letters
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Position
from cryptostream.dead_letters.outcomes import Obsolete, StillBroken
from cryptostream.output import PlainConsole, write_columns
from cryptostream.query_output import Selection, write_csv, write_json, write_table
from cryptostream.run.display import Display
from cryptostream.run.screen import render
from cryptostream.run.view import LedgerRow, RunView, ServiceView
from producers.connection import why_closed
from producers.exchanges.binance.answers import decide, object_of
from shared.command import run_command
from shared.dead_letters import Origin
from shared.errors import CryptoStreamError, SettingsError
from shared.logs import set_up_logging
from tests.builders import NOW_MS, event_of, plan
from tests.conftest import ROOT

FORGED = "12:00:00 ERROR forged"
# Titles, clearing, C1, line ends, marks of direction, signs without width, tags, a half of a surrogate pair.
ATTACKS = {
    "title": "\x1b]0;owned\x07",
    "screen": "\x1b[2J\x1b[1;1H",
    "answer": "\x1b[6n\x1bP$q\x1b\\",
    "c1": "\x9b31m\x90\x9d0;owned\x9c",
    "line": f"\n{FORGED}",
    "return": f"\r{FORGED}",
    "other lines": f"\x0b\x0c\x85\u2028\u2029{FORGED}",
    "backspaces": "\x08\x08\x7f",
    "direction": "\u202eCDSU\u202c\u2066\u061c",
    "no width": "BTC\u200bUSDC\ufeff\u2060\xad",
    "tags": "\U000e0041\U000e007f",
    "nul": "\x00",
}
HOSTILE = "why" + "".join(ATTACKS.values())


def assert_harmless(text: str, *, ours: str = "") -> None:
    """No sign of an attack is left, and no line begins with what was forged.

    Args:
        ours: signs that a stream of ours may hold.
    """
    left = {
        character
        for attack in ATTACKS.values()
        for character in attack
        if not character.isprintable() and character not in f"\n{ours}" and character in text
    }
    assert not left, (left, text)
    assert not any(line.startswith(FORGED) for line in text.splitlines()), text


def letter(reason: str = HOSTILE, value: bytes = orjson.dumps({HOSTILE: HOSTILE})) -> DeadLetter:
    origin = Origin(reason, f"websocket:{HOSTILE}", 3, 17, HOSTILE)
    return DeadLetter(Position(1, 7), NOW_MS, HOSTILE.encode(), value, origin)


def written(write: Callable[[io.StringIO], Any]) -> str:
    out = io.StringIO()
    write(out)
    return out.getvalue()


@pytest.mark.parametrize("value", [orjson.dumps([HOSTILE]), HOSTILE.encode(), b"\xff" + HOSTILE.encode()])
def test_dead_letters(value: bytes) -> None:
    some = [letter(value=value)]
    for write in (letters.write_table, letters.write_csv, letters.write_json):
        assert_harmless(written(partial(write, some, {})))
    assert_harmless(written(lambda out: letters.show_letter(some[0], out)))
    assert_harmless(letters.outcome_text(StillBroken(HOSTILE)))
    assert_harmless(letters.outcome_text(Obsolete(HOSTILE)))
    (record,) = orjson.loads(written(lambda out: letters.write_json(some, {}, out)))
    assert record["reason"] == HOSTILE


def test_rows_of_a_store() -> None:
    """Another program's token may write any tag."""
    row: dict[str, Any] = {
        "time_ns": NOW_MS * 10**6, "exchange": HOSTILE, "symbol": HOSTILE, "interval": HOSTILE, "open": 1.0,
    }  # fmt: skip
    selection = Selection("kline", {"symbol": HOSTILE})
    columns = selection.columns
    assert_harmless(written(lambda out: write_table([row], selection, out)))
    assert_harmless(written(lambda out: write_table([row], Selection("kline", {}), out)))
    assert_harmless(written(lambda out: write_csv([row], selection, columns, out)))
    text = written(lambda out: write_json([row], selection, columns, out))
    assert_harmless(text)
    assert orjson.loads(text)[0]["symbol"] == HOSTILE
    assert_harmless(written(lambda out: write_columns(("a", "b"), [(HOSTILE, HOSTILE)], out)))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs(log_format: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        set_up_logging("INFO", log_format)
        logging.getLogger("of.ours").warning("%s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("of.ours").exception("it failed: %s", HOSTILE)
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    assert_harmless(out.getvalue())
    assert "ValueError" in out.getvalue()
    if log_format == "json":
        assert len([orjson.loads(line) for line in out.getvalue().splitlines()]) == 2


def test_events_of_a_run() -> None:
    out = io.StringIO()
    display = Display(PlainConsole(file=out, width=200), screen=False)
    display.say(HOSTILE)
    display.report((LedgerRow(HOSTILE, "klines", "1m", expected=1, stored=1, backfilled=0),))
    assert_harmless(out.getvalue())
    assert len(display.lines) == 1 and "\n" not in display.lines[0]


def test_the_screen_of_a_run() -> None:
    service = ServiceView(HOSTILE, 1.0, 3, 0.1, 0, 0, 0.4, 12.0)
    ledger = (LedgerRow(HOSTILE, HOSTILE, HOSTILE, expected=2, stored=1, lost=1),)
    view = RunView((HOSTILE,), HOSTILE, 1.0, (), (service,), ledger, (HOSTILE,))
    out = io.StringIO()
    console = PlainConsole(file=out, width=160, height=50, force_terminal=True, color_system="standard")
    console.print(render(view, 160, 50))
    for attack in (*ATTACKS.values(), "\x07", "\x9b", "\x1b]", "\x1b[2J", "\x1b[6n"):
        assert attack not in out.getvalue()
    assert "\x1b[" in out.getvalue()  # rich's own


def test_rich_draws_and_texts_do_not() -> None:
    out = io.StringIO()
    console: Console = PlainConsole(file=out, force_terminal=True, color_system="standard")
    console.print(HOSTILE, style="bold", highlight=False)
    assert "\x1b[1m" in out.getvalue() and "\x1b]" not in out.getvalue() and "\x9b" not in out.getvalue()


@pytest.mark.parametrize("name", ["[link=http://x]BTCUSDC", "[/x]", "[bold red]", ":warning:"])
def test_names_that_look_like_markup_are_names(name: str) -> None:
    row: dict[str, Any] = {"time_ns": NOW_MS * 10**6, "symbol": name, "exchange": "b", "interval": "1m"}
    assert name in written(lambda out: write_table([row], Selection("kline", {}), out))
    out = io.StringIO()
    display = Display(PlainConsole(file=out, width=200), screen=False)
    display.report((LedgerRow(name, "klines", "1m", expected=1, stored=1, backfilled=0),))
    assert name in out.getvalue()


ENDS: dict[str, Callable[[], BaseException]] = {
    "ours": lambda: CryptoStreamError(HOSTILE),
    "a setting's": lambda: SettingsError(HOSTILE, HOSTILE),
    "a file's": lambda: FileNotFoundError(2, "No such file", HOSTILE),
    "the system's": lambda: OSError(5, HOSTILE),
    "nobody's": lambda: ValueError(HOSTILE),
    "an encoding's": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, HOSTILE),
}


@pytest.mark.parametrize("make", ENDS.values(), ids=ENDS)
def test_ends_of_commands(make: Callable[[], BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        sys.stdout.write(f"out {HOSTILE.replace(chr(10), '')}\n")
        sys.stderr.write(f"err {HOSTILE.replace(chr(10), '')}\n")
        raise make()

    assert run_command(work) in (1, 2)
    for text in capsys.readouterr():
        assert_harmless(text)


def test_a_close_reason_and_a_control_reply() -> None:
    closed = ConnectionClosedError(Close(1008, HOSTILE[:40] + ATTACKS["line"] + ATTACKS["c1"]), None)
    assert_harmless(why_closed(closed, plan()))
    assert "\n" not in why_closed(closed, plan())
    reply = event_of(orjson.dumps({"error": {"code": HOSTILE, "msg": HOSTILE}, "id": HOSTILE}), NOW_MS)
    record = logging.LogRecord("n", logging.WARNING, "p", 1, "refused: %s", (reply,), None)
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    set_up = logging.getLogger()
    before = set_up.handlers[:], set_up.level
    try:
        set_up_logging("INFO", "text")
        handler.setFormatter(set_up.handlers[0].formatter)
    finally:
        set_up.handlers[:] = before[0]
        set_up.setLevel(before[1])
    handler.emit(record)
    assert_harmless(out.getvalue())


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_what_the_exchange_answers(status: int) -> None:
    body = orjson.dumps({"code": -1000, "msg": HOSTILE})
    for said in (body, HOSTILE.encode()):
        with pytest.raises(CryptoStreamError) as refused:
            decide(status, {}, said, "GET http://x", object_of)
        assert_harmless(str(refused.value))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "nul"])
@pytest.mark.parametrize("words", [("simulate", "--replay"), ("indicators",)], ids=["simulate", "indicators"])
def test_names_and_contents_of_files(tmp_path: Path, attack: str, words: tuple[str, ...]) -> None:
    path = tmp_path / f"f{ATTACKS[attack]}"
    path.write_text(f"{HOSTILE[:3]}{ATTACKS[attack]}\n")
    done = subprocess.run(
        [sys.executable, "-m", "cryptostream.cli", *words, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert_harmless(done.stdout.decode() + done.stderr.decode())
    assert done.stderr.decode().count("\n") == 1
