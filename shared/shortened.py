"""Any value as a short text, for errors, logs, and headers and keys of Kafka.

A value from outside may be 900 kB long, nested deeper than Python can follow, or fail to become text. A
message about it must neither fail nor be too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.shown import masked, shown

# Characters of a quoted value; of a name in a header or a key; and of another program's words: a close
# reason, an answer, a library's error.
OF_VALUE: Final = 80
OF_NAME: Final = 160
OF_WORDS: Final = 300

# Of a whole error: room for a list of all choices, and for a dozen wrong settings.
OF_MESSAGE: Final = 4_000

_LONG_WORD: Final = re.compile(rf"\S{{{OF_WORDS + 1},}}")
_DEEPEST: Final = 8  # levels of nesting that a person can still read
_MORE: Final = "…"
_LONGEST_INTEGER: Final = 2**256  # Python raises beyond 4,300 decimal digits


def shortened(value: object, most: int = OF_WORDS) -> str:
    """The value in one line of visible characters, at most `most` and one for "…" where it was cut.

    Never raises.
    """
    text = _beginning(value, most + 1)
    line = shown(text)
    return line if len(line) <= most else line[:most] + _MORE


def quoted(value: object, most: int = OF_VALUE) -> str:
    """The same as a Python string literal; `most` counts characters before escaping."""
    text = _beginning(value, most + 1)
    return repr(text if len(text) <= most else text[:most] + _MORE)


def sanitized(message: str) -> str:
    """A message for people and logs: passwords of URLs masked, in one line, bounded."""
    return bounded(shown(masked(message)))


def bounded(message: str) -> str:
    """A message of bounded length: too long words, and then the whole, lose their middle.

    Its end stays, with the way out. Huge values are better shortened where they are quoted, by the above.
    """
    if len(message) <= OF_WORDS:
        return message
    words = _LONG_WORD.sub(lambda found: _without_middle(found[0], OF_WORDS), message)
    return _without_middle(words, OF_MESSAGE)


def _without_middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most * 2 // 3]}{_MORE}{text[-(most // 3) :]}"


def _beginning(value: object, most: int) -> str:
    """At least the first `most` characters of the value's text, made without the rest."""
    if isinstance(value, str):
        return value[:most]
    parts: list[str] = []
    length = 0
    for part in _parts(value, most, 0):
        parts.append(part)
        length += len(part)
        if length >= most:
            break
    return "".join(parts)[:most]


def _parts(value: Any, most: int, depth: int) -> Iterator[str]:
    match value:
        case Mapping() | list() | tuple() if depth == _DEEPEST:
            yield _MORE
        case Mapping():
            yield "{"
            for number, (name, item) in enumerate(value.items()):
                yield ", " if number else ""
                yield from _parts(name, most, depth + 1)
                yield ": "
                yield from _parts(item, most, depth + 1)
            yield "}"
        case list() | tuple():
            yield "[" if isinstance(value, list) else "("
            for number, item in enumerate(value):
                yield ", " if number else ""
                yield from _parts(item, most, depth + 1)
            yield "]" if isinstance(value, list) else ")"
        case str() if depth:
            yield repr(value[:most])
        case bytes() | bytearray():
            # A character has up to four bytes.
            yield bytes(value[: most * 4]).decode(errors="replace")
        case int() if abs(value) > _LONGEST_INTEGER:
            yield f"an integer of {value.bit_length()} bits"
        case _:
            yield _of_its_own(value)


def _of_its_own(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # a foreign type's `__str__` may raise anything
        return f"<{type(value).__name__}>"
