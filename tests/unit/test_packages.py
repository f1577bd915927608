"""Every package is typed, checked by mypy and under the import contracts."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

from tests.conftest import ROOT

TRACKED = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
FILES = [Path(line) for line in TRACKED.stdout.splitlines() if not line.startswith("tests/")]
PACKAGES = {path.parts[0] for path in FILES}


def test_no_package_is_left_out() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert set(tool["mypy"]["packages"]) == PACKAGES | {"tests"}
    assert set(tool["importlinter"]["root_packages"]) == PACKAGES
    layers = {name for layer in tool["importlinter"]["contracts"][0]["layers"] for name in layer.split(" | ")}
    assert {name.partition(".")[0] for name in layers} == PACKAGES
    assert [name for name in sorted(PACKAGES) if not (ROOT / name / "py.typed").is_file()] == []


def test_every_module_is_in_a_package() -> None:
    # The interpreter imports sitecustomize by itself, from a folder on its path.
    modules = [path for path in FILES if path.name != "sitecustomize.py"]
    assert [path for path in modules if not (ROOT / path.parent / "__init__.py").is_file()] == []


def test_the_lock_of_the_page_names_no_address() -> None:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    assert len(lock["packages"]) > 50
    assert not re.findall(r'"https?://[^"]*"', json.dumps(lock))
