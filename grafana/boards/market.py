"""Market: candles with indicators, live to the second."""

from __future__ import annotations

from typing import Final

from grafana.bars import NO_BARS, SHOWN_BARS
from grafana.book_state import newest_of_book
from grafana.choices import EXCHANGE, INTERVAL, OVERLAYS, SYMBOL
from grafana.model import Dashboard, Query, Row
from grafana.panels import AGES, AS_QUOTED, RSI_ZONES, SIGN, SPREADS, candles, cell, lines, stat, table
from grafana.queries.market import (
    CANDLES,
    CHANGE,
    CLOSES_IN,
    INTERVALS,
    OPEN_BAR,
    PRICE,
    QUOTE_AGE,
    RSI_NOW,
    SHOWN_IN_TABLE,
    TAKER_SHARE,
    indicators,
)

_LIVE: Final = "The last value belongs to the open bar and may still change."


_NOW: Final = Row(
    "$symbol now",
    (
        stat(
            "Price",
            "Price of the last trade in this time range.",
            PRICE,
            unit=AS_QUOTED,
            empty="no trade",
        ),
        stat(
            "Change",
            f"From the open of the first bar shown (at most {SHOWN_BARS:,} bars back) to the last trade.",
            CHANGE,
            unit="percentunit",
            decimals=2,
            steps=SIGN,
        ),
        stat(
            "Bar closes in",
            "Time left of the open $interval bar. Below −10 s its updates have stopped: see Pipeline.",
            CLOSES_IN,
            unit="s",
            decimals=0,
            steps=((None, "red"), (-10, "text")),
            empty="no open bar",
        ),
        stat(
            "RSI of the open bar",
            "Relative strength index (14 bars) as it would be if the bar closed now. Below 30 oversold,"
            " above 70 overbought.",
            RSI_NOW,
            unit="none",
            decimals=3,
            steps=RSI_ZONES,
            empty="warming up",
        ),
        stat(
            "Spread",
            "Best ask less best bid of the verified order book, in ten-thousandths of the mid price; none"
            " while the book is not synced.",
            newest_of_book("spread_bps"),
            unit="suffix: bp",
            decimals=5,
            steps=SPREADS,
            empty="no book",
        ),
        stat(
            "Age of the quote",
            "Time since the last update of best bid and ask. A liquid symbol has several a second.",
            QUOTE_AGE,
            unit="s",
            decimals=1,
            steps=AGES,
            empty="no quotes",
        ),
    ),
)
_CHART: Final = Row(
    "$symbol $interval",
    (
        candles(
            "Candles and volume",
            f"Bars by open time, with volume and the chosen overlays; at most the newest {SHOWN_BARS:,}."
            " The dot and the shaded span mark the open bar: it and its overlays still change, everything"
            " before is final.",
            Query(CANDLES, ("_time", "open", "high", "low", "close", "base_volume", "open bar")),
            unit=AS_QUOTED,
            height=15,
            empty=NO_BARS,
            color={"mode": "fixed", "fixedColor": "orange"},
        ),
        lines(
            "RSI",
            f"Relative strength index over 14 bars, 0–100; dashed at 30 and 70. {_LIVE}",
            indicators("momentum_rsi"),
            unit="none",
            decimals=3,
            steps=RSI_ZONES,
            lines_at_steps=True,
            bounds=(0, 100),
            empty=NO_BARS,
        ),
        lines(
            "MACD",
            "Difference of the 12- and 26-bar averages, its 9-bar signal, and their distance as bars."
            f" {_LIVE}",
            indicators("trend_macd", "trend_macd_signal", "trend_macd_diff"),
            unit=AS_QUOTED,
            empty=NO_BARS,
        ).overriding("trend_macd_diff", custom__drawStyle="bars", custom__fillOpacity=50),
        lines(
            "Bollinger: place in the bands",
            f"0 at the lower band, 1 at the upper one (20 bars, 2 deviations); beyond them outside. {_LIVE}",
            indicators("volatility_bbp"),
            unit="percentunit",
            steps=((None, "green"), (0, "text"), (1, "red")),
            lines_at_steps=True,
            bounds=(0, 1),
            width=8,
            empty=NO_BARS,
        ),
        lines(
            "Volatility",
            f"Average true range (Wilder, 10 bars of `ta`'s default) in units of the price. {_LIVE}",
            indicators("volatility_atr"),
            unit=AS_QUOTED,
            width=8,
            empty=NO_BARS,
        ),
        lines(
            "Share bought by takers",
            "Part of the bar's volume in which the buyer took the price; above one half buyers were in a"
            f" hurry. {_LIVE}",
            Query(TAKER_SHARE, ("_time", "taker buys")),
            unit="percentunit",
            steps=((None, "red"), (0.5, "green")),
            lines_at_steps=True,
            bounds=(0, 1),
            width=8,
            empty=NO_BARS,
        ),
    ),
)
_ALL: Final = Row(
    "$symbol on all intervals",
    (
        table(
            "Intervals",
            "The open bar of every interval with what its indicators would be if it closed now."
            " `change` is that of the bar so far.",
            Query(INTERVALS, ("interval", "close", "change", *SHOWN_IN_TABLE)),
            unit=AS_QUOTED,
            height=7,
            empty="No open bars: see Pipeline",
        )
        .overriding("change", **cell("percentunit", steps=SIGN, decimals=3))
        .overriding("momentum_rsi", **cell("none", steps=RSI_ZONES, decimals=3, displayName="RSI"))
        .overriding("trend_macd_diff", **cell(AS_QUOTED, steps=SIGN, displayName="MACD histogram"))
        .overriding(
            "volatility_bbp",
            **cell(
                "percentunit",
                steps=((None, "green"), (0, "text"), (1, "red")),
                decimals=3,
                displayName="place in the Bollinger bands",
            ),
        )
        .overriding(
            "trend_adx", **cell("none", steps=((None, "text"), (25, "blue")), decimals=3, displayName="ADX")
        )
        .overriding("volatility_atr", **cell(AS_QUOTED, displayName="ATR")),
    ),
)

BOARD: Final = Dashboard(
    "market",
    "Market",
    "Candles with volume and indicators of one symbol, live to the second; the open bar is marked.",
    "now-3h",
    "1s",
    (EXCHANGE, SYMBOL, INTERVAL, OVERLAYS),
    (_NOW, _CHART, _ALL),
    (OPEN_BAR,),
)
