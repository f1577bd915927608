"""The built page: its files, and nothing else of the disk."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from tests.unit.api.api_parts import client

SCRIPT = "self.x=[1];document.title='é'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    (out / "_next" / "static").mkdir(parents=True)
    (out / "book").mkdir()
    (out / "index.html").write_text(
        f'<html><script src="/_next/static/a.js"></script><script>{SCRIPT}</script><script></script></html>',
        encoding="utf-8",
    )
    (out / "book" / "index.html").write_text("<html>book</html>")
    (out / "health.html").write_text("<html>health</html>")
    (out / "404.html").write_text("<html>nothing</html>")
    (out / "_next" / "static" / "a.js").write_text("1")
    (tmp_path / "secret.txt").write_text("hidden")
    (out / "link.txt").symlink_to(tmp_path / "secret.txt")
    return out


def test_inline_scripts_of_the_page_are_allowed_by_their_hash_alone(folder: Path) -> None:
    answer = client(folder=folder).get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert answer.headers["content-security-policy"].endswith(f"; script-src 'self' 'sha256-{digest}'")
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_files_named_by_their_content_are_kept(folder: Path) -> None:
    answer = client(folder=folder).get("/_next/static/a.js")
    assert answer.text == "1"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "javascript" in answer.headers["content-type"]


@pytest.mark.parametrize(("path", "text"), [("/book", "book"), ("/book/", "book"), ("/health", "health")])
def test_screens_have_plain_addresses(folder: Path, path: str, text: str) -> None:
    assert text in client(folder=folder).get(path).text


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/link.txt", "/_next/", "//etc/passwd", "/out/index.html"],
)
def test_nothing_outside_of_the_page_is_served(folder: Path, path: str) -> None:
    answer = client(folder=folder).get(path)
    assert answer.status_code == 404
    assert "hidden" not in answer.text


def test_people_see_the_pages_own_404_and_programs_a_problem(folder: Path) -> None:
    api = client(folder=folder)
    seen = api.get("/nothing", headers={"Accept": "text/html"})
    assert (seen.status_code, "nothing" in seen.text) == (404, True)
    assert api.get("/nothing").headers["content-type"] == "application/problem+json"


def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    answer = client(folder=tmp_path).get("/")
    assert answer.status_code == 200
    assert answer.text.count("\n") == 1
    assert "make web" in answer.text


@pytest.mark.parametrize("path", ["/404", "/404/", "/404.html", "/_not-found", "/_not-found/"])
def test_the_page_for_what_is_not_there_is_not_there_itself(folder: Path, path: str) -> None:
    (folder / "_not-found").mkdir()
    (folder / "_not-found" / "index.html").write_text("<html>nothing</html>")
    seen = client(folder=folder).get(path, headers={"Accept": "text/html"})
    assert (seen.status_code, "nothing" in seen.text) == (404, True)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ("bytes=9000-", 416, "Range"),
        ("bytes=5-2", 400, "Range"),
        ("bytes=a-b", 400, "Range"),
        ("lines=1-2", 400, "Range"),
    ],
)
def test_a_part_of_a_file_that_cannot_be_given_is_a_problem(
    folder: Path, asked: str, status: int, said: str
) -> None:
    answer = client(folder=folder).get("/health", headers={"Range": asked})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.json()["status"] == status and said in answer.json()["detail"]
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len('<html>health</html>')}"


def test_a_part_of_a_file_is_given(folder: Path) -> None:
    answer = client(folder=folder).get("/health", headers={"Range": "bytes=6-11"})
    assert (answer.status_code, answer.text) == (206, "health")
