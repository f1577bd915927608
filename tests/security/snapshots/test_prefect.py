"""Who reaches a Prefect server of ours: its worker runs what it is told, and its blocks hold secrets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from websockets import Origin, Subprotocol

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from cryptostream.processes.server import free_port
from cryptostream.snapshots.prefect_server import answers_anybody, login_file
from cryptostream.snapshots.prefect_server import prefect_server as server_of_serve
from tests.conftest import ROOT
from tests.integration.snapshots.prefect_server import BIN, authorization, process, wait_for, when_free
from tests.unit.compose.stack import at_defaults, services

pytestmark = pytest.mark.integration

LOGIN = "admin:made by secrets-init"
ELSEWHERE = Origin("http://pages.example")
SHELL = "touch /tmp/was-here"
TEMPLATE = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"type": "object", "properties": {"command": {"type": "string", "default": SHELL}}},
}


class Answer:
    """Attributes:
    status: of HTTP.
    readable: whether a browser gives the answer to the page that asked.
    """

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        self.status = status
        self.readable = headers.get("Access-Control-Allow-Origin") is not None
        self.json: Any = json.loads(body) if body[:1] in (b"{", b"[") else None


class Target:
    """A server under attack.

    Attributes:
        url: where its pages are.
        login: the right one.
    """

    def __init__(self, url: str, login: str) -> None:
        self.url = url
        self.login = login

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        given = {"Origin": ELSEWHERE, "Content-Type": "text/plain"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, content, given, method=method)
        try:
            with when_free(lambda: urllib.request.urlopen(request, timeout=60)) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def as_client(self) -> dict[str, str]:
        """Headers of somebody who knows the login and has a token."""
        known = {"Authorization": authorization(self.login), "Content_Type": "application/json"}
        token = self.ask("GET", "/api/csrf-token?client=one", **known).json["token"]
        return {**known, "Prefect_Csrf_Token": token, "Prefect_Csrf_Client": "one"}


def compose_environment(directory: Path) -> dict[str, str]:
    """What the compose file and the start script give the server: all of it but the database."""
    for name, value in (("prefect/prefect-db-password", "p"), ("prefect-api/prefect-login", LOGIN)):
        path = directory / "secrets" / name
        path.parent.mkdir(parents=True)
        path.write_text(value)
    (directory / "bin").mkdir()
    # In the place of `prefect`: says what it was given.
    (directory / "bin" / "prefect").write_text("#!/bin/sh\nenv -0\n")
    (directory / "bin" / "prefect").chmod(0o755)
    declared = services("docker-compose.yml")["prefect-server"]["environment"]
    said = subprocess.run(
        [ROOT / "docker/bin/prefect-server"],
        env={
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "CRYPTOSTREAM_SECRETS": str(directory / "secrets"),
            **{name: at_defaults(str(value)) for name, value in declared.items()},
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(variable.split("=", 1) for variable in said.split("\0") if "=" in variable)
    return {
        name: value
        for name, value in found.items()
        if name.startswith("PREFECT_") and "DATABASE" not in name and "STATIC_DIRECTORY" not in name
    }


@pytest.fixture(scope="module", params=["compose", "serve"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A real server, started as the compose files start it, and as `snapshots serve` does."""
    directory = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    try:
        if request.param == "serve":
            os.environ.pop("PREFECT_SERVER_API_AUTH_STRING", None)
            with server_of_serve(directory) as api:
                yield Target(api.removesuffix("/api"), login_file(directory).read_text().strip())
        else:
            port = str(free_port())
            environment = {
                **os.environ,
                "PREFECT_HOME": str(directory / "home"),
                **compose_environment(directory),
            }
            command = (str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", port)
            with process("server", directory, environment, *command):
                found = Target(f"http://127.0.0.1:{port}", LOGIN)
                wait_for(lambda: found.ask("GET", "/api/health").status == 200, 300, "the server is up")
                yield found
    finally:
        os.environ.clear()
        os.environ.update(before)
    shutil.rmtree(directory, ignore_errors=True)


def three_posts(target: Target, **headers: str) -> list[Answer]:
    """A shell in the worker: a pool whose jobs are a command, a deployment to it, and a run of that."""
    pool = {"name": "default-pool", "type": "process", "base_job_template": TEMPLATE}
    answers = [target.ask("POST", "/api/work_pools/", pool, **headers)]
    flow = target.ask("POST", "/api/flows/", {"name": "theirs"}, **headers).json or {}
    deployment = {
        "name": "theirs",
        "flow_id": flow.get("id", "3b7f3c30-5f2c-4d7c-9d0e-1d6c7f1b0000"),
        "work_pool_name": "default-pool",
        "entrypoint": "theirs.py:theirs",
        "job_variables": {"command": SHELL},
    }
    answers.append(target.ask("POST", "/api/deployments/", deployment, **headers))
    made = (answers[-1].json or {}).get("id", "3b7f3c30-5f2c-4d7c-9d0e-1d6c7f1b0000")
    run = {"state": {"type": "SCHEDULED"}}
    return [*answers, target.ask("POST", f"/api/deployments/{made}/create_flow_run", run, **headers)]


def read_blocks(target: Target, **headers: str) -> Answer:
    return target.ask("POST", "/api/block_documents/filter", {"include_secrets": True}, **headers)


def without_login(target: Target) -> dict[str, str]:
    """A good token, and nobody's login."""
    return {name: value for name, value in target.as_client().items() if name != "Authorization"}


def test_a_web_page_runs_no_shell_and_reads_no_secret(target: Target) -> None:
    for answer in (*three_posts(target), read_blocks(target)):
        assert answer.status in (401, 403)  # no login, no token: either is asked for first
        assert not answer.readable
    # Nor with a token, which is given to those alone who know the login.
    assert target.ask("GET", "/api/csrf-token?client=theirs").status == 401
    token = without_login(target)
    assert {answer.status for answer in (*three_posts(target, **token), read_blocks(target, **token))} == {
        401
    }
    for path in ("admin/settings", "admin/version", "openapi.json", "docs"):
        assert target.ask("GET", f"/api/{path}").status == 401, path


def test_a_wrong_login_is_none(target: Target) -> None:
    token = without_login(target)
    wrong = ("admin:", "admin:admin", target.login[:-1], target.login.partition(":")[2])
    for header in (*map(authorization, wrong), f"Bearer {target.login}", "Basic", "Basic %"):
        assert {answer.status for answer in three_posts(target, **token, Authorization=header)} == {401}


def test_a_login_without_a_token_of_the_servers_own_pages_changes_nothing(target: Target) -> None:
    """As a browser would send it that has kept the login for this host."""
    known = {"Authorization": authorization(target.login), "Content_Type": "application/json"}
    assert {answer.status for answer in three_posts(target, **known)} == {403}
    stolen = {**known, "Prefect_Csrf_Token": "0" * 64, "Prefect_Csrf_Client": "one"}
    assert {answer.status for answer in three_posts(target, **stolen)} == {403}


def test_browsers_are_told_to_keep_other_sites_out(target: Target) -> None:
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    for origin in (ELSEWHERE, "null", f"{target.url}.pages.example", "http://localhost:1"):
        answer = target.ask("OPTIONS", "/api/work_pools/", Origin=origin, **asks)
        assert answer.status == 400 and not answer.readable, origin
    assert not target.ask("GET", "/api/health").readable


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out"])
def test_its_sockets_take_and_tell_nothing(target: Target, path: str) -> None:
    async def heard() -> list[Any]:
        async with connect(
            f"{target.url.replace('http', 'ws')}/api/{path}",
            origin=ELSEWHERE,
            subprotocols=[Subprotocol("prefect")],
        ) as socket:
            await socket.send(json.dumps({"type": "auth", "token": "admin:wrong"}))
            return [json.loads(message) async for message in socket]

    async def bare() -> list[Any]:
        async with connect(f"{target.url.replace('http', 'ws')}/api/{path}", origin=ELSEWHERE) as socket:
            await socket.send(json.dumps({"type": "filter", "filter": {}}))
            return [json.loads(message) async for message in socket]

    for attempt in (heard, bare):
        try:
            told = asyncio.run(asyncio.wait_for(attempt(), 20))
        except WebSocketException:
            continue  # closed at once
        assert all(message.get("type") in ("auth_failure", "error") for message in told), told


def test_who_knows_the_login_works_with_it(target: Target) -> None:
    """The same requests, so that what refused them above was the missing login and nothing else."""
    known = target.as_client()
    assert [answer.status for answer in three_posts(target, **known)] == [201, 201, 201]
    assert read_blocks(target, **known).status == 200


def test_its_pages_load_and_ask_for_the_login(target: Target) -> None:
    assert target.ask("GET", "/").status == 200
    told = target.ask("GET", "/ui-settings").json
    assert (told["auth"], told["csrf_enabled"]) == ("BASIC", True)


def test_an_open_server_is_told_from_one_that_is_closed(target: Target) -> None:
    assert not answers_anybody(f"{target.url}/api")
