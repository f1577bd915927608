"""Dead letters: rejected bytes, with the reason and their origin as record headers.

A letter always fits into a Kafka record. Bytes up to `MOST_BYTES`, the longest frame that is read from an
exchange, are unchanged; longer ones are cut, with their length and hash in headers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from shared.shortened import OF_NAME, OF_WORDS, shortened

Headers = list[tuple[str, str | bytes]]

WEBSOCKET: Final = "websocket:"
REST: Final = "rest:"

# librdkafka and brokers accept 1,000,000 bytes a record by default; the rest is for the key, the headers (5
# kB at most, all in characters of four bytes) and the format's overhead.
MOST_BYTES: Final = 900_000
# `exchange:symbol` of 129 characters is our longest key.
_MOST_KEY: Final = 1_024
_REASON: Final = 2 * OF_WORDS
_LONGEST_NUMBER: Final = 19  # of int64


class Origin(NamedTuple):
    """Origin of a dead letter, and the reason.

    Attributes:
        source: the topic of the record; `websocket:<stream>` or `rest:<path>` for bytes that never got to
            Kafka; or the topic whose records led to a point that the store rejected.
        partition, offset: of the rejected record; -1 if there is none.
        service: the sender.
        whole_bytes: original length of bytes that were cut; -1 if they were not.
        sha256: of the original bytes, in hexadecimal digits; "" if they were not cut.
        newest_trade: for bytes of an exchange, the highest trade number (`shared.trade_ids`) of the key's
            symbol that was known when they were rejected: it tells the numbering of the trades in them. -1 if
            there was none, or it was in doubt.
    """

    reason: str
    source: str
    partition: int
    offset: int
    service: str
    whole_bytes: int = -1
    sha256: str = ""
    newest_trade: int = -1

    @property
    def from_exchange(self) -> bool:
        return self.source.startswith((WEBSOCKET, REST))

    @property
    def is_point(self) -> bool:
        """The bytes describe a point, as JSON."""
        return self.offset < 0 and not self.from_exchange


class DeadLetter(NamedTuple):
    """A record of `pipeline.dead-letters`, of a size that Kafka accepts."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(origin: Origin, key: bytes | None, value: bytes | None) -> DeadLetter:
    """The letter for rejected bytes. Never raises.

    Args:
        origin: its `whole_bytes` and `sha256` are derived from the bytes.
    """
    headers: Headers = [
        ("reason", shortened(origin.reason, _REASON).encode()),
        ("source_topic", shortened(origin.source, OF_NAME + len(WEBSOCKET)).encode()),
        ("source_partition", str(origin.partition).encode()),
        ("source_offset", str(origin.offset).encode()),
        ("service", shortened(origin.service, OF_NAME).encode()),
    ]
    if origin.newest_trade >= 0:
        headers.append(("newest_trade", str(origin.newest_trade).encode()))
    if value is not None and len(value) > MOST_BYTES:
        headers += [
            ("value_bytes", str(len(value)).encode()),
            ("value_sha256", hashlib.sha256(value).hexdigest().encode()),
        ]
        value = value[:MOST_BYTES]
    return DeadLetter(key if key is None else key[:_MOST_KEY], value, headers)


def origin_of(headers: Iterable[tuple[str, str | bytes | None]] | None) -> Origin:
    """Inverse of `dead_letter`; missing and foreign headers become "" or -1."""
    texts = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or ""
        for name, value in headers or ()
    }
    return Origin(
        texts.get("reason", ""),
        texts.get("source_topic", ""),
        _number(texts.get("source_partition", "")),
        _number(texts.get("source_offset", "")),
        texts.get("service", ""),
        _number(texts.get("value_bytes", "")),
        texts.get("value_sha256", ""),
        _number(texts.get("newest_trade", "")),
    )


def as_json(value: Any) -> bytes:
    """Encode decoded JSON of any depth: `orjson` reads 1,024 levels and writes 254.

    Other values become texts. Never raises.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return _deep_json(value)


def _deep_json(value: Any) -> bytes:
    written: list[bytes] = []
    left: list[Any] = [value]
    while left:
        item = left.pop()
        if type(item) is _Token:
            written.append(item)
        elif type(item) is dict:
            left.append(_Token(b"}"))
            for number, name in reversed(list(enumerate(item))):
                head = b"," if number else b""
                left += (item[name], _Token(head + _leaf(str(name)) + b":"))
            left.append(_Token(b"{"))
        elif type(item) in (list, tuple):
            left.append(_Token(b"]"))
            for number, inner in reversed(list(enumerate(item))):
                left += (inner, _Token(b",")) if number else (inner,)
            left.append(_Token(b"["))
        else:
            written.append(_leaf(item))
    return b"".join(written)


class _Token(bytes):
    """JSON that is encoded already."""


def _leaf(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(shortened(value))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else -1
