"""Rows as bytes: JSON by columns, NDJSON, CSV. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

import orjson

from api.rows_request import RowsRequest
from consumers.stores.port import Row
from shared.trade_ids import split

_NS_PER_MS: Final = 10**6
# Texts, booleans, exponents.
_NOT_PLAIN: Final = re.compile(rb'["eE]')


class RowShape:
    """The values of a store's row, in the order of a request's columns."""

    def __init__(self, request: RowsRequest) -> None:
        self._names = request.columns[1:]
        # Rows lack the fields that their point does not have.
        self._whole = itemgetter(*self._names) if len(self._names) > 1 else None
        self._trade_id = request.columns.index("trade_id") if "trade_id" in self._names else None

    def values(self, rows: Iterable[Row]) -> list[list[Any]]:
        """Time in ms, tags left open, fields; None for what a point does not have."""
        names, whole = self._names, self._whole
        found: list[list[Any]] = []
        for row in rows:
            time_ms = row["time_ns"] // _NS_PER_MS  # type: ignore[operator]
            if whole is not None and len(row) > len(names):
                try:
                    found.append([time_ms, *whole(row)])
                    continue
                except KeyError:
                    pass
            found.append([time_ms, *map(row.get, names)])
        if self._trade_id is not None:
            # The store has the trade's number, others know the exchange's id.
            for each in found:
                each[self._trade_id] = split(each[self._trade_id] or 0)[1]
        return found


def json_head(request: RowsRequest) -> bytes:
    """The beginning of a JSON answer, up to its first row."""
    head = orjson.dumps({"columns": request.columns, "types": request.types})
    return head[:-1] + b',"rows":['


def json_rows(values: Sequence[Sequence[Any]]) -> bytes:
    """Rows of a JSON answer, without what separates them from others."""
    return orjson.dumps(values)[1:-1]


def json_end(following: str | None) -> bytes:
    """The end of a JSON answer."""
    return b'],"next":' + orjson.dumps(following) + b"}"


def ndjson_head(request: RowsRequest) -> bytes:
    """The first line: columns and their types."""
    return orjson.dumps({"columns": request.columns, "types": request.types}) + b"\n"


def ndjson_rows(values: Sequence[Sequence[Any]]) -> bytes:
    """A line for each row."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in values)


def ndjson_end(following: str | None) -> bytes:
    """The last line; an answer without it was cut on its way."""
    return orjson.dumps({"next": following}) + b"\n"


def csv_head(request: RowsRequest) -> bytes:
    """The names of the columns."""
    return (",".join(request.columns) + "\n").encode()


def csv_rows(values: Sequence[Sequence[Any]]) -> bytes:
    """A line for each row, as `cryptostream query --format csv` writes values."""
    # Of numbers alone, JSON and CSV differ by brackets only, and JSON is written many times faster.
    plain = orjson.dumps(values)[2:-2].replace(b"null", b"")
    if values and not _NOT_PLAIN.search(plain):
        return plain.replace(b"],[", b"\n") + b"\n"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_plain(value) for value in row] for row in values)
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        # Without an exponent, which some programs cannot read.
        text = repr(value)
        return text if "e" not in text else f"{Decimal(text):f}"
    return ("true" if value else "false") if isinstance(value, bool) else value
