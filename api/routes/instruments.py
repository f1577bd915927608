"""`GET /instruments`: what the settings name and what the store has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request

from api.history import History
from api.models import Instrument, Instruments, Promises
from api.problems import Problem
from api.rows_request import single_values
from api.schema import problems
from consumers.measurements import INSTRUMENT, KLINE
from consumers.stores.port import Row
from shared.intervals import INTERVAL_MS
from shared.markets import Market, assets_of
from shared.settings import Settings

_NS_PER_MS: Final = 10**6


def instruments_router(settings: Settings, history: History) -> APIRouter:
    """The route of instruments."""
    router = APIRouter(tags=["instruments"])

    @router.get(
        "/instruments",
        operation_id="instruments",
        summary="Instruments of the settings and of the store",
        responses=problems("401", "403", "414", "422"),
    )
    async def instruments(request: Request) -> Instruments:
        single_values(request.query_params.multi_items(), ())
        rows: list[Row] = []
        told: list[Row] = []
        reason = None
        try:
            async with history.reading() as reading:
                async for chunk in reading.rows(KLINE.name, {}, last=1):
                    rows += chunk
                async for chunk in reading.rows(INSTRUMENT.name, {}, last=1):
                    told += chunk
        except Problem as problem:
            # What is live needs the names, and no store.
            reason = str(problem)
        return Instruments(
            instruments=listed(settings, rows, told), reason=reason, grafana=settings.grafana_url or None
        )

    return router


def listed(settings: Settings, rows: Sequence[Row], told: Sequence[Row] = ()) -> list[Instrument]:
    """Instruments in the order of the settings, then the others by name.

    Args:
        rows: the newest bar of each series.
        told: the newest row of each instrument, as its producer told it.
    """
    tellings = {(str(row["exchange"]), str(row["symbol"])): row for row in told}
    found: dict[tuple[str, str], dict[str, Any]] = {
        (market.exchange, market.symbol): {
            "intervals": set(settings.intervals),
            "configured": True,
            "newest_ms": None,
        }
        for market in settings.markets
    }
    for row in sorted(rows, key=lambda each: (str(each["exchange"]), str(each["symbol"]))):
        key = str(row["exchange"]), str(row["symbol"])
        entry = found.setdefault(key, {"intervals": set(), "configured": False, "newest_ms": None})
        entry["intervals"].add(str(row["interval"]))
        time_ms = int(row["time_ns"] or 0) // _NS_PER_MS
        entry["newest_ms"] = max(time_ms, entry["newest_ms"] or time_ms)
    return [
        Instrument(
            exchange=exchange,
            symbol=symbol,
            stands_in=settings.stands_in(exchange),
            **_listing(Market(exchange, symbol), tellings.get((exchange, symbol))),
            **{**entry, "intervals": sorted(entry["intervals"], key=_shortest_first)},
        )
        for (exchange, symbol), entry in found.items()
    ]


def _listing(market: Market, told: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the exchange says of a market; before a producer has told it, what its name shows."""
    said = told or {}
    base, quote = assets_of(market)
    return {
        "base": said.get("base") or base,
        "quote": said.get("quote") or quote,
        **{name: said.get(name) for name in ("tick", "lot", "alias", "status")},
        "promises": Promises(**{name: said.get(name) for name in Promises.model_fields}) if told else None,
        "listed_ms": int(told["time_ns"]) // _NS_PER_MS if told else None,
    }


def _shortest_first(interval: str) -> tuple[int, str]:
    # Another program's points may have intervals of its own.
    return INTERVAL_MS.get(interval, 0), interval
