"""The error of everything that talks to a Prefect server which is not there."""

from __future__ import annotations

from shared.errors import CryptoStreamError


class ServerAway(CryptoStreamError):
    """The Prefect server does not answer."""

    def __init__(self, address: str, error: Exception) -> None:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        super().__init__(f"PREFECT_API_URL: {address} does not answer ({reason}); is it up?")
