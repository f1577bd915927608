"""Which connections go through a proxy: one rule for REST, streams and webhooks (docs/settings.md, Proxies).

The environment's `https_proxy` (https, wss) or `http_proxy` (http, ws), else `all_proxy`, in lower or upper
case, unless `no_proxy` names the host. Connections to this machine, and to hosts without a dot in their name
(of this network, for example containers), are direct. Kafka and InfluxDB are always reached directly.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from collections.abc import Mapping, MutableMapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from shared.errors import SettingsError
from shared.shown import masked_url

_VARIABLE: Final = {"http": "http_proxy", "ws": "http_proxy", "https": "https_proxy", "wss": "https_proxy"}
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_USABLE: Final = ("http", "https")


class Proxy(NamedTuple):
    """A proxy, and the variable that names it."""

    url: str
    variable: str


def proxy_for(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """URL of the proxy for a URL, or None for a direct connection.

    Raises:
        SettingsError: the proxy cannot be used.
    """
    proxy = named_proxy(url, environment)
    return None if proxy is None else _usable(proxy, urlsplit(url).hostname or url)


def named_proxy(url: str, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy that the environment names for a URL, usable or not."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if is_local(host) or _excluded(host, parts, environment):
        return None
    for name in (_VARIABLE.get(parts.scheme, "all_proxy"), "all_proxy"):
        # Lower case wins, even if empty, which means "none".
        for variable in (name, name.upper()):
            if variable in environment:
                address = environment[variable].strip()
                if address:
                    return Proxy(address, variable)
                break
    return None


def is_local(host: str) -> bool:
    """Whether a host is this machine, or has a name without a dot."""
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return "." not in host or host.lower().endswith(".localhost")


class _NowhereElse(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Do not follow: the redirect becomes an HTTPError."""


def direct() -> urllib.request.OpenerDirector:
    """urllib's opener for servers of this machine: without the environment's proxies or redirects."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NowhereElse())


def for_libraries(environment: MutableMapping[str, str] = os.environ) -> None:
    """Apply the rule to libraries that read these variables themselves, here and in child processes.

    Raises:
        SettingsError: a proxy cannot be used; some libraries use it even where they need none.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if environment.get(variable, "").strip():
                _usable(Proxy(environment[variable].strip(), variable), "the hosts")
    listed = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    entries = [entry.strip() for entry in listed.split(",") if entry.strip()]
    spared = ",".join(dict.fromkeys((*entries, "localhost", "127.0.0.1", "::1")))
    environment["no_proxy"] = environment["NO_PROXY"] = spared


def _excluded(host: str, parts: SplitResult, environment: Mapping[str, str]) -> bool:
    listed = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    port = str(parts.port or _PORTS.get(parts.scheme, 0))
    return any(_names(entry.strip().lower(), host.lower(), port) for entry in listed.split(","))


def _names(entry: str, host: str, port: str) -> bool:
    """Whether one entry of `no_proxy` names a host: *, a name with all below it, an address, a network."""
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # a name, or an address with a port
    name, colon, its_port = entry.rpartition(":")
    if colon and its_port.isdecimal():
        if its_port != port:
            return False
        entry = name.strip("[]")
    entry = entry.removeprefix("*").removeprefix(".")
    return bool(entry) and (host == entry or (address is None and host.endswith(f".{entry}")))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _usable(proxy: Proxy, host: str) -> str:
    url = proxy.url if "://" in proxy.url else f"http://{proxy.url}"
    way_out = f"name one like http://host:3128, or {host} in NO_PROXY"
    where = f'{proxy.variable}: "{masked_url(proxy.url)}"'
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"{where} has no port from 1 to 65535 or a wrong host; {way_out}") from None
    if parts.scheme.startswith("socks"):
        raise SettingsError(f"{where} is a SOCKS proxy, which is not supported; {way_out}")
    if parts.scheme not in _USABLE:
        raise SettingsError(f"{where} begins with neither http:// nor https://; {way_out}")
    if not parts.hostname or port == 0 or any(sign.isspace() for sign in url):
        raise SettingsError(f"{where} has no host, port 0 or a space; {way_out}")
    return url
