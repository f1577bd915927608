"""Checks of the broker and of its topics."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Final

from cryptostream.doctor.checks import Check, Finding
from cryptostream.topics_admin import TopicReport, check_topics
from shared.kafka_reader import TopicReader
from shared.settings import Settings

_NAMED: Final = 3
_ANSWER_S: Final = 5.0


def checks(settings: Settings) -> list[Check]:
    if not settings.kafka_bootstrap_servers:
        text = "KAFKA_BOOTSTRAP_SERVERS is not set: only `cryptostream run` works, which brings its own"
        unset = (Finding("kafka", "warn", text, "name the broker as host:port"),)
        return [Check("kafka", lambda: unset)]
    return [Check("kafka", lambda: _broker(settings)), Check("kafka topics", lambda: _topics(settings))]


def _broker(settings: Settings) -> Sequence[Finding]:
    with closing(TopicReader(settings.kafka_bootstrap_servers)) as topics:
        count = topics.brokers
        text = f"{settings.kafka_bootstrap_servers} answers, {count} broker{'s' if count != 1 else ''}"
        return (Finding("kafka", "ok", text),)


def _topics(settings: Settings) -> Sequence[Finding]:
    return topic_findings(
        check_topics(settings.kafka_bootstrap_servers, settings.intervals, timeout_s=_ANSWER_S)
    )


def topic_findings(reports: Sequence[TopicReport]) -> list[Finding]:
    """One finding for all missing topics, one for each that differs."""
    missing = [report.name for report in reports if report.status == "missing"]
    differing = [report for report in reports if report.status == "differs"]
    found = []
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        text = f"{len(missing)} of {len(reports)} are missing: {', '.join(missing[:_NAMED])}{more}"
        found.append(Finding("kafka topics", "fail", text, "create them by: cryptostream topics"))
    for report in differing:
        fix = "cryptostream topics --mend" if report.fixable else "make the topic anew, as it says"
        found.append(Finding("kafka topics", "fail", f"{report.name}: {report.detail}", fix))
    if not found:
        found.append(Finding("kafka topics", "ok", f"all {len(reports)} are as declared"))
    return found
