"""Text from outside, made fit to be shown: what a terminal would obey, or nobody would see, is written out.

Reasons, names and bytes of the exchange, of Kafka's records and of files may hold anything. On a terminal an
escape sequence moves the cursor, sets a title or answers for the user; a line end forges a line of a log;
marks of direction and signs without width make one text look like another (CVE-2021-42574).
"""

from __future__ import annotations

import re
from typing import Final

# Controls (C0, DEL, C1), line and paragraph separators, surrogates, and all code points that Unicode calls
# default ignorable (DerivedCoreProperties.txt): joiners, marks of direction, fillers, selectors, tags.
_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# What a stream of ours may hold of them: its lines, and columns of other programs.
_LAID_OUT: Final = re.compile(f"(?![\n\t]){_HIDDEN.pattern}")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """One line in which every sign can be seen: `\\x1b` stands for an escape, `\\n` for a line end."""
    return text if _HIDDEN.search(text) is None else _HIDDEN.sub(_written_out, text)


def shown_lines(text: str) -> str:
    """The same for a text of several lines, whose ends stay."""
    return "\n".join(map(shown, text.split("\n")))


def shown_output(text: str) -> str:
    """Text, CSV or JSON on its way out: such signs as JSON writes them, so that JSON says the same.

    Lines stay. The last resort of every stream: a field that may hold a line end is made one line before,
    by `shown`.
    """
    return text if _LAID_OUT.search(text) is None else _LAID_OUT.sub(_as_json, text)


def _written_out(found: re.Match[str]) -> str:
    sign = found[0]
    number = ord(sign)
    if sign in _SHORT:
        return _SHORT[sign]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _as_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
