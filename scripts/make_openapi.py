"""Writes web/openapi.json, from which the page's types are made (`make docs`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from api.app import Parts, make_openapi
from api.history import History
from api.page import Page
from consumers.indicators.registry import columns_of
from consumers.stores.factory import open_reader
from consumers.tap.series import live_kinds
from shared.settings import Settings

TARGET: Final = Path(__file__).resolve().parents[1] / "web" / "openapi.json"


def openapi() -> dict[str, Any]:
    """The schema of an API with all indicators."""
    settings = Settings.model_construct()
    kinds = live_kinds(tuple(column.name for column in columns_of(settings.indicators)))
    history = History(lambda: open_reader(settings), threads=0)
    return make_openapi(Parts(settings, kinds, history, Page(None)))


def text() -> str:
    """The file's content."""
    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write it."""
    TARGET.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
