"""Pipeline: losses, freshness, lag, silent services."""

from __future__ import annotations

from typing import Final

from grafana.book_state import SPANS, spans_table, unsynced_spans
from grafana.choices import EXCHANGES
from grafana.flux import OF_EXCHANGES
from grafana.model import Dashboard, Panel, Query, Row
from grafana.panels import AGES, PLAIN, ZERO_IS_GOOD, Step, cell, lines, stat, state_names, states, table
from grafana.queries.pipeline import (
    DEAD_LETTERS,
    DEAD_LETTERS_OVER_TIME,
    HEALTH,
    HOPS_NOW,
    LEDGER_BY_SERIES,
    LOST,
    REPAIRS,
    UP,
    hop,
    ledger_count,
    of_services,
)

_NO_LEDGER: Final = "No ledger rows in this time range: does the ledger's consumer run?"
_NO_SERVICE: Final = "No service has reported in this time range: does the ledger's consumer run?"
_SERVICE: Final = "${__field.labels.service} ${__field.labels.instance}"
_FRESH: Final = ((None, "green"), (1000, "yellow"), (5000, "red"))


def _ledger_stat(
    title: str, field: str, description: str, steps: tuple[Step, ...] = PLAIN, color: str = "value"
) -> Panel:
    return stat(
        title,
        description,
        LOST if field == "lost" else ledger_count(field),
        unit="short",
        steps=steps,
        color=color,
        empty="no ledger",
        height=5,
    )


def _hop(name: str, title: str, description: str) -> Panel:
    return lines(
        title,
        f"{description} 95th percentile of ten seconds, of the slowest instance; live data only.",
        hop(name),
        unit="ms",
        steps=_FRESH,
        lines_at_steps=True,
        name="${__field.labels.stream}",
        bounds=(0, None),
        width=6,
        empty="No latencies in this time range: nothing came by stream",
    )


def _of_services(
    title: str, description: str, query: Query, *, unit: str, steps: tuple[Step, ...] = PLAIN
) -> Panel:
    return lines(
        title,
        description,
        query,
        unit=unit,
        steps=steps,
        lines_at_steps=steps is not PLAIN,
        name=_SERVICE,
        bounds=(0, None),
        width=8,
        height=9,
        empty=_NO_SERVICE,
    )


