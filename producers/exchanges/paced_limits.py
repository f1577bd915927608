"""`Limits` of an exchange that counts the requests of an address a second, not those of a client. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers.exchanges.port import Pace


@dataclass(frozen=True, slots=True)
class PacedLimits:
    """See `Limits`.

    Attributes:
        a_second: requests that the exchange allows.
        usual_share: of them that we use: other clients share the address.
        starting: requests of a symbol's start.
        symbol_s: seconds between two requests for silent streams, a symbol.
    """

    a_second: float
    usual_share: float
    starting: int
    symbol_s: float

    def start_delay_s(self, position: int, intervals: Sequence[str], warmup_bars: int) -> float:  # noqa: ARG002
        return position * self.starting / (self.a_second * self.usual_share)

    def share(self, own: int, deployed: int) -> float | None:
        return self.usual_share * own / max(own, deployed)

    def status_period_s(self, symbols: int) -> float:  # noqa: ARG002 - one request has all
        return 60.0

    def probe_pace(self, symbols: int) -> Pace:
        usual, least_s = Pace(), symbols * self.symbol_s
        return Pace(max(usual.probe_s, least_s), max(usual.fill_s, least_s))
