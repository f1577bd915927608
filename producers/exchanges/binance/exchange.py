"""Binance spot behind the port: what it promises, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from producers.exchanges.binance import weight_budget as weights
from producers.exchanges.binance.audit import BinanceAudit
from producers.exchanges.binance.enquiry import BinanceEnquiry
from producers.exchanges.binance.lanes import lanes_of
from producers.exchanges.binance.parse import EXCHANGE, TimeAhead, parse_frame
from producers.exchanges.binance.rest import BinanceRest
from producers.exchanges.binance.rows import interval_of_row, kline_of_row, trade_of_row
from producers.exchanges.binance.streams import connections, open_with
from producers.exchanges.lane_port import Lanes, Steps
from producers.exchanges.port import (
    Addresses,
    BarsPromise,
    BookPromise,
    Exchange,
    Limits,
    Liveness,
    Pace,
    Parser,
    Plan,
    Promises,
    QuotesPromise,
    SnapshotCost,
    TradesPromise,
)
from producers.exchanges.rest_port import Audit, Enquiry, Reject, Rest
from shared.errors import InvalidMessage
from shared.settings import Settings

_SETTINGS: Final = Addresses("BINANCE_REST_URL", "BINANCE_WS_URL", "BINANCE_HISTORY_URL")
_PLACE_HINT: Final = "set BINANCE_WS_URL and BINANCE_REST_URL to its market-data-only hosts"
# Ten times the longest; decoded, a frame takes up to 30 times its length.
_MAX_FRAME_BYTES: Final = 900_000
# The exchange cuts a connection after 24 h (BINANCE_SPOT.md §2.2).
_AGE_S: Final = 23.5 * 3600
# A bar of one second ends each second while the market is open; one of a minute has at least one event a
# minute (BINANCE_SPOT.md §4.5).
_LIVENESS: Final = Liveness(bars_s=MappingProxyType({"1s": 10.0, "1m": 130.0}))

_PROMISES: Final = Promises(
    TradesPromise(
        repair="id",
        guarantee="every id once; what is missing is repaired over REST by its ids, while `historicalTrades`"
        " is refused from the newest 1,000",
        proof="ids rise by 1; `aggTrades` prove which ids were never issued",
    ),
    BarsPromise(
        source="native",
        guarantee="every closed bar of every interval from 1s on, once and in order, holes by REST",
        proof="the exchange's clock; audited against the trades",
        warm_up="REST, 1,000 bars a request",
    ),
    BookPromise(
        integrity="ids",
        guarantee="exact while `synced`",
        proof="update ids join; audited against fresh snapshots",
    ),
    QuotesPromise(source="stream", guarantee="the latest one and its age", proof="compared with the book"),
    halts="`exchangeInfo`, polled",
)


class _Limits:
    """By request weight: half of the limit is for other clients behind the same IP."""

    def start_delay_s(self, position: int, intervals: Sequence[str], warmup_bars: int) -> float:
        return weights.start_delay_s(position, weights.starting_weight(intervals, warmup_bars))

    def share(self, own: int, deployed: int) -> float | None:  # noqa: ARG002 - of all processes together
        return None

    def status_period_s(self, symbols: int) -> float:
        return weights.status_period_s(symbols)

    def probe_pace(self, symbols: int) -> Pace:
        return weights.pace_of(symbols)


class Binance:
    """See `Exchange`."""

    name = EXCHANGE
    title = "Binance"
    promises = _PROMISES
    settings = _SETTINGS
    limits: Limits = _Limits()
    snapshot_cost = SnapshotCost(
        symbol=weights.DAY_TICKER_WEIGHT + weights.SMALL_DEPTH_WEIGHT + weights.TRADES_WEIGHT,
        statuses=weights.EXCHANGE_INFO_WEIGHT,
        statuses_at_once=100,
        clock=weights.TIME_WEIGHT,
        limit=weights.DEFAULT_LIMIT,
        share=weights.SHARE,
    )
    audit: Audit = BinanceAudit()

    def addresses(self, settings: Settings) -> Addresses:
        return Addresses(settings.binance_rest_url, settings.binance_ws_url, settings.history_url())

    def symbol(self, text: str) -> str:
        # Letters of any script: Binance lists symbols beyond A–Z (BINANCE_SPOT.md §2.1).
        return text.upper()

    def connections(
        self, addresses: Addresses, symbols: Sequence[str], intervals: Sequence[str]
    ) -> list[Plan]:
        plans = []
        for streams in connections(symbols, intervals):
            url, opening = open_with(addresses.stream, streams)
            plans.append(
                Plan(
                    url,
                    addresses.stream,
                    tuple(streams),
                    tuple(opening),
                    max_frame_bytes=_MAX_FRAME_BYTES,
                    age_s=_AGE_S,
                    liveness=_LIVENESS,
                    setting=_SETTINGS.stream,
                    place_hint=_PLACE_HINT,
                )
            )
        return plans

    def parser(self, plan: Plan | None = None) -> Parser:  # noqa: ARG002 - every frame stands for itself
        return parse_frame

    def lanes(self, plan: Plan, steps: Mapping[str, Steps]) -> Lanes:
        return lanes_of(plan.streams, steps)

    def rest(
        self,
        addresses: Addresses,
        exchange_ms: Callable[[], int],
        reject: Reject,
        share: float | None = None,
    ) -> Rest:
        return BinanceRest(
            addresses.rest,
            addresses.history,
            exchange_ms,
            reject,
            weights.SHARE if share is None else share,
        )

    def enquiry(self, addresses: Addresses) -> Enquiry:
        return BinanceEnquiry(addresses)

    def read_row(
        self, path: str, symbol: str, row: Any, received_ms: int, latest_ms: int
    ) -> tuple[Literal["kline", "trade"], Any] | None:
        match path:
            case "depth":
                return None
            case "trades":
                trade = trade_of_row(symbol, row, received_ms)
                if trade["trade_time_ms"] > latest_ms:
                    raise TimeAhead("trade_time_ms", trade["trade_time_ms"], latest_ms)
                return "trade", trade
            case "klines":
                return "kline", kline_of_row(symbol, interval_of_row(row), row, received_ms)
            case _:
                raise InvalidMessage("source", f"rest:{path}", "a source of bars or trades")


BINANCE: Final[Exchange] = Binance()
