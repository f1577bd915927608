"""What Prefect's environment has to say before Prefect is imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Final

from shared.proxies import for_libraries

_WANTED: Final = {
    # Nothing is told to anybody.
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    # A command's output is its own.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
}


def quiet(environment: MutableMapping[str, str] = os.environ) -> None:
    """Telemetry off and logs down, where nothing else is set; no proxy to a server of this machine.

    Raises:
        SettingsError: the environment names a proxy that cannot be used.
    """
    for_libraries(environment)
    for name, value in _WANTED.items():
        environment.setdefault(name, value)
