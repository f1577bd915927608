"""Dashboards as classic JSON (schema 41): Grafana 12 and 13 read it from files, newer schemas only by API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana.model import Annotation, Dashboard, Json, Panel, Query, Row, Variable

DATASOURCE: Final = {"type": "influxdb", "uid": "influxdb"}
TAG: Final = "cryptostream"
_COLUMNS: Final = 24
_REFRESH: Final = ("1s", "5s", "10s", "30s", "1m", "5m", "15m")


def dashboard(board: Dashboard) -> Json:
    """The whole file of a dashboard."""
    return {
        "id": None,
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": [TAG],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "time": {"from": board.span, "to": "now"},
        "refresh": board.refresh,
        "timepicker": {"refresh_intervals": list(_REFRESH)},
        "links": [_links_to_all(), _link_to_page(board)],
        "annotations": {"list": [_annotation(annotation) for annotation in board.annotations]},
        "templating": {"list": [_variable(variable) for variable in board.variables]},
        "panels": list(_panels(board.rows)),
    }


def panel_id(board: Dashboard, title: str) -> int:
    """Id of the panel with this title, for alerts that point to it.

    Raises:
        LookupError: the dashboard has no such panel.
    """
    for panel in _panels(board.rows):
        if panel["title"] == title and panel["type"] != "row":
            return int(panel["id"])
    raise LookupError(f"{board.uid} has no panel {title!r}")


def _links_to_all() -> Json:
    """The other dashboards, with the same time and choices."""
    return {
        "type": "dashboards",
        "title": "CryptoStream",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _link_to_page(board: Dashboard) -> Json:
    """The live page at its usual place, with the same instrument where one is chosen."""
    chosen = {variable.name for variable in board.variables}
    symbol = "?symbol=${exchange}:${symbol}" if {"exchange", "symbol"} <= chosen else ""
    interval = "&interval=${interval}" if symbol and "interval" in chosen else ""
    return {
        "type": "link",
        "title": "Live page",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
        "icon": "bolt",
        "tooltip": "The same in the browser, as it comes from Kafka (API_PORT)",
        "url": f"http://localhost:8000/{symbol}{interval}",
    }


def _panels(rows: tuple[Row, ...]) -> Iterator[Json]:
    """Ids count in the order of the page; a panel that does not fit beside the last one begins a new line."""
    number = top = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        # By default Grafana queries nothing finer than 10 s.
        "interval": "1s",
        "targets": [_target(panel.query, "A")],
        "fieldConfig": {
            "defaults": {**panel.defaults, "noValue": panel.empty},
            "overrides": list(panel.overrides),
        },
        "options": panel.options,
        **panel.settings,
    }


def _target(query: Query, ref: str) -> Json:
    return {"refId": ref, "datasource": DATASOURCE, "query": query.flux}


def _variable(variable: Variable) -> Json:
    chosen: str | list[str]
    if variable.every:
        chosen = ["$__all"] if variable.many else "$__all"
    else:
        chosen = list(variable.default) if variable.many else "".join(variable.default[:1])
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "description": variable.description,
        "datasource": DATASOURCE,
        "query": {"refId": variable.name, "query": variable.flux},
        "regex": variable.matching,
        "refresh": 2,
        "sort": variable.sort,
        "multi": variable.many,
        "includeAll": variable.every,
        "allValue": None,
        # Choices become query text: only values from the store are allowed.
        "allowCustomValue": False,
        "current": {"text": "All" if variable.every else chosen, "value": chosen} if chosen else {},
        "hide": 0,
        "skipUrlSync": False,
        "options": [],
    }


def _annotation(annotation: Annotation) -> Json:
    return {
        "name": annotation.name,
        "enable": True,
        "hide": False,
        "iconColor": annotation.color,
        "datasource": DATASOURCE,
        "target": _target(annotation.query, "Anno"),
    }
