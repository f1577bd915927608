from __future__ import annotations

from shared.topics import LEDGER, declared_topics


def test_topics_follow_the_intervals() -> None:
    names = {topic.name for topic in declared_topics(("1m", "4h"))}
    assert {"market.klines.1m", "market.klines-live.4h", "pipeline.indicator-state.1m"} <= names
    assert not any(name.endswith(".1s") for name in names)


def test_retention_is_the_contracts() -> None:
    day_ms = 86_400_000
    retention = {topic.name: topic.retention_ms for topic in declared_topics(("1s", "1m"))}
    assert retention["market.klines.1s"] == 30 * day_ms
    assert retention["market.klines.1m"] == -1
    assert retention["market.klines-live.1m"] == 3_600_000
    assert retention["market.trades"] == 7 * day_ms
    assert retention["pipeline.ledger"] == -1


def test_state_and_progress_are_compacted_in_small_segments_and_the_broker_stamps_the_time() -> None:
    for topic in declared_topics(("1m",)):
        config = topic.config()
        assert config["message.timestamp.type"] == "LogAppendTime"
        compacted = topic.name.startswith(
            ("pipeline.indicator-state", "pipeline.progress", "pipeline.ledger-snapshot")
        )
        assert (config["cleanup.policy"] == "compact") == compacted
        if topic.name == LEDGER:  # its consumer deletes, and only whole segments are freed
            assert config["segment.bytes"] == str(64 * 2**20)
        else:
            assert config.get("segment.bytes") == (str(16 * 2**20) if compacted else None)
