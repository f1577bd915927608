"""Builders of panels: one style for all; each requires a description, a unit and a text for no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from grafana.model import Json, Panel, Query

# (from this value on, colour); the first one is for lower values.
Step = tuple[float | None, str]
PLAIN: Final[tuple[Step, ...]] = ((None, "text"),)
ZERO_IS_GOOD: Final[tuple[Step, ...]] = ((None, "green"), (1, "red"))
SIGN: Final[tuple[Step, ...]] = ((None, "red"), (0, "green"))
RSI_ZONES: Final[tuple[Step, ...]] = ((None, "green"), (30, "text"), (70, "red"))
AGES: Final[tuple[Step, ...]] = ((None, "green"), (5, "yellow"), (30, "red"))
SPREADS: Final[tuple[Step, ...]] = ((None, "green"), (5, "yellow"), (20, "red"))
_LEGEND: Final = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
_NEWEST: Final = {
    "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
    "orientation": "auto",
}
_WITH_FIGURES: Final = {
    "showLegend": True,
    "displayMode": "table",
    "placement": "right",
    "calcs": ["lastNotNull", "max"],
}


# For prices of any instrument: Grafana's `locale` shows up to so many decimals without trailing zeros
# (toLocaleString with maximumFractionDigits); by default it would cut at three.
AS_QUOTED: Final = "locale"
_PRICE_DECIMALS: Final = 15


def _decimals(unit: str, decimals: int | None) -> Json:
    if decimals is None and unit == AS_QUOTED:
        decimals = _PRICE_DECIMALS
    return {} if decimals is None else {"decimals": decimals}


def thresholds(steps: Sequence[Step]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def stat(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    steps: Sequence[Step] = PLAIN,
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
    color: str = "value",
    empty: str = "–",
    mappings: Sequence[Json] = (),
) -> Panel:
    """One figure: the newest value of the query's only column."""
    options = {
        **_NEWEST,
        "textMode": "value",
        "colorMode": color,
        "graphMode": "none",
        "justifyMode": "auto",
    }
    defaults = _defaults(unit, steps, decimals, mappings)
    return Panel("stat", title, description, query, width, height, empty, defaults, options)


def gauge(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    steps: Sequence[Step],
    bounds: tuple[float, float],
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
    empty: str = "–",
) -> Panel:
    options = {
        **_NEWEST,
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
    }
    defaults = {**_defaults(unit, steps, decimals, ()), "min": bounds[0], "max": bounds[1]}
    return Panel("gauge", title, description, query, width, height, empty, defaults, options)


def lines(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    steps: Sequence[Step] = PLAIN,
    lines_at_steps: bool = False,
    name: str | None = None,
    bars: bool = False,
    stacked: bool = False,
    bounds: tuple[float | None, float | None] = (None, None),
    width: int = 12,
    height: int = 8,
    decimals: int | None = None,
    figures: bool = False,
    empty: str = "No data in this time range",
) -> Panel:
    """Values over time.

    Args:
        name: of a series, e.g. "${__field.labels.symbol}"; None: that of its column.
        lines_at_steps: draw the thresholds as lines.
        figures: show newest and largest values in the legend.
    """
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else 0,
        "showPoints": "never",
        "spanNulls": False,
        "axisPlacement": "auto",
        "axisSoftMin": bounds[0],
        "axisSoftMax": bounds[1],
        "scaleDistribution": {"type": "linear"},
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if lines_at_steps else "off"},
    }
    defaults = {
        **_defaults(unit, steps, decimals, ()),
        "color": {"mode": "palette-classic"},
        "custom": {key: value for key, value in custom.items() if value is not None},
        **({"displayName": name} if name is not None else {}),
    }
    options = {
        "legend": _WITH_FIGURES if figures else _LEGEND,
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, query, width, height, empty, defaults, options)


