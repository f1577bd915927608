"""Redirects are never followed: requests go to the servers that settings name, and to no others.

Otherwise whoever can answer for the exchange, a store or a webhook could send requests, and their content, to
any host, port or scheme, including servers of this machine and its network.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from shared.shown import masked, shown

_LONGEST: Final = 200


def is_redirect(status: int) -> bool:
    """Whether a status is a redirect; 304 is not one."""
    return 300 <= status < 400 and status != 304


def target(location: str | None, *, host_only: bool = False) -> str:
    """The target of a redirect, for a message.

    Args:
        location: the header of that name.
        host_only: leave out the path, which may be a secret.
    """
    if not location:
        return "an unnamed target"
    if host_only:
        try:
            parts = urlsplit(location)
        except ValueError:
            return "an invalid URL"
        location = f"{parts.scheme}://{parts.netloc}" if parts.netloc else "another path of itself"
    text = shown(masked(location))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
