"""Any value as a short text: what goes into an error, a log, a header or a key of Kafka is bounded by this.

What comes from outside may be 900 kB long, nested deeper than Python can follow, or have no text at all. A
message about it must neither fail for that nor be too long for what is to carry it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.shown import shown

# Characters of a value in an error, which names it; of a name in a header or a key; and of what another
# program says of itself: a close reason, an answer, an error of a library.
OF_VALUE: Final = 80
OF_NAME: Final = 160
OF_WORDS: Final = 300

# Of a whole error: room for a list of all choices, and for a dozen settings that are wrong at once.
OF_MESSAGE: Final = 4_000

_LONG_WORD: Final = re.compile(rf"\S{{{OF_WORDS + 1},}}")
_DEEPEST: Final = 8  # levels of nesting that a person could still read
_MORE: Final = "…"
_LONGEST_INTEGER: Final = 2**256  # of decimal digits Python makes at most 4,300, and then raises


def shortened(value: object, most: int = OF_WORDS) -> str:
    """The value in one line in which every sign can be seen, of `most` characters and one at most.

    What was cut ends with "…". It never raises, whatever the value is.
    """
    text = _beginning(value, most + 1)
    line = shown(text)
    return line if len(line) <= most else line[:most] + _MORE


def quoted(value: object, most: int = OF_VALUE) -> str:
    """The same between quotation marks, as Python writes a text; `most` counts signs before that."""
    text = _beginning(value, most + 1)
    return repr(text if len(text) <= most else text[:most] + _MORE)


def bounded(message: str) -> str:
    """A message, whatever it quotes; where it is too long, words and then the whole lose their middle.

    Its end stays: there stands the way out. What is bounded here was made elsewhere, of arguments, settings
    and names of files; what may be huge is better bounded where it is quoted, by the above.
    """
    if len(message) <= OF_WORDS:
        return message
    words = _LONG_WORD.sub(lambda found: _without_middle(found[0], OF_WORDS), message)
    return _without_middle(words, OF_MESSAGE)


def _without_middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most * 2 // 3]}{_MORE}{text[-(most // 3) :]}"


def _beginning(value: object, most: int) -> str:
    """At least the first `most` characters of the value's text, and none that are not wanted are made."""
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
            # A sign has up to four bytes.
            yield bytes(value[: most * 4]).decode(errors="replace")
        case int() if abs(value) > _LONGEST_INTEGER:
            yield f"an integer of {value.bit_length()} bits"
        case _:
            yield _of_its_own(value)


def _of_its_own(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # whatever a foreign type's own text fails with, its name is left
        return f"<{type(value).__name__}>"
