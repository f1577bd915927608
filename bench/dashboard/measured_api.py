"""The API, which also writes what waits for each client, every 50 ms: a line of JSON each.

python -m bench.dashboard.measured_api FILE [ARGUMENTS OF api]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import orjson

from api import service
from api.__main__ import main
from api.live import Live

_EVERY_S: Final = 0.05


class MeasuredLive(Live):
    """Says what its clients hold."""

    path: Path

    async def run(self) -> None:
        noting = asyncio.create_task(self._note())
        try:
            await super().run()
        finally:
            noting.cancel()

    async def _note(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            while True:
                held = [each["pending_bytes"] for each in self.clients()]
                file.write(orjson.dumps([self.now_ms(), held]) + b"\n")
                await asyncio.sleep(_EVERY_S)


if __name__ == "__main__":
    MeasuredLive.path = Path(sys.argv[1])
    service.Live = MeasuredLive  # type: ignore[attr-defined]
    sys.exit(main(sys.argv[2:]))
