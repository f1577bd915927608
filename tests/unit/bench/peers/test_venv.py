"""Peers are pinned by hash, and apart from our own packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.peers.venv import LOCK, NEEDED, PEERS, PeersUnavailable, peers_python
from tests.conftest import ROOT


def test_the_versions_named_are_those_of_the_lock() -> None:
    text = LOCK.read_text(encoding="utf-8")
    for peer in PEERS:
        name, version = peer.title.split(" ")
        assert re.search(rf"^{name}=={re.escape(version)}( |$)", text, re.MULTILINE), peer.title


def test_every_pin_has_a_hash_and_no_address_is_named() -> None:
    text = LOCK.read_text(encoding="utf-8")
    pins = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert pins and all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text and "index" not in text


def test_no_peer_is_among_our_own_packages() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        ours = lock.read_text(encoding="utf-8")
        for peer in PEERS:
            assert f"\n{peer.title.split(' ')[0]}==" not in ours, lock.name


def test_a_python_that_cannot_make_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such module: venv' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(PeersUnavailable, match="no such module: venv"):
        peers_python(str(broken))
    assert not list(tmp_path.rglob(".installed"))


@pytest.mark.parametrize("lock", list(NEEDED), ids=lambda lock: lock.name)
def test_without_a_python_that_is_new_enough_it_is_said_which_one_to_get(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho False\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    wanted = ".".join(map(str, NEEDED[lock]))
    with pytest.raises(
        PeersUnavailable, match=re.escape(f"no Python {wanted} or newer was found; put one on")
    ):
        peers_python(lock=lock)


def test_each_lock_has_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = tmp_path / "python"
    # Makes an environment whose Python takes every command.
    fake.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin" && printf "#!/bin/sh\\n" >"$3/bin/python" && chmod +x "$3/bin/python"\n'
    )
    fake.chmod(0o755)
    made = {peers_python(str(fake), lock) for lock in NEEDED}
    assert len(made) == len(NEEDED) == 2
    assert {peers_python(None, lock) for lock in NEEDED} == made
