"""Trade ids of several numberings as one sequence of numbers.

An exchange may restart its trade ids (a testnet that is reset, a symbol listed again). Each numbering is an
epoch, 0 at first; a trade's *number* is `epoch * 2**53 + trade_id`, so that counting and ordering (ledger,
sets of ranges, progress) needs one integer, which in epoch 0 is the id itself.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TypeVar

Trade = TypeVar("Trade", bound=MutableMapping[str, Any])

# Every JSON reader keeps integers below 2^53 exact; ids from there on, or below 0, are invalid.
EPOCH_SPAN: Final = 2**53
# The last number of the last numbering fits an int64.
MAX_EPOCH: Final = 2**63 // EPOCH_SPAN - 1


def number(epoch: int, trade_id: int) -> int:
    """The number of the trade `trade_id` of numbering `epoch`.

    Raises:
        ValueError: the id or the epoch is out of bounds.
    """
    if not 0 <= trade_id < EPOCH_SPAN:
        raise ValueError(f"trade id {trade_id} is not from 0 to 2^53-1")
    if not 0 <= epoch <= MAX_EPOCH:
        raise ValueError(f"numbering {epoch} is not from 0 to {MAX_EPOCH}")
    return epoch * EPOCH_SPAN + trade_id


def split(trade_number: int) -> tuple[int, int]:
    """The numbering and the id of a number."""
    return divmod(trade_number, EPOCH_SPAN)


def number_of(trade: Mapping[str, Any]) -> int:
    """The number of a checked message of `market.trades`, which has its numbering unless it is the first."""
    trade_id: int = trade["trade_id"]
    return trade_id + trade["epoch"] * EPOCH_SPAN if "epoch" in trade else trade_id


def in_numbering(epoch: int, trades: list[Trade]) -> list[Trade]:
    """Set the numbering of an exchange's trades; the first is left out."""
    if epoch:
        for trade in trades:
            trade["epoch"] = epoch
    return trades


def shown(trade_number: int) -> str:
    """For people: the exchange's id, and the numbering from the second on.

    >>> shown(number(0, 12345)), shown(number(1, 12345))
    ('12345', '12345 (numbering 2)')
    """
    epoch, trade_id = split(trade_number)
    return f"{trade_id} (numbering {epoch + 1})" if epoch > 0 else str(trade_number)
