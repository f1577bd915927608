"""Order book: spread, depth, imbalance, and whether the book is synced."""

from __future__ import annotations

from typing import Final

from grafana.book_state import IN_STEP, SPANS, newest_of_book, spans_table, unsynced_spans
from grafana.choices import EXCHANGE, SYMBOL
from grafana.flux import (
    AGE_S,
    THIS_EXCHANGE,
    THIS_SYMBOL,
    TICKS,
    WIDE,
    before,
    frame,
    pipe,
    read,
    series,
    windows,
    with_columns,
)
from grafana.model import Annotation, Dashboard, Query, Row, figure
from grafana.panels import AGES, AS_QUOTED, SIGN, SPREADS, gauge, lines, stat, states

_NO_BOOK: Final = "No synced book in this time range: see the state below, and Pipeline"
_LEVELS: Final = "the best 20 levels"


def _over_time(measurement: str, function: str, *fields: str) -> Query:
    flux = pipe(*read(TICKS, measurement, fields, THIS_SYMBOL), windows(function), WIDE, *frame(*fields))
    return Query(flux, ("_time", *fields))


# An unsynced point has no other field.
_SYNCED: Final = (*read(TICKS, "book", ("synced",), THIS_SYMBOL, span=before("1d")), "last()")
_STATES: Final = pipe(
    *read(TICKS, "book", ("synced",), THIS_EXCHANGE),
    "toInt()",
    # An unsynced moment must show in windows of any width.
    windows("min"),
    *series("symbol"),
)

_NOW: Final = Row(
    "$symbol now",
    (
        stat(
            "State",
            "Synced: every change of the book since its snapshot has been applied, and no update id is"
            " missing. Otherwise no figure is shown rather than a wrong one.",
            figure(pipe(*_SYNCED, "toInt()", *frame("_value"))),
            unit="none",
            mappings=IN_STEP,
            color="background",
            empty="no book",
        ),
        stat(
            "Age",
            "Time since the last point of the book; one a second is written while it is synced.",
            figure(pipe(*_SYNCED, with_columns(_value=AGE_S), *frame("_value"))),
            unit="s",
            decimals=1,
            steps=AGES,
            empty="no book",
        ),
        stat(
            "Mid",
            "Middle between best bid and best ask.",
            newest_of_book("mid"),
            unit=AS_QUOTED,
            empty="no book",
        ),
        stat(
            "Spread",
            "Best ask less best bid, in ten-thousandths of the mid price.",
            newest_of_book("spread_bps"),
            unit="suffix: bp",
            decimals=5,
            steps=SPREADS,
            empty="no book",
        ),
        gauge(
            "Imbalance",
            f"(bid depth − ask depth) ÷ their sum over {_LEVELS}: 1 only buyers wait, −1 only sellers.",
            newest_of_book("imbalance"),
            unit="none",
            decimals=2,
            bounds=(-1, 1),
            steps=((None, "red"), (-0.3, "text"), (0.3, "green")),
            empty="no book",
        ),
        stat(
            "Widest spread",
            "Largest spread of a window in this time range, in ten-thousandths of the mid price.",
            figure(pipe(*read(TICKS, "book", ("spread_bps",), THIS_SYMBOL), "max()", *frame("_value"))),
            unit="suffix: bp",
            decimals=5,
            steps=SPREADS,
            empty="no book",
        ),
    ),
)
_PRICES: Final = Row(
    "$symbol prices and depth",
    (
        lines(
            "Bid, ask, mid",
            "Best prices of the verified book. Where the lines end the book was not synced.",
            _over_time("book", "last", "bid", "mid", "ask"),
            unit=AS_QUOTED,
            width=24,
            height=9,
            empty=_NO_BOOK,
        ),
        lines(
            "Spread",
            "Mean of each window, in ten-thousandths of the mid price.",
            _over_time("book", "mean", "spread_bps"),
            unit="suffix: bp",
            bounds=(0, None),
            empty=_NO_BOOK,
        ),
        lines(
            "Imbalance",
            f"Of {_LEVELS}, mean of each window: above 0 more is bid than asked.",
            _over_time("book", "mean", "imbalance"),
            unit="none",
            decimals=2,
            steps=SIGN,
            lines_at_steps=True,
            bounds=(-1, 1),
            empty=_NO_BOOK,
        ),
        lines(
            "Depth",
            f"Quantity that waits on each side, summed over {_LEVELS}, in units of the base asset.",
            _over_time("book", "mean", "bid_depth", "ask_depth"),
            unit="short",
            bounds=(0, None),
            empty=_NO_BOOK,
        ),
        lines(
            "Quantity at the best prices",
            "What best bid and best ask are good for, from the stream of quotes (ten a second at most).",
            _over_time("quote", "mean", "bid_quantity", "ask_quantity"),
            unit="short",
            bounds=(0, None),
            empty="No quotes in this time range: see Pipeline",
        ),
    ),
)
_STATE: Final = Row(
    "Which books can be believed",
    (
        states(
            "State of all books",
            "Green: synced. Red: an update was missed or the connection broke. The last state goes on until"
            " the next point; whether points still come is told by their age above, and by Pipeline.",
            Query(_STATES, ("_time", "_value"), ("symbol",)),
            name="${__field.labels.symbol}",
            mappings=IN_STEP,
            width=12,
            empty="No books in this time range",
        ),
        spans_table(
            f"From the loss of a book to its next point, all symbols, the newest {SPANS}. Lost changes cannot"
            " be asked for again: a span ends with a new snapshot. Its cause is in the ledger: `cryptostream"
            " ledger`.",
            unsynced_spans(THIS_EXCHANGE),
            width=12,
            height=6,
        ),
    ),
)

_MARK: Final = Annotation(
    "Book not synced",
    "red",
    Query(
        unsynced_spans(THIS_SYMBOL).flux
        + "\n  |> map(fn: (r) => ({time: r._time, timeEnd: time(v: int(v: r._time) + int(v: r.seconds *"
        " 1000000000.0))," + ' text: "book of " + r.symbol + " not synced"}))',
        ("time", "timeEnd", "text"),
    ),
)

BOARD: Final = Dashboard(
    "order-book",
    "Order book",
    "Spread, depth and imbalance of one symbol's verified order book, and whether it can be believed.",
    "now-15m",
    "5s",
    (EXCHANGE, SYMBOL),
    (_NOW, _PRICES, _STATE),
    (_MARK,),
)
