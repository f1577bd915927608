"""Alert rules. Each fires for every series that stays above its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana import boards
from grafana.counters import increase
from grafana.flux import pipe
from grafana.model import Json
from grafana.queries.alerts import LAG_GROWTH, LOST, SILENCE, STALE, STORE_TIME, UNCARRIED, UNSYNCED, each
from grafana.render import DATASOURCE, panel_id


@dataclass(frozen=True)
class Rule:
    """One alert rule.

    Attributes:
        summary: one line; `{{ $labels.x }}` and `{{ $values.value }}` are filled in.
        labels: tags of the query's series.
        above: threshold of a series.
        wait: how long a series must be above it.
        no_data: state without any series: "Alerting" or "OK".
        shown_in: dashboard and panel of the figure.
        window_s: time range of the query.
    """

    uid: str
    title: str
    summary: str
    description: str
    flux: str
    labels: tuple[str, ...]
    above: float
    wait: str
    severity: str
    shown_in: tuple[str, str]
    no_data: str = "OK"
    window_s: int = 600


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "feed-stale",
        "Feed stale",
        "{{ if $labels.symbol }}{{ $labels.stream }} of {{ $labels.exchange }} {{ $labels.symbol }} late by"
        " {{ humanizeDuration $values.value.Value }}{{ else }}Nothing of any feed is in the store{{ end }}",
        "Quotes and books come every second, bars when they close. Look whether the exchange has halted the"
        " symbol, whether its producer is heard (Pipeline, Health), and what `cryptostream doctor` says. A"
        " symbol or interval that was taken out of the settings is reported for a day: silence it.",
        STALE,
        ("exchange", "symbol", "stream"),
        above=60,
        # Longer than a start of all services, during which the newest points are from before the last stop.
        wait="2m",
        severity="critical",
        shown_in=("pipeline", "Socket → store"),
        no_data="Alerting",
    ),
    Rule(
        "book-unsynced",
        "Book not synced",
        "The book of {{ $labels.exchange }} {{ $labels.symbol }} has not been synced for"
        " {{ humanizeDuration $values.value.Value }}",
        "A missed update or a broken connection, and no new snapshot since: usually REST refuses or is"
        " slow. While it lasts no figures of the book are stored, so none is wrong.",
        UNSYNCED,
        ("exchange", "symbol"),
        above=30,
        wait="30s",
        severity="warning",
        shown_in=("order-book", "State of all books"),
    ),
    Rule(
        "stream-uncarried",
        "Stream not carried",
        "{{ $labels.stream }} of {{ $labels.exchange }} {{ $labels.symbol }} not carried for"
        " {{ humanizeDuration $values.value.Value }}",
        "The exchange has what its stream does not bring, by the word of bars, quotes or REST. Bars and"
        " trades are fetched over REST meanwhile; the book is not exact. `cryptostream ledger` and `/readyz`"
        " of the producer say why. It ends by itself when a connection brings the stream again.",
        UNCARRIED,
        ("exchange", "symbol", "stream"),
        above=0,
        # The next connection may carry it again.
        wait="1m",
        severity="critical",
        shown_in=("pipeline", "Ledger by series"),
    ),
    Rule(
        "something-lost",
        "Something is lost",
        '{{ printf "%.0f" $values.value.Value }} ids of {{ $labels.exchange }} {{ $labels.symbol }}'
        " {{ $labels.stream }} are lost",
        "In the last 24 h the exchange issued, by its ids or its clock, what the store does not have, or not"
        " yet. `cryptostream ledger` names the"
        " ids, `cryptostream repair` asks for them again; the alert ends when they are stored, or a day old.",
        LOST,
        ("exchange", "symbol", "stream"),
        above=0,
        wait="3m",
        severity="critical",
        shown_in=("pipeline", "Ledger by series"),
    ),
    Rule(
        "lag-growing",
        "Lag is growing",
        "{{ $labels.service }} {{ $labels.instance }} fell behind by"
        " {{ humanizeDuration $values.value.Value }} in five minutes",
        "The consumer reads more slowly than records arrive. Look at the store's latency and at CPU; add"
        " replicas of this consumer (`--scale`), up to the number of partitions.",
        LAG_GROWTH,
        ("service", "instance"),
        above=10,
        wait="2m",
        severity="warning",
        shown_in=("pipeline", "Lag in seconds"),
    ),
    Rule(
        "dead-letters",
        "Dead letters arrive",
        '{{ $labels.service }} {{ $labels.instance }} put {{ printf "%.0f" $values.value.Value }} records'
        " aside in ten minutes",
        "Records that break their contract. `cryptostream dead-letters list` shows them with their reasons;"
        " update what was wrong, then `cryptostream dead-letters replay`.",
        pipe(increase("dead_letters"), *each("service", "instance")),
        ("service", "instance"),
        above=0,
        wait="0s",
        severity="warning",
        shown_in=("pipeline", "Dead letters over time"),
    ),
    Rule(
        "store-slow",
        "Store is slow",
        'The store takes {{ printf "%.0f" $values.value.Value }} ms for a batch of {{ $labels.exchange }}'
        " {{ $labels.stream }}",
        "Time from a consumer's reading to the store's acknowledgement, 95th percentile, mean of five"
        " minutes. Nothing is lost: consumers wait, and their lag grows. Look at InfluxDB's CPU, memory and"
        " disk.",
        STORE_TIME,
        ("exchange", "stream", "instance"),
        above=2000,
        wait="2m",
        severity="warning",
        shown_in=("pipeline", "Socket → store"),
    ),
    Rule(
        "service-silent",
        "Service is silent",
        "{{ if $labels.service }}{{ $labels.service }} {{ $labels.instance }} was last heard"
        " {{ humanizeDuration $values.value.Value }} ago{{ else }}No report of any service is in the"
        " store{{ end }}",
        "Every service reports each second. See the container's log. If all are silent, the ledger's"
        " consumer is the one that is down: all reports come through it. A service that was taken away is"
        " reported for a day: silence it.",
        SILENCE,
        ("service", "instance"),
        above=60,
        wait="2m",
        severity="critical",
        shown_in=("pipeline", "Health"),
        no_data="Alerting",
    ),
)


def provisioning() -> Json:
    """The file of the rules for Grafana's provisioning."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "pipeline",
                "folder": "CryptoStream",
                "interval": "30s",
                "rules": [_rule(rule) for rule in RULES],
            }
        ],
    }


def _rule(rule: Rule) -> Json:
    uid, panel = rule.shown_in
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "fires",
        "for": rule.wait,
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "isPaused": False,
        "dashboardUid": uid,
        "panelId": panel_id(boards.BY_UID[uid], panel),
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "description": rule.description},
        "data": [
            {
                "refId": "series",
                "datasourceUid": DATASOURCE["uid"],
                "relativeTimeRange": {"from": rule.window_s, "to": 0},
                "model": {"refId": "series", "query": rule.flux, "intervalMs": 10000, "maxDataPoints": 1000},
            },
            _expression(
                "value",
                {"type": "reduce", "expression": "series", "reducer": "last", "settings": {"mode": "dropNN"}},
            ),
            _expression(
                "fires",
                {
                    "type": "threshold",
                    "expression": "value",
                    "conditions": [{"evaluator": {"type": "gt", "params": [rule.above]}}],
                },
            ),
        ],
    }


def _expression(ref: str, model: Json) -> Json:
    return {
        "refId": ref,
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": ref, "datasource": {"type": "__expr__", "uid": "__expr__"}, **model},
    }
