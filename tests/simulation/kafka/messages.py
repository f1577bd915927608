"""Records and errors, as confluent-kafka's clients give them."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    TopicPartition,
)

# Topic and partition.
At = tuple[str, int]
Headers = list[tuple[str, bytes]] | None

NOT_LEADER: Final = KafkaError.NOT_LEADER_FOR_PARTITION
# Answers of a broker that passes by themselves.
RETRIABLE: Final = frozenset(
    (
        NOT_LEADER,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
    )
)


class Message:
    """A record, or the error that a consumer gives instead of one; never changed once it is made."""

    __slots__ = ("_at", "_epoch", "_error", "_headers", "_key", "_offset", "_time_ms", "_value")

    def __init__(  # noqa: PLR0917 - called for each record: names would cost a third more
        self,
        at: At,
        offset: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = None,
        time_ms: int | None = None,
        epoch: int | None = None,
        error: KafkaError | None = None,
    ) -> None:
        self._at = at
        self._offset = offset
        self._key = key
        self._value = value
        self._headers = headers
        self._time_ms = time_ms
        self._epoch = epoch
        self._error = error

    def topic(self) -> str:
        return self._at[0]

    def partition(self) -> int:
        return self._at[1]

    def offset(self) -> int | None:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        if self._time_ms is None:
            return TIMESTAMP_NOT_AVAILABLE, 0
        return TIMESTAMP_LOG_APPEND_TIME, self._time_ms

    def leader_epoch(self) -> int | None:
        return self._epoch

    def error(self) -> KafkaError | None:
        return self._error

    def __len__(self) -> int:
        return len(self._value or b"")


class AnsweredPartition(TopicPartition):
    """A partition in an answer, with the error for it: the library's own class cannot be given one."""

    error: KafkaError | None = None  # type: ignore[misc]


def answered(at: At, offset: int, error: int | None = None, metadata: str | None = None) -> TopicPartition:
    """A partition as answers name it."""
    if error is None:
        return TopicPartition(*at, offset) if metadata is None else TopicPartition(*at, offset, metadata)
    partition = AnsweredPartition(*at, offset)
    partition.error = KafkaError(error)
    return partition


def failure(code: int, text: str | None = None, *, fatal: bool = False) -> KafkaException:
    """What a call raises."""
    return KafkaException(error_of(code, text, fatal=fatal))


def error_of(code: int, text: str | None = None, *, fatal: bool = False) -> KafkaError:
    # Any: the published types know the code alone.
    kind: Any = KafkaError
    error: KafkaError = kind(code, text, fatal) if text is not None else kind(code, fatal=fatal)
    return error
