"""The error of everything that talks to a Prefect server which is not there."""

from __future__ import annotations

from shared.errors import CryptoStreamError


class ServerAway(CryptoStreamError):
    """The Prefect server does not answer, or does not know us."""

    def __init__(self, address: str, error: Exception) -> None:
        # httpx is imported only where it is needed.
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            super().__init__(
                f"PREFECT_API_URL: {address} refuses our login; set PREFECT_API_AUTH_STRING to the server's"
            )
            return
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        super().__init__(f"PREFECT_API_URL: {address} does not answer ({reason}); is it up?")
