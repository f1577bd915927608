"""Alerts on a real Prefect server: each problem is told once, and once more when it is over."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from tests.integration.snapshots.prefect_server import ROOT, Server, exchange, wait_for

SILENCE_S = 10
# Evaluated every 5 s by the server; what has not come by then is not on its way.
SETTLED_S = 6


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """An address, and the texts that were posted there."""
    texts: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing goes to the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", texts
        finally:
            server.shutdown()
            thread.join()


def take_a_slot(server: Server, directory: Path, url: str, hook: str, symbols: str) -> None:
    """`main.py` as a run of the server."""
    server.command(
        sys.executable, str(ROOT / "pipelines/Binance/main.py"),
        BINANCE_REST_URL=url, SNAPSHOT_WEBHOOK_URL=hook, SNAPSHOT_SYMBOLS=symbols,
        SNAPSHOT_DIR=str(directory / "snapshots"),
    )  # fmt: skip


def test_what_a_run_sees_is_told_once_and_when_it_is_over(tmp_path: Path, prefect: Server) -> None:
    both = "BTCUSDT,ETHUSDT"
    with webhook() as (hook, texts):
        with exchange(tmp_path, ["BTCUSDT"]) as url:
            # A run of other symbols says nothing of this one.
            for symbols in (both, both, "BTCUSDT"):
                take_a_slot(prefect, tmp_path, url, hook, symbols)
        with exchange(tmp_path, both.split(",")) as url:
            for _ in range(2):
                take_a_slot(prefect, tmp_path, url, hook, both)
    assert texts == [
        "problem: ETHUSDT: missing, unknown_symbol",
        "recovered: ETHUSDT: missing, unknown_symbol",
    ]


def test_what_only_the_server_sees_is_told_once_and_when_it_is_over(tmp_path: Path, prefect: Server) -> None:
    with webhook() as (hook, texts), exchange(tmp_path, ["BTCUSDT"]) as url:
        _declare(prefect, hook)
        _declare(prefect, hook)  # repeated, it replaces
        # On a busy machine the first declaration has its silence before the second one takes its place.
        earlier = len(texts)
        names = [one["name"] for one in prefect.ask("automations/filter", {})]
        assert len(names) == len(set(names)) == 4
        wait_for(lambda: _seen(prefect, "deployed") == 2, 30, "the alerts are armed")
        time.sleep(SETTLED_S)
        # 1. Runs die; the first is told, and a good end after them. The server looks at two events at once:
        #    which of two that come together is the first is chance, so each first one is waited for.
        end_a_run(prefect, "Crashed")
        _await(prefect, texts, "problem: market-snapshot: crashed-1 ended Crashed")
        end_a_run(prefect, "Failed")
        end_a_run(prefect, "Crashed")
        time.sleep(SETTLED_S)
        end_a_run(prefect, "Partial", type_="COMPLETED")
        _await(prefect, texts, "recovered: market-snapshot: partial-4 ended Partial")
        end_a_run(prefect, "Completed")
        # 2. Nothing lands: told once, however long it lasts.
        silence = f"problem: market-snapshot: nothing has landed for {SILENCE_S / 60:g} min"
        _await(prefect, texts, silence, count=earlier + 1)
        time.sleep(SILENCE_S + SETTLED_S)
        # 3. A real run lands rows of two symbols; the next one is silence again.
        rows, slots = _seen(prefect, "landed"), _seen(prefect, "slot-landed")
        take_a_slot(prefect, tmp_path, url, "", "BTCUSDT,NONEUSDT")
        _await(prefect, texts, "recovered: market-snapshot: rows land again")
        _await(prefect, texts, silence, count=earlier + 2)
        #    It was told by one event, not by one a row: of several at once, a server on SQLite gives some up.
        assert (_seen(prefect, "landed"), _seen(prefect, "slot-landed")) == (rows + 2, slots + 1)
        # 4. So is a crash after a good end.
        end_a_run(prefect, "Crashed")
        _await(prefect, texts, "problem: market-snapshot: crashed-6 ended Crashed")
        time.sleep(SETTLED_S)
    assert set(texts[:earlier]) <= {silence}
    assert len(texts) == earlier + 6, texts


def _declare(server: Server, hook: str) -> None:
    server.command(
        sys.executable, "-c",
        "from datetime import timedelta; from pipelines.snapshots.server_alerts import declare_alerts; "
        f"declare_alerts({hook!r}, timedelta(seconds={SILENCE_S}))",
    )  # fmt: skip


def _seen(server: Server, event: str) -> int:
    wanted = {"filter": {"event": {"name": [f"cryptostream.snapshot.{event}"]}}}
    return int(server.ask("events/filter", wanted)["total"])


_count = iter(range(1, 100))


def end_a_run(server: Server, name: str, type_: str = "") -> None:
    """A run of the flow that ends so: the server makes its events from states, whoever sets them."""
    flow = server.ask("flows/", {"name": "market-snapshot"})["id"]
    called = f"{name.lower()}-{next(_count)}"
    run = server.ask("flow_runs/", {"flow_id": flow, "name": called})["id"]
    for state in ({"type": "RUNNING"}, {"type": type_ or name.upper(), "name": name}):
        server.ask(f"flow_runs/{run}/set_state", {"state": state, "force": True})


def _await(server: Server, texts: list[str], wanted: str, count: int = 1) -> None:
    try:
        wait_for(lambda: texts.count(wanted) >= count, SILENCE_S + 120, wanted)
    except AssertionError:
        # What the server had to decide by, newest first; an event it gave up is in its queue of dead letters.
        events = [(one["occurred"], one["event"]) for one in server.ask("events/filter", {})["events"]]
        given_up = [path.read_text() for path in server.directory.glob("home/dlq/**/*") if path.is_file()]
        pytest.fail(f"not told: {wanted}; but: {texts}; given up: {given_up}; events: {events}")
