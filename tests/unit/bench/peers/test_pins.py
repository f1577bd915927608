"""Versions and licences of the peers stand in one place, and are those that are got."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.parts import PARTS
from bench.peers.pins import CRYPTOFEED, PINS, QUIX, Pin
from bench.peers.venv import LOCK, NEEDED, PEERS, QUIX_LOCK
from tests.conftest import ROOT, tracked_files


@pytest.mark.parametrize("lock", list(NEEDED), ids=lambda lock: lock.name)
def test_every_pin_of_a_lock_has_a_hash_and_no_address_is_named(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    pins = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert pins and all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text and "index" not in text


@pytest.mark.parametrize(
    ("pin", "package", "lock"),
    [(QUIX, "quixstreams", QUIX_LOCK), (CRYPTOFEED, "cryptofeed", LOCK)],
)
def test_the_version_named_is_the_lock_s(pin: Pin, package: str, lock: Path) -> None:
    assert re.search(rf"^{package}=={re.escape(pin.version)} ", lock.read_text("utf-8"), re.MULTILINE)
    assert lock.name in pin.got


def test_the_peers_of_the_exchanges_are_among_them_with_the_same_licence() -> None:
    licences = {pin.title: pin.licence for pin in PINS if LOCK.name in pin.got}
    assert licences == {peer.title: peer.licence for peer in PEERS}


def test_each_is_used_by_a_part_that_there_is() -> None:
    parts = {part.name for part in PARTS} | {"peers"}
    assert all(pin.used and set(pin.used) <= parts for pin in PINS)


def test_no_file_of_ours_and_no_peer_is_under_the_gpl_or_the_agpl() -> None:
    assert not any("GPL" in pin.licence for pin in PINS)
    # Of a file's header, or the first line of the licence itself.
    named = re.compile(r"SPDX-License-Identifier: *A?GPL|GNU (AFFERO )?GENERAL PUBLIC LICENSE\n")
    texts = {path: (ROOT / path).read_bytes().decode(errors="replace") for path in tracked_files()}
    assert [path for path, text in texts.items() if named.search(text)] == []
