"""Checks of addresses in settings: URLs, brokers, and whether they are of this machine alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from shared.shortened import shortened
from shared.shown import masked_url

WEB: Final = ("http", "https")
WEBSOCKET: Final = ("ws", "wss")


def checked_url(value: str, schemes: Sequence[str] = WEB) -> str:
    """A URL without a trailing slash, since paths are appended.

    Raises:
        ValueError: the fault, with a password in the URL masked.
    """
    if not value:
        return value
    fault = _fault_of_url(value, schemes)
    if fault is not None:
        raise ValueError(f'"{shortened(masked_url(value))}" {fault}')
    return value.rstrip("/")


def _fault_of_url(value: str, schemes: Sequence[str]) -> str | None:
    example = f"{schemes[-1]}://host:port"
    if "://" not in value:
        return f"is not a URL; write scheme and host, like {example}"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return f"has no port from 1 to 65535 or a wrong host; write it like {example}"
    begin = shortened(parts.scheme)
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    for wrong, fault in (
        (any(sign.isspace() or not sign.isprintable() for sign in value), "has a space or control character"),
        (parts.scheme not in schemes, f"begins with {begin}://; it must begin with {allowed}"),
        (not parts.hostname or port == 0, f"has no host, or port 0; write it like {example}"),
        (parts.query or parts.fragment, "has a query or fragment; remove it from ? or # on"),
    ):
        if wrong:
            return fault
    return None


def checked_servers(value: str) -> str:
    """Brokers as host:port, comma-separated; the default port is librdkafka's 9092."""
    for server in value.split(",") if value else ():
        host, colon, port = server.strip().rpartition("://")[2].rpartition(":")
        if not colon or server.endswith("]"):
            host, port = server.strip(), "9092"
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536) or " " in host:
            named = shortened(masked_url(server))
            raise ValueError(f'"{named}" is not a broker; write them like host:9092,host:9093')
    return value


def is_loopback(address: str) -> bool:
    """Whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
