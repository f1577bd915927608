"""The real exchange simulator and the real producer in virtual time, without Kafka: the world's own test.

`python -m tests.simulation.rehearsal SEED [SECONDS]` prints what happened as JSON; equal seeds
print equal lines.
"""

from __future__ import annotations

from tests.simulation import sandbox

sandbox.enter()

import asyncio  # noqa: E402
import hashlib  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import Any  # noqa: E402

import orjson  # noqa: E402

from producers.assignment import Assignment  # noqa: E402
from producers.service import ProducerService  # noqa: E402
from shared.kafka import KafkaClients  # noqa: E402
from shared.settings import Settings  # noqa: E402
from simulator.protocols.registry import EXCHANGES  # noqa: E402
from simulator.server.app import Simulator, SimulatorOptions  # noqa: E402
from tests.simulation.tasks import Background  # noqa: E402
from tests.simulation.world import WALL_MS, World  # noqa: E402

SYMBOL = "BTCUSDC"
PORT = 9_443


class Recorder:
    """A producer client that takes everything at once."""

    def __init__(self, records: list[tuple[str, bytes, bytes]]) -> None:
        self._records = records
        self._reports: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._reports)

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any = None) -> None:
        self._records.append((topic, key, value))
        if on_delivery is not None:
            offset = len(self._records)
            place = SimpleNamespace(partition=lambda: 0, offset=lambda: offset)
            self._reports.append(lambda: on_delivery(None, place))

    def poll(self, _timeout: float) -> int:
        reports, self._reports = self._reports, []
        for report in reports:
            report()
        return len(reports)

    def flush(self, timeout: float) -> int:
        return self.poll(timeout)

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={})


def rehearse(seed: int, seconds: float) -> dict[str, Any]:
    """Carry a market for some virtual seconds; the producer is killed at a random step now and then."""
    world = World(seed)
    chance = random.Random(seed)
    records: list[tuple[str, bytes, bytes]] = []
    made: Any = lambda _config: Recorder(records)  # noqa: E731
    kafka = KafkaClients(made, made, made)
    address = f"127.0.0.1:{PORT}"
    settings = Settings(
        symbols=(SYMBOL,),
        intervals=("1s", "1m"),
        binance_ws_url=f"ws://{address}",
        binance_rest_url=f"http://{address}",
        kafka_bootstrap_servers="simulated:9092",
        warmup_bars=0,
    )

    async def exchange() -> int:
        market = EXCHANGES["binance"].world((SYMBOL,), seed, WALL_MS, 1.0)
        await Simulator(market, SimulatorOptions(port=PORT)).start()
        await asyncio.get_running_loop().create_future()
        return 0

    def produce() -> Any:
        assignment = Assignment((SYMBOL,), ("1s", "1m"), memory_broker=True)
        return ProducerService(settings, assignment, kafka=kafka, background=Background).run()

    async def supervise() -> dict[str, Any]:
        world.process("exchange").run(exchange)
        deadline_s = world.now_s() + seconds
        codes: list[int | None] = []
        while world.now_s() < deadline_s:
            producer = world.process("producer")
            producer.last_step = chance.randint(500, 20_000)
            producer.run(produce)
            try:
                await asyncio.wait_for(producer.exited.wait(), deadline_s - world.now_s())
            except TimeoutError:
                producer.kill()
            codes.append(producer.exit_code)
            await asyncio.sleep(chance.uniform(0, 0.5))
        return {
            "exit_codes": codes,
            "records": len(records),
            "handles": world.loop.handles_run,
            "fingerprint": world.loop.fingerprint,
            "content": hashlib.sha256(repr(records).encode()).hexdigest()[:16],
        }

    outcome = world.run(supervise())
    world.loop.stop()
    return outcome


if __name__ == "__main__":
    begun_s = sandbox.real_cpu()
    found = rehearse(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 30.0)
    sys.stdout.write(orjson.dumps(found | {"cpu_s": round(sandbox.real_cpu() - begun_s, 2)}).decode() + "\n")
    sys.stdout.flush()
    # What was killed must not run its `finally` even now.
    os._exit(0)
