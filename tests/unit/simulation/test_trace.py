"""The trace tells runs apart."""

from __future__ import annotations

from tests.simulation.trace import Trace


def trace_of(*events: tuple[float, str, str, bytes]) -> Trace:
    trace = Trace()
    for now_s, who, what, part in events:
        trace.event(now_s, who, what, part)
    return trace


def test_equal_events_have_equal_hashes() -> None:
    events = ((1.0, "producer", "produced", b"a"), (1.5, "trades", "stored", b"b"))

    assert trace_of(*events).digest() == trace_of(*events).digest()


def test_order_time_process_and_content_count() -> None:
    events = ((1.0, "producer", "produced", b"a"), (1.0, "trades", "stored", b"b"))
    others = (
        events[::-1],
        (events[0], (1.25, *events[1][1:])),
        (events[0], (1.0, "quotes", "stored", b"b")),
        (events[0], (1.0, "trades", "stored", b"c")),
        events[:1],
    )

    assert len({trace_of(*each).digest() for each in (events, *others)}) == 1 + len(others)


def test_only_the_last_lines_are_kept_and_all_are_hashed() -> None:
    traces = Trace(kept=2), Trace(kept=2)
    for trace, first in zip(traces, ("x", "y"), strict=True):
        for text in (first, "b", "c"):
            trace.line(2.0, "broker", text)

    assert traces[0].lines() == traces[1].lines() == ["    2.000 broker: b", "    2.000 broker: c"]
    assert traces[0].digest() != traces[1].digest()


def test_what_is_left_at_the_end_counts_and_where_it_is_divided() -> None:
    contents = ((b"a", b"bc"), (b"ab", b"c"), (b"abc", None), (b"abc", b""))
    digests = set()
    for parts in contents:
        trace = Trace()
        trace.content(*parts)
        digests.add(trace.digest())

    assert len(digests) == len(contents)
