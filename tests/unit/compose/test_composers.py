"""Both composers accept every file with every profile; a symbol is added as the documentation says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT
from tests.unit.compose.stack import OVERLAYS, WHOLE, model, text

SCHEMA_MODULE = "github.com/compose-spec/compose-go/v2@v2.16.2"
STACKS = [(file,) for file in WHOLE] + [(file, overlay) for file in WHOLE for overlay in OVERLAYS]


def unavailable(reason: str) -> None:
    pytest.skip(reason)


def docker_compose(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`docker-compose` 1.29.2, without the user's own settings."""
    program = shutil.which("docker-compose")
    if program is None:
        unavailable("docker-compose is not installed; get it by: apt-get install docker-compose")
    assert program is not None
    clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [program, "--project-directory", str(directory), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean,
        cwd=directory,
        check=False,
    )


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """compose-spec's JSON schema, from the module of its own parser."""
    go = shutil.which("go")
    if go is None:
        unavailable("go is not installed, which gets compose-spec's schema")
    assert go is not None
    answer = subprocess.run(
        [go, "mod", "download", "-json", SCHEMA_MODULE],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"},
        cwd=Path.home(),
        check=False,
    )
    if answer.returncode != 0:
        unavailable(f"{SCHEMA_MODULE} cannot be had: {answer.stdout[-200:]}{answer.stderr[-200:]}")
    path = Path(json.loads(answer.stdout)["Dir"]) / "schema" / "compose-spec.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("files", STACKS, ids=" ".join)
@pytest.mark.parametrize(
    "profiles",
    [(), ("snapshots",), ("kraken",), ("kraken", "coinbase", "c3", "tools", "snapshots")],
    ids=["core", "snapshots", "one more exchange", "all profiles"],
)
def test_docker_compose_1_29_accepts_it(files: tuple[str, ...], profiles: tuple[str, ...]) -> None:
    named = [word for file in files for word in ("-f", str(ROOT / file))]
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    answer = docker_compose(ROOT, *named, *chosen, "config", "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@pytest.mark.parametrize("file", (*WHOLE, *OVERLAYS))
def test_the_compose_specification_accepts_it(file: str, schema: dict[str, Any]) -> None:
    found = {key: value for key, value in model(file).items() if not key.startswith("x-")}
    jsonschema.Draft7Validator(schema).validate(found)


@pytest.mark.thorough
def test_a_symbol_is_added_by_the_block_that_the_documentation_shows(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(  producer-adausdc:\n(?:    .*\n)+)```", text("docs/operations.md"))
    assert block is not None
    where = "  # One consumer an interval"
    base = text("docker-compose.yml")
    assert base.count(where) == 1
    (tmp_path / "docker-compose.yml").write_text(
        base.replace(where, f"{block[1]}\n{where}"), encoding="utf-8"
    )
    answer = docker_compose(tmp_path, "config")
    assert answer.returncode == 0, answer.stderr
    found = yaml.safe_load(answer.stdout)["services"]
    added, other = found["producer-adausdc"], found["producer-btcusdc"]
    assert added["command"][-1] == added["environment"].pop("INSTANCE") == "ADAUSDC"
    assert other["environment"].pop("INSTANCE") == "BTCUSDC"
    added["command"] = other["command"]
    assert added == other
