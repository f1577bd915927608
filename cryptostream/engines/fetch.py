"""Fetches the engines' programs once per machine: jars by Maven, influxd compiled by Go."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from cryptostream.processes.server import EngineUnavailable

KAFKA_VERSION: Final = "4.1.1"
LOG4J_VERSION: Final = "2.24.3"
INFLUXD_VERSION: Final = "2.9.1"
PKG_CONFIG_VERSION: Final = "0.3.0"
_MINIMUM_JAVA: Final = 17  # what a Kafka 4 server runs on

Say = Callable[[str], None]


def engines_dir() -> Path:
    """The cache of engines.

    Raises:
        EngineUnavailable: this user has no home directory, and CRYPTOSTREAM_ENGINES names none.
    """
    named = os.environ.get("CRYPTOSTREAM_ENGINES")
    if named:
        return Path(named)
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise EngineUnavailable(
            "HOME: not set, and this user has no home directory; name a folder by CRYPTOSTREAM_ENGINES"
        ) from None
    return cache / "cryptostream" / "engines"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineUnavailable(
            f"{folder}: cannot be made ({error.strerror}); name another by CRYPTOSTREAM_ENGINES"
        ) from None


@contextmanager
def _alone(say: Say) -> Iterator[None]:
    """One process at a time changes the cache: two that build the same file would spoil each other's."""
    path = engines_dir() / "fetch.lock"
    _make(path.parent)
    try:
        lock = path.open("a")
    except OSError as error:
        raise EngineUnavailable(
            f"{path}: cannot be written ({error.strerror}); name another folder by CRYPTOSTREAM_ENGINES"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is getting the engines; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Java(NamedTuple):
    """Attributes:
    program: its path.
    version: as it says it, like 17.0.15.
    """

    program: str
    version: str


def java() -> Java:
    """The Java that runs Kafka.

    Raises:
        EngineUnavailable: none on the PATH, or too old.
    """
    program = shutil.which("java")
    if program is None:
        raise EngineUnavailable(f"java: not on the PATH; Kafka needs a JRE {_MINIMUM_JAVA} or newer")
    asked = subprocess.run([program, "-version"], capture_output=True, check=False)
    answer = asked.stderr.decode(errors="replace")
    version = re.search(r'version "((\d+)[\w.+-]*)"', answer)
    if version is None or int(version[2]) < _MINIMUM_JAVA:
        raise EngineUnavailable(
            f"java: {answer.splitlines()[:1]} is too old; Kafka needs {_MINIMUM_JAVA} or newer"
        )
    return Java(program, version[1])


def find_kafka() -> Path | None:
    """Directory of Kafka's jars in the cache; None if they were not fetched yet."""
    try:
        found = sorted(engines_dir().glob(f"kafka-*/libs/kafka_2.13-{KAFKA_VERSION}.jar"))
    except EngineUnavailable:
        return None
    return found[0].parent if found else None


def fetch_kafka(say: Say = print, *, timeout_s: float | None = None) -> Path:
    """Directory of Kafka's jars, fetched by Maven where the cache has none (43 MB).

    Args:
        timeout_s: how long the download may take.

    Raises:
        EngineUnavailable: no Maven, or it cannot download.
    """
    libs = find_kafka()
    if libs is not None:
        return libs
    with _alone(say):
        return find_kafka() or _fetch_kafka(say, timeout_s)


def _fetch_kafka(say: Say, timeout_s: float | None) -> Path:
    _require("mvn", "Kafka's jars", "Maven")
    say(f"fetching Apache Kafka {KAFKA_VERSION} by Maven (43 MB, once a machine)")
    target = engines_dir() / f"kafka-{KAFKA_VERSION}"
    _make(target.parent)
    # Downloaded beside the target and renamed, so that the target is always whole.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="kafka-new-") as new:
        (Path(new) / "pom.xml").write_text(_pom(), encoding="utf-8")
        goals = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={new}/libs"]
        _run(goals, Path(new), {}, "Kafka's jars cannot be fetched", timeout_s)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        (Path(new) / "libs").rename(target / "libs")
    return target / "libs"


def find_influxd() -> Path | None:
    """The influxd program in the cache; None if it was not built yet."""
    try:
        program = engines_dir() / f"influxdb-{INFLUXD_VERSION}" / "bin" / "influxd"
    except EngineUnavailable:
        return None
    return program if os.access(program, os.X_OK) else None


def fetch_influxd(say: Say = print) -> Path:
    """The influxd program, compiled from its Go module where the cache has none (5 to 9 minutes).

    Raises:
        EngineUnavailable: no Go, Rust or C compiler, or the build fails.
    """
    program = find_influxd()
    if program is not None:
        return program
    with _alone(say):
        return find_influxd() or _compile_influxd(say)


def _compile_influxd(say: Say) -> Path:
    for tool in ("go", "cargo", "gcc"):
        _require(tool, "influxd", tool)
    say(f"compiling influxd {INFLUXD_VERSION} (5 to 9 minutes, once a machine)")
    directory = engines_dir() / f"influxdb-{INFLUXD_VERSION}"
    source = directory / "src" / "influxd"
    for part in (source, directory / "bin", directory / "tools"):
        _make(part)
    failed = "influxd cannot be compiled"
    environment = {
        "GOTOOLCHAIN": "local",
        # libflux forbids warnings, of which newer compilers have more (STACK.md §4.2).
        "RUSTFLAGS": "--cap-lints warn",
        **_installed_rust(),
    }
    _run(
        ["go", "install", f"github.com/influxdata/pkg-config@v{PKG_CONFIG_VERSION}"],
        source,
        {**environment, "GOBIN": str(directory / "tools")},
        failed,
    )
    # `go install …@version` refuses influxd's module for its `replace` directives; a private module that
    # depends on it builds. The pkg-config wrapper builds libflux and must precede the system's.
    environment["GOFLAGS"] = "-mod=mod"
    environment["PATH"] = f"{directory / 'tools'}{os.pathsep}{os.environ['PATH']}"
    if not (source / "go.mod").exists():
        _run(["go", "mod", "init", "cryptostream/influxd"], source, environment, failed)
    module = "github.com/influxdata/influxdb/v2"
    new = directory / "bin" / "influxd.new"
    _run(["go", "get", f"{module}@v{INFLUXD_VERSION}"], source, environment, failed)
    build = ["go", "build", "-tags", "sqlite_foreign_keys,sqlite_json", "-ldflags", "-s -w", "-o", str(new)]
    _run([*build, f"{module}/cmd/influxd"], source, environment, failed)
    program = new.with_name("influxd")
    new.rename(program)
    return program


def _installed_rust() -> dict[str, str]:
    """Names the installed rustup toolchain, so that the build downloads none; empty without rustup."""
    if shutil.which("rustup") is None:
        return {}
    done = subprocess.run(["rustup", "show", "active-toolchain"], capture_output=True, text=True, check=False)
    return {"RUSTUP_TOOLCHAIN": done.stdout.split()[0]} if done.returncode == 0 else {}


def _require(tool: str, purpose: str, name: str) -> None:
    if shutil.which(tool) is None:
        raise EngineUnavailable(f"{tool}: not on the PATH; {purpose} cannot be made without {name}")


def _run(
    command: Sequence[str],
    directory: Path,
    extra: Mapping[str, str],
    failed: str,
    timeout_s: float | None = None,
) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise EngineUnavailable(f"{failed}: {command[0]} took longer than {timeout_s:g} s") from None
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = lines[-1][:300] if lines else f"exit {done.returncode}"
        raise EngineUnavailable(f"{failed}: {' '.join(command[:3])}: {reason}")


def _pom() -> str:
    # Kafka's dependencies lack its logging implementation.
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in (
            ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
            ("org.apache.logging.log4j", "log4j-core", LOG4J_VERSION),
            ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
        )
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>cryptostream</groupId><artifactId>kafka</artifactId>"
        f"<version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )
