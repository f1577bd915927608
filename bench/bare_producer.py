"""The bare loop of the producer path, in a process of its own: what the libraries take for the same frames.

websockets reads, orjson decodes and encodes, confluent-kafka sends (idempotent, lz4), under uvloop and with
the collector's heap frozen, as ours; it waits for all acknowledgements at the end.
`python -m bench.bare_producer URL BROKERS PREFIX BEFORE COUNT` prints a line: when the last record was
acknowledged, and what the thread and the process took since the first frame that counts.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import orjson
import uvloop
from confluent_kafka import Producer
from websockets.asyncio.client import connect

from shared.interpreter import freeze_gc
from shared.kafka import producer_config

_POLLED: Final = 1_000  # records


async def loop(url: str, bootstrap_servers: str, prefix: str, before: int, count: int) -> dict[str, float]:
    """Read `before` frames, then `count`; what the latter took."""
    producer = Producer(producer_config(bootstrap_servers, "bench"))
    topics: dict[str, str] = {}
    thread = process = 0.0
    async with connect(url, proxy=None, compression=None, max_queue=1024, ping_interval=None) as connection:
        for number in range(before + count):
            envelope = orjson.loads(await connection.recv(decode=False))
            if number == before:
                thread, process = time.thread_time(), time.process_time()
            stream = envelope["stream"]
            topic = topics.get(stream)
            if topic is None:
                topic = topics[stream] = f"{prefix}.{stream.replace('@', '.')}"
            value = orjson.dumps(envelope["data"])
            while True:
                try:
                    producer.produce(topic, value, b"key")
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % _POLLED == 0:
                producer.poll(0)
        producer.flush()
        return {
            "end": time.monotonic(),
            "thread_s": time.thread_time() - thread,
            "process_s": time.process_time() - process,
        }


def main() -> None:
    url, bootstrap_servers, prefix, before, count = sys.argv[1:]
    freeze_gc()
    print(orjson.dumps(uvloop.run(loop(url, bootstrap_servers, prefix, int(before), int(count)))).decode())


if __name__ == "__main__":
    main()