def candles(
    title: str, description: str, query: Query, *, unit: str, height: int, empty: str, **mark: Any
) -> Panel:
    """Open, high, low, close and base_volume as candles; other columns as lines over them.

    Args:
        mark: further properties of the dot of the open bar.
    """
    options = {
        "mode": "candles+volume",
        "candleStyle": "candles",
        "colorStrategy": "open-close",
        "colors": {"up": "green", "down": "red", "flat": "gray"},
        "includeAllFields": True,
        "fields": {"open": "open", "high": "high", "low": "low", "close": "close", "volume": "base_volume"},
        "legend": _LEGEND,
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    defaults = {
        **_defaults(unit, PLAIN, None, ()),
        "color": {"mode": "palette-classic"},
        "custom": {
            "axisPlacement": "right",
            "lineWidth": 1,
            "fillOpacity": 0,
            "showPoints": "never",
            "spanNulls": True,
        },
    }
    panel = Panel("candlestick", title, description, query, 24, height, empty, defaults, options)
    dot = {"custom__drawStyle": "points", "custom__showPoints": "always", "custom__pointSize": 9, **mark}
    return panel.overriding("open bar", **dot).overriding(
        "base_volume", unit="short", custom__axisPlacement="hidden"
    )


def table(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "none",
    width: int = 24,
    height: int = 8,
    sort_by: str | None = None,
    descending: bool = False,
    cells: Json | None = None,
    empty: str = "No rows in this time range",
) -> Panel:
    """Rows in the order of the query, columns in that of `query.columns`; `cells` are properties of all."""
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
        "sortBy": [{"displayName": sort_by, "desc": descending}] if sort_by else [],
    }
    plain = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}
    defaults = {**_defaults(unit, PLAIN, None, ()), "custom": plain, **(cells or {})}
    # Flux returns columns in the order of their names.
    in_order = {
        "id": "organize",
        "options": {"indexByName": {name: at for at, name in enumerate(query.columns)}},
    }
    panel = Panel("table", title, description, query, width, height, empty, defaults, options)
    return panel.but(transformations=[in_order])


def states(
    title: str,
    description: str,
    query: Query,
    *,
    name: str,
    mappings: Sequence[Json],
    width: int = 24,
    height: int = 6,
    empty: str,
) -> Panel:
    """States over time, a line for each series."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {**_LEGEND, "showLegend": False},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = {
        **_defaults("none", PLAIN, 0, mappings),
        "displayName": name,
        "custom": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False},
    }
    return Panel("state-timeline", title, description, query, width, height, empty, defaults, options)


def columns(
    title: str,
    description: str,
    query: Query,
    *,
    along: str,
    unit: str,
    width: int = 12,
    height: int = 8,
    empty: str = "No data in this time range",
) -> Panel:
    """A bar chart with a group of bars for each row; `along` is the text column below them."""
    options = {
        "xField": along,
        "orientation": "auto",
        "stacking": "none",
        "showValue": "never",
        "groupWidth": 0.8,
        "barWidth": 0.9,
        "xTickLabelRotation": 0,
        "legend": _LEGEND,
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    defaults = {
        **_defaults(unit, PLAIN, None, ()),
        "color": {"mode": "palette-classic"},
        "custom": {"lineWidth": 1, "fillOpacity": 80, "axisPlacement": "auto"},
    }
    return Panel("barchart", title, description, query, width, height, empty, defaults, options)


def state_names(*names: tuple[int, str, str]) -> tuple[Json, ...]:
    """Grafana's value mapping of (value, text, colour)."""
    shown = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, text, color) in enumerate(names)
    }
    return ({"type": "value", "options": shown},)


def cell(unit: str, *, steps: Sequence[Step] | None = None, decimals: int | None = None, **more: Any) -> Json:
    """Properties of a table's column for `Panel.overriding`; text coloured by `steps`."""
    properties: Json = {"unit": unit, **_decimals(unit, decimals)}
    if steps is not None:
        properties["thresholds"] = thresholds(steps)
        properties["custom__cellOptions"] = {"type": "color-text"}
    return {**properties, **more}


def _defaults(unit: str, steps: Sequence[Step], decimals: int | None, mappings: Sequence[Json]) -> Json:
    return {
        "unit": unit,
        **_decimals(unit, decimals),
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(steps),
        "mappings": list(mappings),
    }