_LEDGER: Final = Row(
    "Nothing is lost: the ledger",
    (
        _ledger_stat(
            "Lost",
            "lost",
            "Trades and bars of this time range that the exchange issued and the store does not have:"
            " expected − stored − halted − offline, id by id; without the newest two minutes, of which some"
            " is still on its way. Must be 0. If not: `cryptostream ledger` names the ids, `cryptostream"
            " repair` asks for them again.",
            ZERO_IS_GOOD,
            "background",
        ),
        _ledger_stat("Expected", "expected", "Trades and bars that the exchange is known to have issued."),
        _ledger_stat("Stored", "stored", "Trades and bars that the store has acknowledged."),
        _ledger_stat(
            "Filled over REST",
            "backfilled",
            "Of the stored ones, those that did not come by stream: history at the first start, holes after.",
            ((None, "text"), (1, "blue")),
        ),
        _ledger_stat("Exchange closed", "halted", "Bars of times in which the exchange was halted: no loss."),
        _ledger_stat(
            "Came twice",
            "duplicates",
            "Records that came more than once; the store keeps one of each.",
            ((None, "text"), (1, "blue")),
        ),
        table(
            "Ledger by series",
            "The same counts for each stream of each symbol; lost ones last column but one.",
            LEDGER_BY_SERIES,
            unit="short",
            width=14,
            height=9,
            sort_by="lost",
            descending=True,
            empty=_NO_LEDGER,
        ).overriding("lost", **cell("short", steps=ZERO_IS_GOOD)),
        lines(
            "Gaps and repairs",
            "What did not come by stream, by the minute it belongs to: `backfilled` was fetched over REST"
            " (at a first start also history), `lost` could not be had.",
            REPAIRS,
            unit="short",
            bars=True,
            stacked=True,
            width=10,
            height=9,
            empty=_NO_LEDGER,
        )
        .but(interval="1m")
        .colored(lost="red", backfilled="blue"),
    ),
)
_FRESHNESS: Final = Row(
    "Freshness",
    (
        _hop(
            "socket",
            "Exchange → socket",
            "From the exchange's event time to our socket (negative: clocks differ).",
        ),
        _hop("kafka", "Socket → Kafka", "From our socket to the broker's acknowledgement."),
        _hop("consumed", "Socket → consumer", "From our socket to the consumer that read it from Kafka."),
        _hop("stored", "Socket → store", "From our socket to the store's acknowledgement."),
        table(
            "Latencies now",
            "Percentiles of the last ten seconds that were reported, of the slowest instance.",
            HOPS_NOW,
            unit="ms",
            height=8,
            empty="No latencies in the last five minutes: nothing came by stream",
        )
        .overriding("p50", **cell("ms", steps=_FRESH, decimals=1))
        .overriding("p95", **cell("ms", steps=_FRESH, decimals=1))
        .overriding("p99", **cell("ms", steps=_FRESH, decimals=1)),
    ),
)
_RATES: Final = Row(
    "Rates and lag",
    (
        _of_services(
            "Messages",
            "Messages a second, of each service.",
            of_services("messages_per_s", "mean"),
            unit="mps",
        ),
        _of_services(
            "Lag in messages",
            "Records in Kafka that a consumer has not read yet. It may jump at a start; it must come down"
            " again.",
            of_services("lag_messages", "max"),
            unit="short",
        ),
        _of_services(
            "Lag in seconds",
            "How long ago the newest record was received that a consumer has read, while others wait behind"
            " it.",
            of_services("lag_seconds", "max"),
            unit="s",
            steps=AGES,
        ),
    ),
)
_TROUBLE: Final = Row(
    "Dead letters and books",
    (
        stat(
            "Dead letters",
            "Records put aside in this time range because they broke their contract. None is gone:"
            " `cryptostream dead-letters list` shows them with their reasons, `replay` sends them again.",
            DEAD_LETTERS,
            unit="short",
            steps=ZERO_IS_GOOD,
            color="background",
            height=8,
            empty="no service",
        ),
        lines(
            "Dead letters over time",
            "Records put aside in each window, by the service that refused them.",
            DEAD_LETTERS_OVER_TIME,
            unit="short",
            bars=True,
            stacked=True,
            name=_SERVICE,
            width=10,
            empty=_NO_SERVICE,
        ),
        spans_table(
            f"From the loss of an order book to its next point, the newest {SPANS}; a span ends with a new"
            " snapshot.",
            unsynced_spans(OF_EXCHANGES),
            width=10,
        ),
    ),
)
_SERVICES: Final = Row(
    "Services",
    (
        table(
            "Health",
            "Each service and instance heard in the last day: when, and in which part of the ten-second slots"
            " since it was first heard in this range; restarts, asked for or not, since its volume was made."
            " All reports come through Kafka and the ledger's consumer: if all are silent, look there first.",
            HEALTH,
            unit="short",
            width=12,
            height=10,
            empty=_NO_SERVICE,
        )
        .overriding(
            "heard",
            **cell(
                "s", steps=((None, "green"), (30, "yellow"), (60, "red")), decimals=0, displayName="heard ago"
            ),
        )
        .overriding(
            "reported",
            **cell(
                "percentunit",
                steps=((None, "red"), (0.9, "yellow"), (0.98, "green")),
                decimals=0,
                displayName="slots reported",
            ),
        )
        .overriding("messages_per_s", **cell("mps", decimals=1, displayName="messages"))
        .overriding("lag_messages", **cell("short", displayName="lag, messages"))
        .overriding("lag_seconds", **cell("s", steps=AGES, decimals=1, displayName="lag, time"))
        .overriding(
            "dead_letters", **cell("short", steps=ZERO_IS_GOOD, displayName="dead letters since start")
        )
        .overriding("restarts", **cell("short", displayName="restarts")),
        states(
            "Heard",
            "Green: the service reports. A hole: it did not, for half a minute or more.",
            UP,
            name=_SERVICE,
            mappings=state_names((1, "up", "green"), (0, "down", "red")),
            width=12,
            height=10,
            empty=_NO_SERVICE,
        ),
    ),
)

BOARD: Final = Dashboard(
    "pipeline",
    "Pipeline",
    "The ledger (lost must be 0), freshness, rates, lag, gaps and repairs, dead letters, health.",
    "now-1h",
    "10s",
    (EXCHANGES,),
    (_LEDGER, _FRESHNESS, _RATES, _TROUBLE, _SERVICES),
)
