"""Differences of two sets of rows, to the last bit: missing, twice, unknown or different.

Pure. The first few of each kind are named, the rest is counted.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from chaos.exchange_log import Numbers, TradePoint

Kind = Literal["missing", "twice", "unknown", "different", "broken"]
_EXAMPLES: Final = 3
_NAN: Final = float("nan")


class Differences:
    """Counts by (what, kind), with examples; falsy if there are none.

    Attributes:
        counts: `what` is a measurement, a topic or the ledger.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, Kind]] = Counter()
        self._examples: dict[tuple[str, Kind], list[str]] = {}

    def add(self, what: str, kind: Kind, example: str, count: int = 1) -> None:
        self.counts[what, kind] += count
        examples = self._examples.setdefault((what, kind), [])
        if len(examples) < _EXAMPLES:
            examples.append(example)

    def count(self, what: str, kind: Kind) -> int:
        return self.counts[what, kind]

    def update(self, other: Differences) -> None:
        for (what, kind), number in other.counts.items():
            self.counts[what, kind] += number
            examples = self._examples.setdefault((what, kind), [])
            examples += other._examples[what, kind][: _EXAMPLES - len(examples)]

    def lines(self) -> list[str]:
        """A line of text for each (what, kind)."""
        return [
            f"{what}: {number:,} {kind}: {'; '.join(self._examples[what, kind])}"
            + ("; …" if number > len(self._examples[what, kind]) else "")
            for (what, kind), number in self.counts.items()
        ]

    def __bool__(self) -> bool:
        return bool(self.counts)


def compare_trades(expected: Iterable[TradePoint], found: Sequence[TradePoint], label: str) -> Differences:
    """Trades of one symbol by their ids.

    Args:
        label: names the series in examples.
    """
    differences = Differences()
    wanted = {trade.trade_id: trade for trade in expected}
    seen: set[int] = set()
    for trade in found:
        trade_id = trade.trade_id
        if trade_id in seen:
            differences.add("trade", "twice", f"{label} {trade_id}")
        elif trade_id not in wanted:
            differences.add("trade", "unknown", f"{label} {trade_id}")
        elif trade != wanted[trade_id]:
            differences.add("trade", "different", f"{label} {trade} is not {wanted[trade_id]}")
        seen.add(trade_id)
    for trade_id in sorted(wanted.keys() - seen):
        differences.add("trade", "missing", f"{label} {trade_id}")
    return differences


def compare_bars(
    what: str,
    expected: Mapping[int, Numbers],
    found: Mapping[int, Numbers],
    names: Sequence[str],
    label: str,
) -> Differences:
    """Bars or indicators of one series by their open times, number by number.

    Args:
        what: the measurement.
        names: of the numbers.
    """
    differences = Differences()
    for open_ms in sorted(expected.keys() - found.keys()):
        differences.add(what, "missing", f"{label} {open_ms}")
    for open_ms in sorted(found.keys() - expected.keys()):
        differences.add(what, "unknown", f"{label} {open_ms}")
    for open_ms in sorted(expected.keys() & found.keys()):
        wanted, has = expected[open_ms], found[open_ms]
        if _bits(wanted) != _bits(has):
            at = next(i for i in range(len(names)) if _bits(wanted[i : i + 1]) != _bits(has[i : i + 1]))
            differences.add(
                what, "different", f"{label} {open_ms} {names[at]}: {has[at]} is not {wanted[at]}"
            )
    return differences


def _bits(numbers: Numbers) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *(_NAN if number is None else number for number in numbers))
