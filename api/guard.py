"""Who may ask: rules about the headers `Host`, `Origin` and `Authorization`. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from shared.addresses import is_loopback
from shared.errors import SettingsError
from shared.settings import Settings

_BEARER: Final = "bearer "
# Of the sub-protocol by which a page, which can set no header, sends the token to the stream.
_BEARER_PROTOCOL: Final = "bearer."


def require_guarded(settings: Settings, published_at: str | None) -> None:
    """Check that strangers cannot ask without a token.

    Args:
        published_at: where the port of this container is published on its host; None outside of containers.

    Raises:
        SettingsError: other machines reach the port, and there is no token.
    """
    address = published_at or settings.api_host
    if settings.api_token.get_secret_value() or is_loopback(address):
        return
    name = "API_HOST" if published_at is None else "BIND_ADDRESS"
    raise SettingsError(
        f"{name}: {address} is reached by other machines, so that API_TOKEN is needed;"
        " set it (or API_TOKEN_FILE), or listen on 127.0.0.1"
    )


def allowed_host(host: str, settings: Settings) -> bool:
    """Whether the `Host` of a request may be answered.

    Without a token, only addresses and `localhost`: a page of another site can let its own name point to
    this machine (DNS rebinding), and would then be of our origin. It does not know a token.
    """
    name = _host_name(host)
    if name is None:
        return False
    return bool(settings.api_token.get_secret_value()) or name == "localhost" or _is_address(name)


def same_origin(origin: str | None, host: str) -> bool:
    """Whether a request comes from our own page, or from no page at all."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def token_matches(given: str | None, secret: str) -> bool:
    """Compare tokens in constant time; without a secret everyone may ask."""
    if not secret:
        return True
    return hmac.compare_digest((given or "").encode(errors="replace"), secret.encode())


def bearer_of(authorization: str | None) -> str | None:
    """The token of the header `Authorization`."""
    if authorization is None or not authorization.lower().startswith(_BEARER):
        return None
    return authorization[len(_BEARER) :].strip()


def bearer_of_protocols(protocols: list[str]) -> str | None:
    """The token among the sub-protocols of a WebSocket, `bearer.` and its base64url."""
    for protocol in protocols:
        if protocol.startswith(_BEARER_PROTOCOL):
            text = protocol.removeprefix(_BEARER_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except (binascii.Error, ValueError):
                return None
    return None


def _host_name(host: str) -> str | None:
    """The host without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    return name if name and parts.netloc == host and "@" not in host else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
