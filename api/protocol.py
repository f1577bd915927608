"""Messages of clients on the stream, parsed strictly: what is not understood is refused and named.

One JSON object a message: `{"subscribe": [...]}`, `{"unsubscribe": [1]}`, `{"ack": 17, "painted_ms": …}` or
`{"time": …}`. `painted_ms` is by our clock: the page adds the offset that it measured with `time`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import orjson

from api.feeds import SINGLE, Tags
from api.ring import capacity
from api.tags import stored_tag
from consumers.tap.series import LiveKind
from shared.shortened import quoted, shortened

SUBPROTOCOL: Final = "cryptostream.v1"
LONGEST_REQUEST: Final = 65_536
_MOST_ID: Final = 2**31 - 1
# JavaScript's largest exact integer.
_MOST_NUMBER: Final = 2**53
_LONGEST_CURSOR: Final = 80
_TAG: Final = re.compile(r"\w[\w.:/-]{0,79}")
_MESSAGES: Final = "subscribe, unsubscribe, ack or time"


class ProtocolError(Exception):
    """A message after which the connection cannot go on.

    Attributes:
        code: of the WebSocket close.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Subscribe:
    """
    Attributes:
        tags: None for each that was left out.
        columns: fields, each once.
        last: rows of the snapshot.
        since: text of a cursor.
    """

    number: int
    kind: LiveKind
    tags: Tags
    columns: tuple[str, ...]
    last: int
    since: str | None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    number: int


@dataclass(frozen=True, slots=True)
class Ack:
    frame: int
    painted_ms: float | None


