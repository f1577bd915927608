"""Text from outside, made safe to show: control and invisible characters escaped, URL passwords masked.

Names, reasons and bytes of the exchange, of Kafka's records and of files may hold anything. On a terminal an
escape sequence moves the cursor, sets a title or answers for the user; a line end forges a line of a log;
direction marks and zero-width characters make one text look like another (CVE-2021-42574).
"""

from __future__ import annotations

import re
from typing import Final

# Controls (C0, DEL, C1), line and paragraph separators, surrogates, and all default ignorable code points
# (DerivedCoreProperties.txt): joiners, direction marks, fillers, selectors, tags.
_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# Line ends and tabs are allowed in our output streams.
_LAID_OUT: Final = re.compile(f"(?![\n\t]){_HIDDEN.pattern}")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Azure's own URLs have a container's name there, which is no secret.
_USER_INFO: Final = re.compile(r"(?<=://)(?<!abfs://)(?<!abfss://)[^\s/?#]*@")


def masked(text: str) -> str:
    """The text, its URLs without user names and passwords: either may be the secret (`https://TOKEN@host`)."""
    return _USER_INFO.sub("***@", text) if "@" in text else text


def masked_url(url: str) -> str:
    """The same for a setting that should be a URL: everything before its last @ is taken for a secret."""
    return re.sub(r"^([a-z0-9+.-]+://)?.*@", r"\1***@", url, flags=re.DOTALL | re.IGNORECASE)


def shown(text: str) -> str:
    """One line of visible characters: `\\x1b` stands for an escape, `\\n` for a line end."""
    return text if _HIDDEN.search(text) is None else _HIDDEN.sub(_escaped, text)


def shown_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(shown, text.split("\n")))


def shown_output(text: str) -> str:
    """Output text, CSV or JSON: hidden characters are escaped as in JSON, so that JSON keeps its meaning.

    Lines stay: a field that may hold a line end passes through `shown` first.
    """
    return text if _LAID_OUT.search(text) is None else _LAID_OUT.sub(_as_json, text)


def _escaped(found: re.Match[str]) -> str:
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
