"""The peers' own environment: pinned with hashes, apart from ours, made when a benchmark first needs it.

`lock.txt` is written by `uv pip compile --universal --python-version 3.12 --generate-hashes` from
cryptofeed 2.5.0, ccxt and aiokafka, which cryptofeed's own writer to Kafka needs.
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

# cryptofeed 2.5 asks for it.
NEEDED: Final = (3, 12)
LOCK: Final = Path(__file__).parent / "lock.txt"


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


def peers_python(asked: str | None = None) -> Path:
    """The interpreter of the peers' environment; made first if there is none of this lock.

    Args:
        asked: the Python to make it with; else the first of version `NEEDED` that is found.

    Raises:
        PeersUnavailable: no such Python, or the packages cannot be had.
    """
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "cryptostream" / "peers" / digest
    python = place / "bin" / "python"
    if (place / ".installed").exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    _run([_interpreter(asked), "-m", "venv", str(place)])
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    _run([str(python), *install, "--no-deps", "-r", str(LOCK)])
    (place / ".installed").touch()
    return python


def _interpreter(asked: str | None) -> str:
    if asked is not None:
        return asked
    for candidate in _candidates():
        told = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info >= (3, 12))"],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.stdout.strip() == "True":
            return candidate
    wanted = ".".join(map(str, NEEDED))
    raise PeersUnavailable(f"no Python {wanted} or newer was found; name one with --python")


def _candidates() -> Iterator[str]:
    """Interpreters in PATH, and those of pyenv, which are not always in it."""
    for name in ("python3.12", "python3.13", "python3.14", "python3"):
        found = shutil.which(name)
        if found:
            yield found
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(str(each) for each in versions.glob("3.1[2-9]*/bin/python"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise PeersUnavailable(f"{' '.join(command[:4])} …: {''.join(last)}")
