"""The numbering of the trades in a dead letter: as the letter says it, never guessed. Pure.

An exchange's trade ids may begin anew (`shared.trade_ids`), and its frames and rows do not say of which
numbering they are. By the wrong one a trade would be stored as another, and its own place stay empty.
"""

from __future__ import annotations

from typing import Any

from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Numberings
from shared.dead_letters import WEBSOCKET
from shared.errors import InvalidMessage
from shared.messages import message_key
from shared.trade_ids import MAX_EPOCH, in_numbering, shown, split


def set_numbering(trade: Any, letter: DeadLetter, numberings: Numberings) -> None:
    """Set the numbering of a trade of this letter in place.

    Args:
        trade: a checked message that has none yet.

    Raises:
        InvalidMessage: it is not known.
    """
    key = message_key(trade["exchange"], trade["symbol"])
    newest = numberings.get(key, 0)
    # What is known of one symbol says nothing of another in the same frame.
    known = letter.origin.newest_trade if letter.key == key else -1
    said, newest_id = split(known)
    if known < 0:
        if newest > 0:
            raise _unknown(trade, newest, "its letter does not say of which this trade is")
        return
    if said > MAX_EPOCH:
        raise InvalidMessage("newest_trade", known, "a trade's number")
    # The first frames after a reset were rejected before the producer could know of it. Then their ids are
    # lower, while a frame in time has a higher one than all before it.
    if said < newest and letter.origin.source.startswith(WEBSOCKET) and trade["trade_id"] <= newest_id:
        raise _unknown(trade, newest, f"this one came after {shown(known)}, so it may be of a later one")
    in_numbering(said, [trade])


def _unknown(trade: Any, newest: int, reason: str) -> InvalidMessage:
    return InvalidMessage(
        "trade_id",
        trade["trade_id"],
        f"known by its numbering: ids of {trade['symbol']} have begun anew, {newest + 1} numberings, and "
        f"{reason}; `cryptostream repair {trade['exchange']}:{trade['symbol']} trades` fetches what the "
        "exchange still has",
    )
