"""Logins of Prefect servers and their clients."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from typing import Final

from shared.settings import secret_of_file

LOGIN: Final = "PREFECT_API_AUTH_STRING"
LOGIN_FILE: Final = "PREFECT_API_AUTH_STRING_FILE"
SERVER_LOGIN: Final = "PREFECT_SERVER_API_AUTH_STRING"


def closed_server(login: str, origins: Sequence[str]) -> dict[str, str]:
    """Settings of a server that requires a login and accepts no web page but its own.

    Its defaults answer anybody, pages of other sites too, and workers run what the server is asked for.

    Args:
        login: name and password, with a colon between them.
        origins: of its own pages in browsers.
    """
    return {
        SERVER_LOGIN: login,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(origins),
    }


def take_login(environment: MutableMapping[str, str] = os.environ) -> None:
    """Read the login from the file that the environment names, before Prefect is imported.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    path = environment.get(LOGIN_FILE)
    if path:
        environment[LOGIN] = secret_of_file(LOGIN_FILE, path)
