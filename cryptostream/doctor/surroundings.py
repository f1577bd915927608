"""What around the settings decides whether they work: proxies, the metrics port, slips in the environment."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping

from cryptostream.doctor.finding import Finding, broken
from shared.errors import SettingsError
from shared.masking import masked_url
from shared.metrics import unusable
from shared.proxies import named_proxy, proxy_for
from shared.setting_names import misspelt
from shared.settings import Settings


def findings(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Everything that can be seen without asking anybody."""
    slips = [
        Finding("settings", "warn", f"{name} in the environment is not a setting", f"did you mean {meant}?")
        for name, meant in misspelt(environment)
    ]
    return [*slips, proxy_finding(settings, environment), *metrics_findings(settings)]


def proxy_finding(settings: Settings, environment: Mapping[str, str]) -> Finding:
    """How the exchange is reached; what is unusable, every service would refuse."""
    hosts = (settings.binance_rest_url, settings.binance_ws_url, settings.history_url())
    try:
        for host in hosts:
            proxy_for(host, environment)
    except SettingsError as error:
        return broken("proxy", error)
    found = [proxy for host in hosts if (proxy := named_proxy(host, environment)) is not None]
    if not found:
        return Finding("proxy", "ok", "the exchange is reached directly")
    named = ", ".join(dict.fromkeys(f"{masked_url(proxy.url)} ({proxy.variable})" for proxy in found))
    return Finding("proxy", "ok", f"the exchange is reached by {named}; Kafka and the store directly")


def metrics_findings(settings: Settings) -> list[Finding]:
    """Whether METRICS_PORT is free; a service of ours that runs has it, and that is well."""
    port, address = settings.metrics_port, settings.metrics_address
    if port is None:
        return []
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return [broken("metrics port", unusable(address, port, error))]
            text = f"METRICS_PORT {port} cannot be used now ({error.strerror})"
            return [
                Finding("metrics port", "warn", text, "unless a service of yours has it, name a free one")
            ]
    return [Finding("metrics port", "ok", f"{port} is free")]
