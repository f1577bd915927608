"""The source of a run's market data: the live exchange, the simulator, or recordings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
import urllib3

from cryptostream.run.options import RunOptions
from producers.exchanges.bodies import MOST_BYTES
from producers.exchanges.registry import exchange_named
from shared.errors import ExchangeUnavailable, UsageError
from shared.proxies import proxy_for
from shared.redirects import is_redirect, target
from shared.settings import Settings
from shared.shown import shown

SourceKind = Literal["live", "simulator", "replay"]
RECORDED: Final = "binance"  # whose frames recordings hold
PROBE_TIMEOUT_S: Final = 5.0
_WAY_OUT: Final = "check the network, or take --source simulator"


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """The source, and the reason for it."""

    kind: SourceKind
    reason: str


def choose_source(
    options: RunOptions, probe: Callable[[], str | None], titles: Sequence[str]
) -> SourceChoice:
    """Choose what `--source` means, for all exchanges alike: simulated data and real ones do not mix.

    Args:
        probe: None if the live exchanges answer, else why one cannot be used.
        titles: of the exchanges.

    Raises:
        ExchangeUnavailable: `--source live`, and it cannot be used.
    """
    match options.source:
        case "simulator":
            return SourceChoice("simulator", "as asked")
        case "replay":
            count = len(options.recordings)
            return SourceChoice("replay", f"{count} recording{'s' if count != 1 else ''}")
        case "live":
            refusal = probe()
            if refusal is not None:
                raise ExchangeUnavailable(f"--source live: {refusal}; {_WAY_OUT}")
            return SourceChoice("live", "as asked")
        case _:
            refusal = probe()
            if refusal is None:
                return SourceChoice("live", f"{listing(titles)} answer{'s' if len(titles) == 1 else ''}")
            return SourceChoice("simulator", refusal)


def of_recordings(settings: Settings, symbols: str | None) -> Settings:
    """The settings of a replay: recordings have one exchange's markets, whatever the deployment has.

    Args:
        symbols: that are asked for; None: all that are recorded.

    Raises:
        UsageError: one is of another exchange.
    """
    foreign = next((market for market in settings.markets if market.exchange != RECORDED), None)
    if symbols is not None and foreign is not None:
        raise UsageError(
            f"--symbols {foreign}: recordings are of {exchange_named(RECORDED).title}; name symbols of it"
        )
    return settings.of(RECORDED)


def listing(names: Sequence[str]) -> str:
    """Names as in a sentence: `Binance, Kraken and Coinbase`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def probe_exchanges(settings: Settings) -> str | None:
    """None if all exchanges of the deployment answer (`probe_exchange`), else why one cannot be used."""
    refusals = (probe_exchange(settings.of(exchange)) for exchange in settings.exchanges)
    return next(filter(None, refusals), None)


def probe_exchange(settings: Settings) -> str | None:
    """None if the exchange's REST host answers a ping within 5 s, else why it cannot be used.

    Raises:
        SettingsError: the environment names a proxy for the exchange that cannot be used.
    """
    exchange = exchange_named(settings.exchange)
    addresses = exchange.addresses(settings)
    for host in addresses:
        proxy_for(host)
    url = exchange.audit.reachable(addresses.rest)
    answer: list[str | None] = []

    def ask() -> None:
        try:
            get_json(url, PROBE_TIMEOUT_S)
            answer.append(None)
        except ExchangeUnavailable as error:
            answer.append(str(error))

    # On a thread, since name resolution has no time-out.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_TIMEOUT_S + 0.5)
    return answer[0] if answer else f"{url} did not answer within {PROBE_TIMEOUT_S:g} s"


def get_json(url: str, timeout_s: float) -> Any:
    """GET a JSON body, by the same proxy as the services (`shared.proxies`).

    Raises:
        ExchangeUnavailable: no such answer; the message names URL and cause.
    """
    try:
        with _http(proxy_for(url)) as http:
            answer = http.request(
                "GET", url, timeout=timeout_s, retries=False, redirect=False, preload_content=False
            )
            body = answer.read(MOST_BYTES + 1)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ExchangeUnavailable(f"{url} cannot be reached ({_cause(error)})") from None
    if is_redirect(answer.status):
        raise ExchangeUnavailable(
            f"{url} sends on to {target(answer.headers.get('Location'))} ({answer.status}), which is not"
            " followed"
        )
    if len(body) > MOST_BYTES:
        raise ExchangeUnavailable(f"{url} answers with more than {MOST_BYTES:,} bytes")
    if answer.status != 200:
        raise ExchangeUnavailable(f"{url} refuses with HTTP {answer.status} {shown(str(answer.reason))}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ExchangeUnavailable(f"{url} cannot be used ({error})") from None


def _http(proxy: str | None) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager()
    name = urllib3.util.parse_url(proxy).auth
    return urllib3.ProxyManager(
        proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=name) if name else None
    )


def _cause(error: BaseException) -> str:
    """The innermost reason: libraries wrap the system's message."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "strerror", None) or error)
