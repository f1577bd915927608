"""Usual frames of Binance's streams, and the contract's messages of the same fields, as text with holes.

A frame's text begins where the name of its stream ends (BINANCE_SPOT.md §3), with fields in the exchange's
order.
What the letters mean is in `producers.exchanges.binance.parse`, which remains the reference.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Wire(NamedTuple):
    """One stream's frame and message."""

    frame: str
    contract: str


_BEGIN: Final = '{"schema":1,"exchange":"binance","symbol":"<symbol>","event_time_ms":'
_RECEIVED: Final = ',"received_time_ms":<received_ms>,"source":"stream",'

QUOTE: Final = Wire(
    '","data":{"u":<update_id:id>,"s":"<symbol>","b":"<bid_price:positive>","B":"<bid_quantity:positive>",'
    '"a":"<ask_price:positive>","A":"<ask_quantity:positive>"}}',
    f'{_BEGIN}null{_RECEIVED}"update_id":<update_id>,"bid_price":"<bid_price>","bid_quantity":"<bid_quantity>",'
    '"ask_price":"<ask_price>","ask_quantity":"<ask_quantity>"}',
)

TRADE: Final = Wire(
    '","data":{"e":"trade","E":<event_ms:time>,"s":"<symbol>","t":<trade_id:id>,"p":"<price:decimal>",'
    '"q":"<quantity:decimal>","T":<time_ms:time>,"m":<buyer_is_maker:flag>,"M":<:flag>}}',
    f'{_BEGIN}<event_ms>{_RECEIVED}"trade_id":<trade_id>,"price":"<price>","quantity":"<quantity>",'
    '"trade_time_ms":<time_ms>,"buyer_is_maker":<buyer_is_maker>}',
)

DEPTH: Final = Wire(
    '","data":{"e":"depthUpdate","E":<event_ms:time>,"s":"<symbol>","U":<first_update_id:id>,'
    '"u":<final_update_id:id>,"b":<bids:levels>,"a":<asks:levels>}}',
    f'{_BEGIN}<event_ms>{_RECEIVED}"kind":"diff","first_update_id":<first_update_id>,'
    '"final_update_id":<final_update_id>,"bids":<bids>,"asks":<asks>}',
)

# The close time is computed, as the wire's differs by unit.
KLINE: Final = Wire(
    '","data":{"e":"kline","E":<event_ms:time>,"s":"<symbol>","k":{"t":<open_ms:time>,"T":<:any_id>,'
    '"s":"<symbol>","i":"<interval>","f":<first_trade_id:id_or_none>,"L":<last_trade_id:id_or_none>,'
    '"o":"<open:decimal>","c":"<close:decimal>","h":"<high:decimal>","l":"<low:decimal>","v":"<base:decimal>",'
    '"n":<count:id>,"x":<closed:flag>,"q":"<quote:decimal>","V":"<taker_base:decimal>",'
    '"Q":"<taker_quote:decimal>","B":"<:any_decimal>"}}}',
    f'{_BEGIN}<event_ms>{_RECEIVED}"interval":"<interval>","open_time_ms":<open_ms>,"close_time_ms":<close_ms>,'
    '"open":"<open>","high":"<high>","low":"<low>","close":"<close>","base_volume":"<base>",'
    '"quote_volume":"<quote>","trade_count":<count>,"taker_buy_base_volume":"<taker_base>",'
    '"taker_buy_quote_volume":"<taker_quote>","first_trade_id":<first_trade_id>,'
    '"last_trade_id":<last_trade_id>,"closed":<closed>}',
)
