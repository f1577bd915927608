"""The peers' own environments: pinned with hashes, apart from ours, made when a benchmark first needs one.

The locks are written by `uv pip compile --universal --python-version … --generate-hashes`: `lock.txt` for
3.12 from cryptofeed 2.5.0, ccxt and aiokafka, which cryptofeed's own writer to Kafka needs; `quix.txt` for
3.11 from quixstreams and urllib3.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
LOCK: Final = _HERE / "lock.txt"
QUIX_LOCK: Final = _HERE / "quix.txt"
# What the packages of a lock ask for, at least.
NEEDED: Final = {LOCK: (3, 12), QUIX_LOCK: (3, 11)}


class PeersUnavailable(Exception):
    """The peers cannot be run here; the reason, as a result says it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library beside ours.

    Attributes:
        title: its name and version, as in the lock.
        program: module that runs it.
        options: how it is used, for the page.
        licence: as its package says.
        exchanges: of which it speaks the protocol that the simulator speaks.
        why_not: of the others, why it was not run.
    """

    title: str
    program: str
    options: str
    licence: str
    exchanges: tuple[str, ...] = ("kraken", "coinbase")
    why_not: str = ""


PEERS: Final = (
    Peer(
        "cryptofeed 2.5.0",
        "bench.peers.clients.cryptofeed_client",
        "a `FeedHandler` with a callback for each channel",
        "XFree86-1.1",
        ("coinbase",),
        "speaks Kraken's v1, which the simulator does not; there its trades have no ids",
    ),
    Peer(
        "ccxt 4.5.90",
        "bench.peers.clients.ccxt_client",
        "`ccxt.pro`: `watch_trades` and `watch_order_book` in a loop; Kraken's checksum off, as by default",
        "MIT",
    ),
)


def peers_python(asked: str | None = None, lock: Path = LOCK) -> Path:
    """The interpreter of the peers' environment; made first if there is none of this lock.

    Args:
        asked: the Python to make it with; else the first of version `NEEDED` that is found.
        lock: of `NEEDED`.

    Raises:
        PeersUnavailable: no such Python, or the packages cannot be had.
    """
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "cryptostream" / "peers" / digest
    python = place / "bin" / "python"
    if (place / ".installed").exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    _run([_interpreter(asked, NEEDED[lock]), "-m", "venv", str(place)])
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    _run([str(python), *install, "--no-deps", "-r", str(lock)])
    (place / ".installed").touch()
    return python


def _interpreter(asked: str | None, needed: tuple[int, int]) -> str:
    if asked is not None:
        return asked
    for candidate in _candidates():
        told = subprocess.run(
            [candidate, "-c", f"import sys; print(sys.version_info >= {needed})"],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.stdout.strip() == "True":
            return candidate
    wanted = ".".join(map(str, needed))
    raise PeersUnavailable(f"no Python {wanted} or newer was found; put one on the PATH")


def _candidates() -> Iterator[str]:
    """Interpreters in PATH, and those of pyenv, which are not always in it."""
    for name in ("python3.11", "python3.12", "python3.13", "python3.14", "python3"):
        found = shutil.which(name)
        if found:
            yield found
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(str(each) for each in versions.glob("3.1[1-9]*/bin/python"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise PeersUnavailable(f"{' '.join(command[:4])} …: {''.join(last)}")
