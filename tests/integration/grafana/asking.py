"""Asks InfluxDB what Grafana would ask, and shapes the answer as Grafana does (reference: STACK.md §3.5)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import urllib3

from tests.conftest import Influx

Choice = str | Sequence[str]
# Machines are shared: no test depends on how long a query takes.
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Frame:
    """One table of an answer: what stands in its group key are labels, all else are columns."""

    labels: dict[str, str]
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return max((len(values) for values in self.columns.values()), default=0)

    def rows(self) -> list[dict[str, str]]:
        return [
            dict(zip(self.columns, values, strict=True))
            for values in zip(*self.columns.values(), strict=True)
        ]


@dataclass(frozen=True)
class Asking:
    """A viewer: time range, choices, and the server behind the datasource."""

    influx: Influx
    start_ms: int
    stop_ms: int
    choices: Mapping[str, Choice]

    def ask(self, flux: str, window_ms: int = 10_000) -> list[Frame]:
        """The frames of a query; fails with the server's words."""
        return self.raw(self.expanded(flux, window_ms))

    def text(self, flux: str, window_ms: int = 10_000) -> str:
        """The answer as it comes; fails with the server's words."""
        return self._answer(self.expanded(flux, window_ms))

    def expanded(self, flux: str, window_ms: int) -> str:
        """The text that reaches the server: choices, then Grafana's macros."""
        chosen = re.sub(r"\$\{(\w+)(?::(\w+))?\}", lambda m: self._choice(m[1], m[2]), flux)
        for macro, value in (
            ("timeRangeStart", _time(self.start_ms)),
            ("timeRangeStop", _time(self.stop_ms)),
            ("windowPeriod", f"{window_ms // 1000}s"),
        ):
            chosen = re.sub(rf"\b[a-zA-Z]+\.{macro}\b", value, chosen)
        assert "${" not in chosen, f"a variable without a value: {chosen}"
        return chosen

    def raw(self, flux: str) -> list[Frame]:
        return list(_frames(self._answer(flux), flux))

    def _answer(self, flux: str) -> str:
        answer = urllib3.request(
            "POST",
            f"{self.influx.url}/api/v2/query?org={self.influx.org}",
            headers={"Authorization": f"Token {self.influx.token}", "Content-Type": "application/json"},
            timeout=_TIMEOUT_S,
            body=orjson.dumps(
                {"query": flux, "dialect": {"annotations": ["datatype", "group", "default"], "header": True}}
            ),
        )
        text = answer.data.decode()
        assert answer.status == 200, f"{text}\n{flux}"
        return text

    def _choice(self, name: str, how: str | None) -> str:
        value = self.choices[name]
        values = [value] if isinstance(value, str) else list(value)
        if how == "regex":
            escaped = [re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", text) for text in values]
            return f"({'|'.join(escaped)})" if len(escaped) > 1 else escaped[0]
        assert how is None, f"{name}:{how} is not a format that our queries use"
        (text,) = values
        return text


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _frames(text: str, flux: str) -> Iterator[Frame]:
    """Annotated CSV: blocks of annotations, names and rows, of one or more tables each."""
    for block in re.split(r"\r?\n\r?\n", text.strip()):
        rows = list(csv.reader(io.StringIO(block)))
        groups: list[str] = next((row for row in rows if row and row[0] == "#group"), [])
        defaults: list[str] = next((row for row in rows if row and row[0] == "#default"), [])
        (names, *values) = [row for row in rows if row and not row[0].startswith("#")] or [[]]
        assert "error" not in names, f"{values}\n{flux}"
        tables: dict[str, list[list[str]]] = {}
        for row in values:
            filled = [cell or default for cell, default in zip(row, defaults, strict=True)]
            tables.setdefault(filled[2], []).append(filled)
        for table in tables.values():
            yield _frame(names, groups, table)


def _frame(names: Sequence[str], groups: Sequence[str], table: Sequence[Sequence[str]]) -> Frame:
    kept = range(3, len(names))
    return Frame(
        {names[i]: table[0][i] for i in kept if groups[i] == "true"},
        {names[i]: [row[i] for row in table] for i in kept if groups[i] != "true"},
    )


def opened(asking: Asking, model: Mapping[str, Any], **more: Choice) -> Asking:
    """The viewer of a dashboard that has just been opened: what is chosen for each variable, from the left.

    As Grafana does it: the saved values that are offered, else the first that is offered (sorted, if that is
    asked for); for "All" everything that is offered.

    Args:
        more: choices in the dashboard's address.
    """
    for item in model["templating"]["list"]:
        name = item["name"]
        if name in more:
            chosen = more[name]
        else:
            offered = [
                value for frame in asking.ask(item["query"]["query"]) for value in frame.columns["_value"]
            ]
            chosen = _chosen(item, sorted(offered) if item["sort"] else offered)
        asking = replace(asking, choices={**asking.choices, name: chosen})
    return replace(asking, choices={**asking.choices, **more})


def _chosen(item: Mapping[str, Any], offered: Sequence[str]) -> Choice:
    saved = item["current"].get("value", "")
    values = [saved] if isinstance(saved, str) else list(saved)
    if "$__all" in values:
        return list(offered)
    kept = [value for value in values if value in offered] or list(offered[:1])
    return kept if item["multi"] else "".join(kept[:1])
