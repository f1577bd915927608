"""Redirects are never followed: what a setting names is asked, and no other server in its place.

Whoever can answer for the exchange, a store or a webhook could else send requests, and what they carry, to
any host, port or scheme: to servers of this machine or of the network behind it, too.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from shared.masking import masked
from shared.shown import shown

_LONGEST: Final = 200


def is_redirect(status: int) -> bool:
    """Whether an answer sends elsewhere; 304 says that nothing has changed."""
    return 300 <= status < 400 and status != 304


def target(location: str | None, *, host_only: bool = False) -> str:
    """Where an answer sends to, for a message.

    Args:
        location: the header of that name.
        host_only: what follows the host may be a secret.
    """
    if not location:
        return "a place that it does not name"
    if host_only:
        try:
            parts = urlsplit(location)
        except ValueError:
            return "a place that is no URL"
        location = f"{parts.scheme}://{parts.netloc}" if parts.netloc else "another path of itself"
    text = shown(masked(location))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
