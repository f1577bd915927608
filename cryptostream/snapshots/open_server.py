"""Whether a Prefect server that the user has named answers anybody."""

from __future__ import annotations

import urllib.request
from typing import Final

from shared.proxies import direct

_TIMEOUT_S: Final = 5.0
ADVICE: Final = "it answers anybody, and so any web page could run a shell here: see docs/snapshots.md, Login"


def answers_anybody(address: str) -> bool:
    """Whether an API answers a request without a login; False if it does not answer at all.

    Args:
        address: PREFECT_API_URL.
    """
    try:
        request = urllib.request.Request(f"{address}/admin/version")
        # A proxy's word would not be the server's.
        with direct().open(request, timeout=_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False  # refused, or not there: whoever asks in earnest next says so
