"""Whether the topics of a stream still fit together: each partition of the source needs one of the state.

A record's key decides its partition, and the state of a series lies on the partition number of its source. An
admin who raises a topic sends series away from their state, and their later bars away from the earlier ones:
no consumer can follow that in order (docs/decisions/partitions.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from consumers.streams import Stream


def misfit(stream: Stream, counts: Mapping[str, int]) -> str | None:
    """One line that names both counts and the way out; None if the topics fit.

    Args:
        counts: partitions by topic; topics that are not there are judged elsewhere.
    """
    count = counts.get(stream.topic)
    for topic in (stream.state_topic, stream.live_topic):
        other = counts.get(topic) if topic else None
        if count is not None and other is not None and other < count:
            return (
                f"topic {stream.topic} has {count} partitions and {topic} only {other}: its series have been"
                " sent away from their order and state; stop producers and consumers, then run: "
                f"cryptostream topics --rebuild {stream.topic}"
            )
    return None


def grown(stream: Stream, before: int | None, now: int | None) -> str | None:
    """What to say of a topic without state that was raised while it was read; None if it was not."""
    if before is None or now is None or now <= before or stream.state_topic is not None:
        return None
    said = f"topic {stream.topic} has {now} partitions, and had {before} when this consumer started"
    if stream.name != "trades":
        return f"{said}; following"
    return (
        f"{said}; following, but sums of the minute in which a symbol moved may lack a part: with producers"
        f" and consumers stopped, cryptostream topics --rebuild {stream.topic} makes them whole"
    )
