"""A run serves its page, and never depends on it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.run_command import Run, runs_in, until

SIMULATED = ("--source", "simulator", "--broker", "memory", "--symbols", "BTCUSDC", "--intervals", "1s,1m")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with runs_in(tmp_path) as starts:
        yield starts


def url_of(run: Run) -> str | None:
    found = re.search(r"page: (http://\S+)", run.said)
    return found[1] if found else None


def served(url: str | None) -> bool:
    if url is None:
        return False
    try:
        return bool(httpx.get(f"{url}/api/v1/instruments", trust_env=False, timeout=60).is_success)
    except httpx.HTTPError:
        return False


def stored(url: str | None) -> int:
    answer = httpx.get(
        f"{url}/api/v1/rows/kline?symbol=BTCUSDC&interval=1s&last=5", trust_env=False, timeout=60
    )
    return len(answer.json()["rows"])


def test_a_page_that_dies_is_started_again_and_changes_no_verdict(start: Callable[..., Run]) -> None:
    run = start(*SIMULATED, "--duration", "20", API_PORT="0")
    until(lambda: served(url_of(run)), "the page")
    url = url_of(run)
    child = run.child("api")
    assert child is not None
    child.kill()
    until(lambda: "api killed by signal 9" in run.said, "the restart")
    # At the same address: a browser that has the page goes on.
    until(lambda: served(url), "the page again")
    until(lambda: stored(url) == 5, "bars")
    assert run.wait() == 0
    assert "complete: " in run.said
    assert not served(url)


def test_a_run_goes_on_without_a_page_whose_port_is_taken(start: Callable[..., Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = start(*SIMULATED, "--duration", "5", API_PORT=str(port))
        assert run.wait() == 0
    assert f"page: none, API_PORT {port} is taken by another program; name another one" in run.said
    assert "complete: " in run.said


def test_a_run_without_a_page_has_none(start: Callable[..., Run]) -> None:
    run = start(*SIMULATED, "--duration", "5", "--no-web")
    assert run.wait() == 0
    assert url_of(run) is None
