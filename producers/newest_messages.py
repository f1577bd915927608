"""The newest message of each stream: written for every message, read about once a second. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from producers.stream_health import StreamKey


class NewestMessages(dict[StreamKey, Any]):
    """Messages by stream, None before the first one.

    A lane writes a message's bytes on Kafka (`producers.next_steps`). They are decoded when it is first read,
    and the same object is given from then on; read by `[]` alone, since other methods of dict give the bytes.
    """

    def __getitem__(self, stream: StreamKey) -> Any:
        message = super().__getitem__(stream)
        if type(message) is bytes:
            message = self[stream] = orjson.loads(message)
        return message
