"""Instruments of the settings. Whoever asks for others must hold up nobody who asks for these. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.settings import Settings

# Exchange and symbol.
Instrument = tuple[str, str]
Configured = frozenset[Instrument]


def configured_instruments(settings: Settings) -> Configured:
    """The instruments that the services follow."""
    return frozenset((market.exchange, market.symbol) for market in settings.markets)


def is_configured(tags: Mapping[str, str], configured: Configured) -> bool:
    """Whether these tags of a request can be of a configured instrument, or are of no single one."""
    exchange, symbol = tags.get("exchange"), tags.get("symbol")
    if symbol is None:
        return True
    return any(symbol == each and exchange in (None, name) for name, each in configured)
