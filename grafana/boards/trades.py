"""Trades: tape, flow, taker imbalance and sizes."""

from __future__ import annotations

from typing import Final

from grafana.choices import EXCHANGE, SYMBOL
from grafana.model import Dashboard, Row
from grafana.panels import AS_QUOTED, SIGN, cell, columns, gauge, lines, stat, table
from grafana.queries.market import PRICE
from grafana.queries.trades import (
    AVERAGE_PRICE,
    FLOW,
    LARGEST,
    SIZES,
    SIZES_SPAN,
    SUM_OF_FLOW,
    TAKER_IMBALANCE,
    TAPE,
    TAPE_ROWS,
    TAPE_SPAN,
    VOLUMES,
    sums_of_all,
    sums_over_time,
)

_NO_TRADES: Final = "No trades in this time range"
_NOW: Final = Row(
    "$symbol in this time range",
    (
        stat("Price", "Price of the last trade.", PRICE, unit=AS_QUOTED, empty="no trade"),
        stat(
            "Average price",
            "Volume-weighted: turnover ÷ volume.",
            sums_of_all(("base_volume", "quote_volume"), AVERAGE_PRICE),
            unit=AS_QUOTED,
            empty="no trade",
        ),
        stat(
            "Trades",
            "Number of trades in this time range.",
            sums_of_all(("trade_count",), "r.trade_count"),
            unit="short",
            empty="no trade",
        ),
        stat(
            "Turnover",
            "Sum of price × quantity, in the quote asset.",
            sums_of_all(("quote_volume",), "r.quote_volume"),
            unit="short",
            decimals=2,
            empty="no trade",
        ),
        gauge(
            "Taker imbalance",
            "(bought − sold) ÷ volume, by the side that took the price: 1 all were buyers in a hurry, −1"
            " sellers.",
            sums_of_all(VOLUMES, TAKER_IMBALANCE),
            unit="none",
            decimals=2,
            bounds=(-1, 1),
            steps=((None, "red"), (-0.2, "text"), (0.2, "green")),
            empty="no trade",
        ),
        stat(
            "Largest trade",
            f"Worth of the largest single trade of the last {SIZES_SPAN} of this range, in the quote asset.",
            LARGEST,
            unit="short",
            decimals=2,
            empty="no trade",
        ),
    ),
)
_FLOW_ROW: Final = Row(
    "Flow",
    (
        lines(
            "Bought and sold",
            "Volume of each window by the side that took the price, in the base asset; sold counts"
            " downwards.",
            FLOW,
            unit="short",
            bars=True,
            stacked=True,
            width=16,
            height=9,
            empty=_NO_TRADES,
        ).colored(bought="green", sold="red"),
        lines(
            "Sum of the flow",
            "Bought less sold since the left edge, in the base asset: rising while takers buy.",
            SUM_OF_FLOW,
            unit="short",
            steps=SIGN,
            lines_at_steps=True,
            width=8,
            height=9,
            empty=_NO_TRADES,
        ),
        lines(
            "Taker imbalance",
            "(bought − sold) ÷ volume of each window.",
            sums_over_time(VOLUMES, TAKER_IMBALANCE, "imbalance", "filter(fn: (r) => r.base_volume > 0.0)"),
            unit="none",
            decimals=2,
            steps=SIGN,
            lines_at_steps=True,
            bounds=(-1, 1),
            width=8,
            empty=_NO_TRADES,
        ),
        lines(
            "Average price",
            "Volume-weighted price of each window.",
            sums_over_time(
                ("base_volume", "quote_volume"),
                "r.quote_volume / r.base_volume",
                "vwap",
                "filter(fn: (r) => r.base_volume > 0.0)",
            ),
            unit=AS_QUOTED,
            width=8,
            empty=_NO_TRADES,
        ),
        lines(
            "Trades",
            "Number of trades of each window.",
            sums_over_time(("trade_count",), "r.trade_count", "trades"),
            unit="short",
            bars=True,
            width=8,
            empty=_NO_TRADES,
        ),
    ),
)
_SINGLE: Final = Row(
    "Single trades",
    (
        columns(
            "Sizes",
            "How many trades were worth how much (price × quantity, in powers of ten of the quote asset),"
            f" by the side that took the price; of the last {SIZES_SPAN} of this range at most.",
            SIZES,
            along="size",
            unit="short",
            width=10,
            height=12,
            empty=_NO_TRADES,
        ).colored(bought="green", sold="red"),
        table(
            "Tape",
            f"The newest {TAPE_ROWS} trades of the last {TAPE_SPAN} of this range. Side: who took the price.",
            TAPE,
            unit=AS_QUOTED,
            width=14,
            height=12,
            empty=_NO_TRADES,
        )
        .overriding("_time", **cell("dateTimeAsIso", displayName="time"))
        .overriding("quantity", **cell(AS_QUOTED))
        .overriding("worth", **cell(AS_QUOTED, decimals=8))
        .overriding("trade_id", **cell("none", displayName="id"))
        .overriding(
            "side",
            **cell(
                "none",
                custom__cellOptions={"type": "color-text"},
                mappings=[
                    {
                        "type": "value",
                        "options": {
                            "bought": {"text": "bought", "color": "green", "index": 0},
                            "sold": {"text": "sold", "color": "red", "index": 1},
                        },
                    }
                ],
            ),
        ),
    ),
)

BOARD: Final = Dashboard(
    "trades",
    "Trades",
    "Every trade of one symbol: tape, flow, taker imbalance and sizes.",
    "now-15m",
    "5s",
    (EXCHANGE, SYMBOL),
    (_NOW, _FLOW_ROW, _SINGLE),
)
