"""Writes the files that Grafana reads: `make dashboards`. A test keeps them up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana import alerts, boards
from grafana.model import Json
from grafana.render import dashboard

HERE: Final = Path(__file__).parent
DASHBOARDS: Final = HERE / "dashboards"
RULES: Final = HERE / "provisioning" / "alerting" / "rules.json"


def files() -> dict[Path, str]:
    """Every file with its text."""
    return {
        **{DASHBOARDS / f"{board.uid}.json": _text(dashboard(board)) for board in boards.ALL},
        RULES: _text(alerts.provisioning()),
    }


def write() -> None:
    """Write all files, and remove stale dashboards."""
    current = files()
    for stale in set(DASHBOARDS.glob("*.json")) - set(current):
        stale.unlink()
    for path, text in current.items():
        path.write_text(text, encoding="utf-8")


def _text(model: Json) -> str:
    return json.dumps(model, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write()