@dataclass(frozen=True, slots=True)
class Time:
    echo: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was not understood.

    Attributes:
        number: the client's id, if it could be read.
    """

    number: int | None
    title: str
    detail: str


Request = Subscribe | Unsubscribe | Ack | Time | Refused


class _Wrong(Exception):
    """A detail of a refusal."""


def parse(message: str | bytes, kinds: Mapping[str, LiveKind], most: int = 64) -> list[Request]:
    """The requests of a message.

    Args:
        most: subscriptions, or ids, of one message.

    Raises:
        ProtocolError: it is no JSON object, or too long.
    """
    try:
        raw = message.encode() if isinstance(message, str) else message
        if len(raw) > LONGEST_REQUEST:
            raise ProtocolError(1009, f"a message has at most {LONGEST_REQUEST:,} bytes; send several")
        content = orjson.loads(raw)
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        raise ProtocolError(1007, "a message must be one JSON object in UTF-8") from None
    if not isinstance(content, dict):
        raise ProtocolError(1007, f"a message must be one JSON object, not {type(content).__name__}")
    try:
        return _requests(content, kinds, most)
    except _Wrong as wrong:
        return [Refused(None, "request refused", str(wrong))]


def _requests(content: dict[str, Any], kinds: Mapping[str, LiveKind], most: int) -> list[Request]:
    named = [name for name in ("subscribe", "unsubscribe", "ack", "time") if name in content]
    if len(named) != 1:
        what = " and ".join(named) or ", ".join(shortened(name, 40) for name in list(content)[:5]) or "{}"
        raise _Wrong(f"{what}: a message has one of {_MESSAGES}")
    [name] = named
    _no_others(content, (name, "painted_ms") if name == "ack" else (name,), "message")
    value = content[name]
    match name:
        case "subscribe":
            return [_subscribe(entry, kinds) for entry in _list(name, value, most)]
        case "unsubscribe":
            return [
                Unsubscribe(_integer(f"{name}: id", entry, _MOST_ID)) for entry in _list(name, value, most)
            ]
        case "ack":
            painted_ms = content.get("painted_ms")
            if painted_ms is not None:
                painted_ms = _number("painted_ms", painted_ms)
            return [Ack(_integer("ack", value, _MOST_NUMBER), painted_ms)]
        case _:
            return [Time(_number("time", value))]


def _subscribe(entry: Any, kinds: Mapping[str, LiveKind]) -> Request:
    number = None
    try:
        if not isinstance(entry, dict):
            raise _Wrong(f"subscribe: {quoted(entry)} is no object; give id, series and its tags")
        number = _integer("id", entry.get("id"), _MOST_ID)
        kind = _kind(entry.get("series"), kinds)
        _no_others(entry, ("id", "series", *kind.tags, "last", "columns", "since"), kind.name)
        since = _since(entry, kind)
        return Subscribe(number, kind, _tags(entry, kind), _columns(entry, kind), _last(entry, kind), since)
    except _Wrong as wrong:
        return Refused(number, "subscription refused", str(wrong))


def _kind(name: Any, kinds: Mapping[str, LiveKind]) -> LiveKind:
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise _Wrong(f"series: {_value(name)} is none; choose from {', '.join(kinds)}")
    return kind


def _tags(entry: dict[str, Any], kind: LiveKind) -> Tags:
    tags = []
    for tag in kind.tags:
        value = entry.get(tag)
        if value is None:
            if kind.name in SINGLE:
                raise _Wrong(f"{tag}: missing; {kind.name} needs {', '.join(kind.tags)}")
        else:
            value = _tag(tag, value)
        tags.append(value)
    return tuple(tags)


def _tag(tag: str, value: Any) -> str:
    if not isinstance(value, str) or not (_TAG.fullmatch(value) or (value == "" and tag == "interval")):
        raise _Wrong(f"{tag}: {_value(value)} is no name; give one like binance, BTCUSDC or 1m")
    try:
        return stored_tag(tag, value)
    except ValueError as error:
        raise _Wrong(f"{tag}: {error}") from None


def _columns(entry: dict[str, Any], kind: LiveKind) -> tuple[str, ...]:
    names = tuple(column.name for column in kind.columns)
    asked = entry.get("columns")
    if asked is None:
        return names
    if not isinstance(asked, list) or not asked:
        raise _Wrong(f"columns: {_value(asked)} is no list of names; leave it out for all of {kind.name}")
    known = frozenset(names)
    for each in asked:
        if not isinstance(each, str) or each not in known:
            raise _Wrong(f"columns: {kind.name} has no {_value(each)}; it has {', '.join(names)}")
    if len(set(asked)) != len(asked):
        raise _Wrong("columns: a name stands there twice; give each once")
    return tuple(asked)


def _last(entry: dict[str, Any], kind: LiveKind) -> int:
    most = capacity(kind)
    if entry.get("last") is None:
        return 1 if kind.delivery == "latest" else most
    return _integer(f"last of {kind.name}", entry["last"], most)


def _since(entry: dict[str, Any], kind: LiveKind) -> str | None:
    since = entry.get("since")
    if since is None:
        return None
    if not isinstance(since, str) or len(since) > _LONGEST_CURSOR:
        raise _Wrong(f"since: {_value(since)} is no cursor; give back one that a frame had")
    if kind.delivery == "latest":
        raise _Wrong(f"since: {kind.name} has no cursors, its newest row is enough; leave it out")
    if any(entry.get(tag) is None for tag in kind.tags):
        raise _Wrong(f"since: a cursor is of one series; give {', '.join(kind.tags)} too, or leave it out")
    return since


def _list(name: str, value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _Wrong(f"{name}: {_value(value)} is no list; give one of up to {most} entries")
    if len(value) > most:
        raise _Wrong(f"{name}: {len(value):,} entries; give at most {most} in a message")
    return value


def _integer(name: str, value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise _Wrong(f"{name}: {_value(value)} is no whole number from 0 to {most:,}")
    return value


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value) or abs(value) > _MOST_NUMBER:
        raise _Wrong(f"{name}: {_value(value)} is no time in milliseconds")
    number: float = value
    return number


def _no_others(content: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in content:
        if name not in known:
            raise _Wrong(f"{shortened(name, 40)}: unknown in {where}; it has {', '.join(known)}")


def _value(value: Any) -> str:
    return "nothing" if value is None else quoted(value)
