"""Grafana of the running stack, asked as the browser of a viewer who has not logged in asks it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable
from typing import Any, Final

from tests.compose.composer import PORTS, Failed

_DATASOURCE: Final = {"type": "influxdb", "uid": "influxdb"}


def every(values: Iterable[str]) -> str:
    """Choices of a variable in the format `regex`, in which Grafana escapes the slash too."""
    return "(" + "|".join(re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value) for value in values) + ")"


def frames(uid: str, title: str, start: str, **choices: str) -> list[Any]:
    """What a panel of a dashboard gets.

    Args:
        start: of the time range, like now-1h; it ends now.
        choices: text that stands for each variable.

    Raises:
        Failed: there is no such panel, or it gets an error.
    """
    panels = {panel["title"]: panel for panel in ask(f"/api/dashboards/uid/{uid}")["dashboard"]["panels"]}
    if title not in panels:
        raise Failed(f"dashboard {uid}: has no panel {title}")
    (target,) = panels[title]["targets"]
    return query(re.sub(r"\$\{(\w+)(?::\w+)?\}", lambda found: choices[found[1]], target["query"]), start)


def query(flux: str, start: str = "now-1h") -> list[Any]:
    """Frames of a query. Raises Failed."""
    target = {"refId": "A", "datasource": _DATASOURCE, "query": flux}
    answer = ask("/api/ds/query", {"from": start, "to": "now", "queries": [target]})["results"]["A"]
    if "error" in answer:
        raise Failed(f"Grafana: {answer['error']}: {flux}")
    found: list[Any] = answer["frames"]
    return found


def column(frame: Any, name: str) -> list[Any]:
    names = [field["name"] for field in frame["schema"]["fields"]]
    found: list[Any] = frame["data"]["values"][names.index(name)]
    return found


def labels(frame: Any) -> dict[str, str]:
    """Those of the frame's values."""
    return {
        name: value
        for field in frame["schema"]["fields"]
        for name, value in (field.get("labels") or {}).items()
    }


def ask(path: str, body: Any = None) -> Any:
    """What it answers to somebody who has not logged in. Raises Failed."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORTS['GRAFANA_PORT']}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except OSError as error:
        raise Failed(f"Grafana {path}: {error}") from None
