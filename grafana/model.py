"""What a dashboard is made of, as immutable values; `grafana.render` makes Grafana's classic JSON of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One Flux query.

    Attributes:
        columns: fields that each of its frames must have for the panel to show anything.
        labels: tags that tell its series apart.
    """

    flux: str
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One panel; builders are in `grafana.panels`.

    Attributes:
        description: what is seen, and what to do about it: the text behind the panel's "i".
        empty: what stands there while the query finds nothing.
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
        """The same panel with further keys of Grafana's."""
        return replace(self, settings={**self.settings, **settings})

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
        default: chosen at first, if it is offered.
        every: "All" can be chosen too, and is at first.
        many: more than one can be chosen.
        matching: regular expression; only what it matches is offered.
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
    """One dashboard, and how it is opened.

    Attributes:
        uid: fixed for ever: links and bookmarks name it.
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
