"""What happens in a simulated run, as a value: a market, and disturbances of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from tests.simulation import disturbances
from tests.simulation.disturbances import Disturbance, ExchangeFault

SYMBOLS: Final = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
MARKETS: Final = 4
INTERVALS: Final = ("1s", "1m")
PRODUCER: Final = "producer"
CONSUMERS: Final = ("klines.1s", "klines.1m", "trades", "book", "quotes", "ledger")


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run.

    Attributes:
        start_ms: the market's time at its start.
        seconds: how long the market lasts.
        rate: multiplies its trades.
    """

    seed: int
    start_ms: int
    symbols: tuple[str, ...]
    seconds: float
    rate: float
    warmup_bars: int
    disturbances: tuple[Disturbance, ...] = ()

    @property
    def market_seed(self) -> int:
        """Of prices, trades and books: few markets, whose books a worker computes once."""
        return self.seed % MARKETS

    def only(self, kept: Iterable[Disturbance]) -> Self:
        """The same market with these disturbances."""
        return replace(self, disturbances=tuple(kept))

    def of(self, *kinds: type[Disturbance]) -> tuple[Any, ...]:
        """The disturbances of these types."""
        return tuple(each for each in self.disturbances if isinstance(each, kinds))

    @property
    def fault_kinds(self) -> frozenset[str]:
        """Kinds of the exchange's faults."""
        return frozenset(map(disturbances.kind_of, self.of(ExchangeFault)))

    def to_json(self) -> str:
        """One line of JSON."""
        entries = [disturbances.to_json(each) for each in self.disturbances]
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**fields, "disturbances": entries})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        fields["symbols"] = tuple(fields["symbols"])
        fields["disturbances"] = tuple(map(disturbances.from_json, fields["disturbances"]))
        return cls(**fields)

    def described(self) -> list[str]:
        """Lines for people."""
        first = f"{','.join(self.symbols)} for {self.seconds:g} s from {self.start_ms}, rate {self.rate:g}"
        return [first, *(f"  {disturbances.described(each)}" for each in self.disturbances)]
