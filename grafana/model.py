"""The parts of a dashboard as immutable values; `grafana.render` makes Grafana's classic JSON of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One Flux query.

    Attributes:
        columns: fields that each frame must have for the panel to show anything.
        labels: tags that distinguish the series.
    """

    flux: str
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()


def figure(flux: str) -> Query:
    """The query of one figure."""
    return Query(flux, ("_value",))


@dataclass(frozen=True)
class Panel:
    """One panel; builders are in `grafana.panels`.

    Attributes:
        description: what is shown, and what to do about it: the text behind the panel's "i".
        empty: the text while the query finds nothing.
        width, height: of 24 columns; 30 pixels each.
        settings: further keys of the panel as Grafana names them (repeat, maxDataPoints, links, …).
    """

    kind: str
    title: str
    description: str
    query: Query
    width: int
    height: int
    empty: str
    defaults: Json
    options: Json
    overrides: tuple[Json, ...] = ()
    settings: Json = field(default_factory=dict)

    def but(self, **settings: Any) -> Panel:
        """The same panel with further keys as Grafana names them."""
        return replace(self, settings={**self.settings, **settings})

    def colored(self, **colors: str) -> Panel:
        """The same panel with fixed colours of fields."""
        panel = self
        for name, color in colors.items():
            panel = panel.overriding(name, color={"mode": "fixed", "fixedColor": color})
        return panel

    def overriding(self, name: str, **properties: Any) -> Panel:
        """The same panel with other properties for one field; `__` in a key stands for a dot."""
        override = {
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": key.replace("__", "."), "value": value} for key, value in properties.items()
            ],
        }
        return replace(self, overrides=(*self.overrides, override))


@dataclass(frozen=True)
class Row:
    """Panels under a heading, laid from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard, offered from the data.

    Attributes:
        default: the first choice, if it is offered; else it is the first that is.
        every: "All" is offered too, and is the first choice.
        many: allows more than one choice.
        matching: regular expression of the offered values.
    """

    name: str
    label: str
    description: str
    flux: str
    default: tuple[str, ...] = ()
    every: bool = False
    many: bool = False
    matching: str = ""
    sort: int = 1


@dataclass(frozen=True)
class Annotation:
    """Marks on all time axes of a dashboard; its frame has `time`, perhaps `timeEnd`, and `text`."""

    name: str
    color: str
    query: Query


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, and its defaults.

    Attributes:
        uid: never changes: links and bookmarks contain it.
        span: e.g. "now-3h".
        refresh: e.g. "1s".
    """

    uid: str
    title: str
    description: str
    span: str
    refresh: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    annotations: tuple[Annotation, ...] = ()
