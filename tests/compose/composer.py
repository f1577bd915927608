"""The composer and the engine, as commands; waiting is for a condition with a deadline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.conftest import ROOT

PROJECT: Final = "cryptostream-test"
STANDIN_PYTHON: Final = "cryptostream-standin/python:3.11-slim"
STANDIN_NODE: Final = "cryptostream-standin/node:20"
POSTGRES: Final = "postgres:15"
# Beside a stack that somebody uses on the same machine.
PORTS: Final = {
    "GRAFANA_PORT": "13000",
    "INFLUX_PORT": "18086",
    "KAFKA_PORT": "19092",
    "API_PORT": "18000",
    "C3_PORT": "19021",
    "PREFECT_PORT": "14200",
}


class Failed(Exception):
    """A promise of the stack does not hold; the message says which."""


class Composer:
    """One project on the local engine.

    Args:
        files: compose files, the later over the earlier ones.
        profiles: those that are brought up too.
    """

    def __init__(
        self, files: Sequence[str], profiles: Sequence[str] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        self.files = tuple(files)
        self._base = [
            *_program(),
            *(word for file in files for word in ("-f", str(ROOT / file))),
            *("-p", PROJECT),
            *(word for profile in profiles for word in ("--profile", profile)),
        ]
        self._environment = {
            **os.environ,
            **PORTS,
            "SIMULATED_DATA": PROJECT,
            "CRYPTOSTREAM_TAG": "test",
            **({} if variables is None else variables),
        }
        if "PYTHON_IMAGE" not in os.environ and engine("images", "-q", STANDIN_PYTHON).strip():
            self._environment["PYTHON_IMAGE"] = STANDIN_PYTHON
        if "NODE_IMAGE" not in os.environ and engine("images", "-q", STANDIN_NODE).strip():
            self._environment["NODE_IMAGE"] = STANDIN_NODE

    def call(self, *words: str, timeout_s: float = 300.0, check: bool = True, shown: bool = False) -> str:
        """Standard output of a composer's command.

        Raises:
            Failed: it did not succeed, with the end of what it said.
        """
        try:
            answer = subprocess.run(
                [*self._base, *words],
                stdout=None if shown else subprocess.PIPE,
                stderr=None if shown else subprocess.PIPE,
                text=True,
                timeout=timeout_s,
                env={**local_images(), **self._environment},
                cwd=ROOT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"compose {' '.join(words)}: not done in {timeout_s:.0f} s") from None
        if check and answer.returncode != 0:
            said = ((answer.stdout or "") + (answer.stderr or ""))[-1_500:]
            raise Failed(f"compose {' '.join(words)}: exit code {answer.returncode}: {said}")
        return answer.stdout or ""

    def cli(self, *words: str, timeout_s: float = 300.0, check: bool = True) -> str:
        """A `cryptostream` command beside the stack."""
        return self.call("run", "--rm", "-T", "cli", *words, timeout_s=timeout_s, check=check)

    def down(self, *words: str) -> None:
        names = ("tools", "c3", "snapshots", "kraken", "coinbase")
        profiles = [word for name in names for word in ("--profile", name)]
        self.call(*profiles, "down", "--remove-orphans", *words)


def local_images() -> dict[str, str]:
    """Variables for images that were built here: they are found by their tags, and have no digests."""
    said = subprocess.run(
        [ROOT / "docker" / "local-images"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def _program() -> list[str]:
    if shutil.which("docker") and _succeeds(["docker", "compose", "version"]):
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise Failed("neither `docker compose` nor `docker-compose` is installed")


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def engine(*words: str, timeout_s: float = 120.0) -> str:
    """Standard output of a `docker` command. Raises Failed."""
    answer = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if answer.returncode != 0:
        raise Failed(f"docker {' '.join(words)}: {answer.stderr.strip()[-500:]}")
    return answer.stdout


def provide_postgres() -> None:
    """An image of PostgreSQL where none is here and the other images are local ones as well."""
    if engine("images", "-q", POSTGRES).strip() or not engine("images", "-q", STANDIN_PYTHON).strip():
        return
    say(f"{POSTGRES}: made of Debian's server")
    folder = str(ROOT / "tests" / "compose" / "postgres")
    arguments = ("--network", "host", "--build-arg", f"PYTHON_IMAGE={STANDIN_PYTHON}", "--tag", POSTGRES)
    engine("build", "--quiet", *arguments, folder, timeout_s=300)


def containers() -> dict[str, dict[str, Any]]:
    """What the engine says of the project's containers, by service and number, like `consumer-1s.2`."""
    label = f"label=com.docker.compose.project={PROJECT}"
    ids = engine("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()
    if not ids:
        return {}
    found = {}
    for one in json.loads(engine("inspect", *ids)):
        labels = one["Config"]["Labels"]
        if labels.get("com.docker.compose.oneoff") != "True":
            name = f"{labels['com.docker.compose.service']}.{labels['com.docker.compose.container-number']}"
            found[name] = one
    return found


def lasting(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: one
        for name, one in found.items()
        if one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    }


def unwell() -> list[str]:
    """Containers that are not as they should be, with their states; empty if all are healthy or done."""
    found = []
    for name, one in containers().items():
        state = one["State"]
        health = state.get("Health", {}).get("Status")
        if one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped":
            if state["Status"] != "running" or health not in (None, "healthy"):
                found.append(f"{name} ({health or state['Status']})")
        elif state["Status"] != "exited" or state["ExitCode"] != 0:
            found.append(f"{name} ({state['Status']} {state['ExitCode']})")
    return sorted(found)


def wait_until(what: str, done: Callable[[], Any], seconds: float, every_s: float = 3.0) -> float:
    """How long it took until `done()` was true. Raises Failed."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > seconds:
            raise Failed(f"{what}: not within {seconds:.0f} s")
        time.sleep(every_s)
    return time.monotonic() - began


def wait_until_well(seconds: float) -> float:
    """How long it took until every container was healthy, or done."""
    began = time.monotonic()
    calm = 0
    while calm < 2:
        left = unwell()
        calm = calm + 1 if not left else 0
        if time.monotonic() - began > seconds:
            raise Failed(f"not healthy within {seconds:.0f} s: {', '.join(left)}")
        time.sleep(3.0)
    return time.monotonic() - began


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
