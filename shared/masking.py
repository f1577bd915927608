"""Passwords inside URLs never reach a terminal, a log, the ledger or a dead letter."""

from __future__ import annotations

import re
from typing import Final

# In Azure's own form a container's name stands there, which is no secret.
_USER_INFO: Final = re.compile(r"(?<=://)(?<!abfs://)(?<!abfss://)[^\s/?#]*@")


def masked(text: str) -> str:
    """The text, its URLs without user names and passwords: either may be the secret (`https://TOKEN@host`)."""
    return _USER_INFO.sub("***@", text) if "@" in text else text


def masked_url(url: str) -> str:
    """The same for what should be a URL and may be none: all in front of its last @ is taken for a secret."""
    return re.sub(r"^([a-z0-9+.-]+://)?.*@", r"\1***@", url, flags=re.DOTALL | re.IGNORECASE)
