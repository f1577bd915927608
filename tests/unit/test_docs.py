from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from scripts.make_indicators import PAGE, page
from tests.conftest import LONGEST, ROOT, tracked_files


def test_the_page_of_indicators_is_that_of_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


def test_the_example_of_generated_source_is_what_the_compiler_gives() -> None:
    page = Path("docs/decisions/indicator-speed.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.+?)```\n\n```\n(.+?)```", page, re.DOTALL)
    assert found is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(found[1])
    assert printed.getvalue().strip() == found[2].strip()


def test_the_files_of_tests_that_go_first_are_there() -> None:
    assert set(LONGEST) <= tracked_files()


_TRACKED = tracked_files()
_FOLDERS = frozenset(str(folder) for path in _TRACKED for folder in Path(path).parents) - {"."}
_PAGES = sorted(path for path in _TRACKED if path.endswith(".md") and not path.startswith("tests/"))
# Paths that look like the tree's and are made at run time, or name an image.
_ELSEWHERE = frozenset(
    ("bench/results", "grafana/grafana", "influxdb/token", "influxdb/secrets/.env.alert-webhook-url")
)
# `folder/file.py`, `folder/` or `folder/file.py:name`.
_PATH = re.compile(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:toml|yml))(?::(\w+))?`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
_TARGET = re.compile(r"(?:`|^)make ([a-z][a-z-]*)", re.MULTILINE)


def page_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", _PAGES)
def test_every_path_that_a_page_names_exists(name: str) -> None:
    text, here = page_of(name), ROOT / Path(name).parent
    linked = {str((here / target).resolve().relative_to(ROOT)) for target in _LINK.findall(text)}
    named = {path.rstrip("/") for path, _ in _PATH.findall(text) if path.split("/")[0] in _FOLDERS}
    assert not (linked | named) - _TRACKED - _FOLDERS - _ELSEWHERE


@pytest.mark.parametrize("name", _PAGES)
def test_every_name_that_a_page_finds_in_a_file_is_declared_there(name: str) -> None:
    for path, declared in _PATH.findall(page_of(name)):
        declaration = rf"^\s*(?:(?:async )?def |class )?{declared}[(:]"
        assert not declared or re.search(declaration, page_of(path), re.MULTILINE), f"{path}:{declared}"


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", page_of("Makefile"), re.MULTILINE))
    named = {(name, target) for name in _PAGES for target in _TARGET.findall(page_of(name))}
    assert not {(name, target) for name, target in named if target not in targets}
