"""What the images hold, computed from Dockerfile, .dockerignore and the tracked files."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from tests.conftest import ROOT

TARGETS = ("services", "snapshots")
OURS = frozenset(path.parent.name for path in ROOT.glob("*/__init__.py"))
HOST_ONLY = ("chaos/", "bench/", "tests/", "oracle/", "scripts/", "grafana/", "cryptostream/engines/")


def context() -> list[str]:
    """The tracked files that .dockerignore lets through; its last matching line decides."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in tracked.stdout.splitlines() if not ignored(path, patterns)]


def ignored(path: str, patterns: list[str]) -> bool:
    # A pattern also matches all that is below what it names.
    names = [path, *map(str, PurePosixPath(path).parents)]
    verdict = False
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        forms = (bare, bare.removeprefix("**/"))
        if any(
            name.count("/") >= form.count("/") and matches(name, form) for name in names for form in forms
        ):
            verdict = not pattern.startswith("!")
    return verdict


def matches(name: str, pattern: str) -> bool:
    """As Go's filepath.Match: a star does not cross a slash; `**/` has been taken off."""
    parts, wanted = name.split("/")[-pattern.count("/") - 1 :], pattern.split("/")
    return all(fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=True))


def image(target: str) -> dict[str, str]:
    """Path in the image to path in the tree, of all that the target copies from the tree."""
    stages = re.split(r"^FROM .* AS ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (stage,) = (stage for stage in stages if stage.startswith(f"{target}\n"))
    found, files = {}, context()
    for source, destination in re.findall(r"^COPY (?!--)(\S+) (\S+)$", stage, flags=re.MULTILINE):
        copied = [path for path in files if path == source or path.startswith(f"{source.rstrip('/')}/")]
        assert copied, f"COPY {source}: nothing of it is in the build's context"
        for path in copied:
            below = path.removeprefix(source).lstrip("/") or Path(path).name
            found[f"{destination.rstrip('/')}/{below}"] = path
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_services_and_no_tools(target: str) -> None:
    sources = sorted(image(target).values())
    assert [path for path in sources if path.startswith(HOST_ONLY)] == []
    assert {path.split("/")[0] for path in sources} <= {
        *("docker", "kafka", "influxdb", "shared", "producers", "consumers", "api", "simulator"),
        *("cryptostream", "pipelines"),
    }
    assert {path for path in sources if "secret" in path.lower()} <= {"influxdb/provision/secrets.py"}


@pytest.mark.thorough
@pytest.mark.parametrize("target", TARGETS)
def test_what_an_image_imports_when_it_starts_is_in_it(target: str) -> None:
    files = image(target)
    modules = {
        path.removeprefix("/app/").removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        for path in files
        if path.startswith("/app/") and path.endswith(".py")
    }
    missing = {
        f"{source}: {name}"
        for source in files.values()
        if source.endswith(".py")
        for name in imports(ROOT / source)
        if name.split(".")[0] in OURS and name not in modules
    }
    assert missing == set()


def imports(path: Path) -> list[str]:
    """Modules that a file imports when it is imported itself."""
    found: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def test_the_last_matching_line_of_dockerignore_decides() -> None:
    patterns = ["*", "!cryptostream", "cryptostream/engines", "**/__pycache__", "**/secrets/*"]
    assert not ignored("cryptostream/cli.py", patterns)
    for path in ("bench/x.py", "cryptostream/engines/kafka.py", "cryptostream/__pycache__/cli.pyc"):
        assert ignored(path, patterns)
    assert ignored("cryptostream/secrets/token", patterns)
