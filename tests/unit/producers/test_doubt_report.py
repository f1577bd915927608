from __future__ import annotations

from producers.doubt_report import DoubtReport
from shared.messages import CARRIED_AGAIN


def test_doubts_are_reported_after_a_delay_then_once_a_minute_and_when_they_are_over() -> None:
    report = DoubtReport()

    def at(now_ms: int, *, over: bool = False) -> str | None:
        event = report.report(1_000, now_ms, 3, over=over, ended=False)
        return None if event is None else event.detail

    assert at(10_000) is None
    assert (at(16_000) or "").endswith("3 are held")
    assert at(70_000) is None
    assert (at(76_000) or "").endswith("3 are held")
    assert (at(77_000, over=True) or "").endswith(CARRIED_AGAIN)
    assert at(78_000, over=True) is None


def test_short_doubts_are_not_reported_but_at_the_end_all_are() -> None:
    report = DoubtReport()
    assert report.report(None, 5_000, 0, over=True, ended=True) is None
    assert report.report(1_000, 5_000, 1, over=True, ended=False) is None
    event = report.report(1_000, 5_000, 1, over=False, ended=True)
    assert event is not None and (event.first, event.last) == (1_000, 5_000)
