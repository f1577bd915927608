"""`cryptostream snapshots serve` as users start it: it takes what is due, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from tests.integration.snapshots.prefect_server import ROOT, Server, exchange, wait_for

# A run is given 10 s to end, and 30 s once it is cancelled.
END_WITHIN_S = 60


@contextmanager
def silent_exchange() -> Iterator[str]:
    """Something that takes connections and never answers: whoever asks it is busy for long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def slow_exchange(directory: Path) -> AbstractContextManager[str]:
    """A simulated exchange whose every answer takes a second: a run lasts four or five."""
    return exchange(directory, ["BTCUSDT"], "rest_timeout:probability=1,duration=1")


@contextmanager
def serving(directory: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command, as the leader of a process group, as a shell starts it."""
    command = [
        sys.executable, "-m", "cryptostream.cli", "snapshots", "serve",
        "--symbols", "BTCUSDT", "--cron", "0 */12 * * *", "--dir", str(directory / "snapshots"),
    ]  # fmt: skip
    with (directory / "out").open("w") as out, (directory / "err").open("w") as err:
        started = subprocess.Popen(
            command, stdout=out, stderr=err, env=environment, cwd=directory, start_new_session=True, text=True
        )
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()
                started.wait()


def environment_of(directory: Path, url: str, **more: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    home = {"PREFECT_HOME": str(directory / "home")}
    return (
        own
        | home
        | {"PYTHONPATH": str(ROOT), "BINANCE_REST_URL": url, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        | more
    )


def address_of(directory: Path, command: subprocess.Popen[str]) -> str:
    """Where its runs are made, once it says so."""

    def said() -> str | None:
        assert command.poll() is None, (directory / "err").read_text()
        words = (directory / "out").read_text().split("runs at ")
        return words[1].split(";")[0] if len(words) > 1 else None

    return str(wait_for(said, 120, "serve has begun"))


def begin_a_run(server: Server) -> str:
    """The id of a run that is on its way, of the deployment that serve made."""
    deployment = server.ask("deployments/name/market-snapshot/serve")
    run = server.ask(f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    wait_for(lambda: _state(server, run["id"]) == "RUNNING", 60, "the run is on its way")
    return str(run["id"])


def _state(server: Server, run: str) -> Any:
    return server.ask(f"flow_runs/{run}")["state"]["type"]


def of_session(leader: int) -> list[int]:
    """Processes of a session: serve and its runs are one, the server that it starts is another."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def children_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_on_its_way_comes_to_its_end_and_serve_after_it(
    tmp_path: Path, prefect: Server, number: signal.Signals
) -> None:
    with (
        slow_exchange(tmp_path) as url,
        serving(tmp_path, environment_of(tmp_path, url, **prefect.client)) as command,
    ):
        address_of(tmp_path, command)
        run = begin_a_run(prefect)
        # A terminal sends Ctrl-C to the whole group, runs included.
        (os.killpg if number is signal.SIGINT else os.kill)(command.pid, number)
        assert command.wait(END_WITHIN_S) == 0
    assert (tmp_path / "err").read_text() == ""
    assert of_session(command.pid) == []
    assert _state(prefect, run) == "COMPLETED"


def test_a_run_that_does_not_end_is_cancelled_and_the_server_that_was_started_ends(tmp_path: Path) -> None:
    with silent_exchange() as url, serving(tmp_path, environment_of(tmp_path, url)) as command:
        address = address_of(tmp_path, command)
        login = (tmp_path / "snapshots" / "prefect" / "login").read_text().strip()
        begin_a_run(Server(address, {"PREFECT_API_AUTH_STRING": login}, tmp_path))
        (server,) = set(children_of(command.pid)) - set(of_session(command.pid))
        command.send_signal(signal.SIGTERM)
        assert command.wait(END_WITHIN_S) == 0
    assert "never awaited" not in (tmp_path / "err").read_text()
    sessions = (command.pid, server)
    wait_for(lambda: not any(map(of_session, sessions)), 10, "nothing of it is left")


def test_sigterm_before_the_server_is_up_leaves_none(tmp_path: Path) -> None:
    with silent_exchange() as url, serving(tmp_path, environment_of(tmp_path, url)) as command:
        (server,) = wait_for(lambda: children_of(command.pid), 60, "the server is being started")
        command.send_signal(signal.SIGTERM)
        assert command.wait(END_WITHIN_S) == 130
    assert (tmp_path / "out").read_text() == (tmp_path / "err").read_text() == ""
    assert of_session(server) == []


def test_a_server_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    settings = environment_of(tmp_path, "http://127.0.0.1:9", PREFECT_API_URL="http://127.0.0.1:9/api")
    with serving(tmp_path, settings) as command:
        assert command.wait(120) == 1
    said = (tmp_path / "err").read_text()
    assert said.startswith("error: PREFECT_API_URL: http://127.0.0.1:9/api does not answer")
    assert said.count("\n") == 1
