"""One simulated run as a user sees it: its words, files, tables and what the commands then read from it.

Figures and times differ from run to run and are masked; `WRITE_GOLDEN=1` writes tests/golden/public/run anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.measurements import MEASUREMENTS
from tests.integration.run_command import ROOT, count, rows, runs_in, until
from tests.public_face import GOLDEN, write

# Whether there is a page depends on what is installed; `tests/integration/api/test_page_of_a_run.py` has it.
WORDS = (
    "--source",
    "simulator",
    "--broker",
    "memory",
    "--symbols",
    "BTCUSDC",
    "--intervals",
    "1s,1m",
    "--no-web",
)
# Not indicators: which of them have a value differs from bar to bar; run/tables.json has all.
READ = {
    "klines": ("klines", "BTCUSDC", "1s"),
    "trades": ("trades", "BTCUSDC"),
    "book": ("book", "BTCUSDC"),
    "quotes": ("quotes", "BTCUSDC"),
    "ledger": ("ledger", "BTCUSDC"),
    "instruments": ("instruments", "BTCUSDC"),
}
# A point only where a stream's carriage changes.
_RARE = {"carriage"}
# SQLite's own, there or not as its last writer left it.
_PASSING = (".db-wal", ".db-shm")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("golden")
    with runs_in(directory) as start:
        run = start(*WORDS, "--data-dir", "data", WARMUP_BARS="100")
        database = directory / "data" / "cryptostream.db"
        until(
            lambda: all(count(database, name) > 0 for name in MEASUREMENTS.keys() - _RARE),
            f"all tables have rows\n{run.said}",
        )
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0, run.said
    yield directory


def masked(text: str, directory: Path) -> str:
    """Figures as #, one space where columns are as wide as their figures, no lines of how far it has come."""
    plain = re.sub(r"[\d][\d,.:]*", "#", text.replace(str(directory), "DIR"))
    lines = [re.sub(r"[ \t]+", " ", line).rstrip() for line in plain.splitlines()]
    return "\n".join(line for line in lines if "msg/s" not in line) + "\n"


def command(directory: Path, *words: str) -> str:
    run = [sys.executable, "-m", "cryptostream.cli", *words, "--data-dir", "data"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        run, cwd=directory, env=environment, capture_output=True, check=True, text=True
    ).stdout


def on_wide_terminal(directory: Path, *words: str) -> str:
    """Output of a command where there is room for all columns: elsewhere numbers decide which there are."""
    leader, follower = pty.openpty()
    run = [sys.executable, "-m", "cryptostream.cli", *words, "--data-dir", "data"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    with subprocess.Popen(run, cwd=directory, env=environment, stdout=follower) as process:
        os.close(follower)
        output = bytearray()
        with contextlib.suppress(OSError):  # what a terminal whose other end is closed says
            while part := os.read(leader, 65_536):
                output += part
    os.close(leader)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode())


def said(directory: Path) -> str:
    text = masked((directory / "output.txt").read_text(encoding="utf-8"), directory)
    # Whether a bar and all its trades fell into these seconds is chance.
    return re.sub(r"as many trades as # bars? of #s counts?, ", "", text)


def files(directory: Path) -> str:
    data = directory / "data"
    names = (str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())
    return "\n".join(sorted(name for name in names if not name.endswith(_PASSING))) + "\n"


def tables(directory: Path) -> str:
    database = directory / "data" / "cryptostream.db"
    found = {
        table["name"]: {
            column["name"]: [column["type"], column["notnull"], column["pk"]]
            for column in rows(database, f"SELECT * FROM pragma_table_info('{table['name']}')")
        }
        for table in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")
        if table["name"] not in _RARE
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def ledger(directory: Path) -> str:
    counts, freshness, verdict = command(directory, "ledger", "--verify").split("\n\n")
    # Which hops were measured is a matter of seconds.
    return masked("\n".join((counts, freshness.splitlines()[0], verdict)), directory)


def queries(directory: Path) -> str:
    lines = []
    for kind, words in READ.items():
        table = on_wide_terminal(directory, "query", *words, "--last", "2")
        head = next(line for line in table.splitlines() if line.lstrip().startswith("UTC"))
        (row, *_) = json.loads(command(directory, "query", *words, "--last", "1", "--format", "json"))
        csv = command(directory, "query", *words, "--last", "1", "--format", "csv").splitlines()[0]
        lines += [
            f"{kind}, table: {' '.join(head.split())}",
            f"{kind}, csv: {csv}",
            f"{kind}, json: {','.join(row)}",
        ]
    return masked("\n".join(lines), directory)


MADE = {
    "run/output.txt": said,
    "run/files.txt": files,
    "run/tables.json": tables,
    "run/ledger.txt": ledger,
    "run/queries.txt": queries,
}


def test_what_the_exchange_says_of_its_instrument_is_stored(site: Path) -> None:
    (row,) = json.loads(command(site, "query", "instruments", "all", "--format", "json"))
    # The simulated exchange's, by its exchangeInfo, and Binance's promises.
    assert {name: value for name, value in row.items() if name != "time_ms"} == {
        "exchange": "binance",
        "symbol": "BTCUSDC",
        "base": "BTC",
        "quote": "USDC",
        "tick": 0.01,
        "lot": 1e-5,
        "alias": None,
        "status": "TRADING",
        "trades_repaired_by": "id",
        "bars_from": "native",
        "book_proved_by": "ids",
        "quotes_from": "stream",
    }


@pytest.mark.parametrize("name", MADE)
def test_a_simulated_run_looks_as_it_did(name: str, site: Path) -> None:
    made = MADE[name](site)
    if os.environ.get("WRITE_GOLDEN"):
        write(name, made)
    assert made == (GOLDEN / name).read_text(encoding="utf-8")
