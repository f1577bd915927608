"""The flow `market-snapshot`, once: at the server of PREFECT_API_URL, else without any server.

python pipelines/Binance/main.py
SNAPSHOT_SYMBOLS=BTCUSDT,SOLUSDT python pipelines/Binance/main.py
"""

from __future__ import annotations

import asyncio
import os
import sys

from cryptostream.cli import main as cryptostream
from pipelines.snapshots.quiet import quiet


def main() -> int:
    """The exit code: 0 if every row is complete."""
    if not os.environ.get("PREFECT_API_URL"):
        return cryptostream(["snapshots", "run"])
    quiet()
    from pipelines.snapshots.flow import market_snapshot  # noqa: PLC0415 - after the environment is set

    state = asyncio.run(market_snapshot(return_state=True))
    print(f"{state.name}: {state.message}")  # noqa: T201
    return 0 if state.name == "Completed" else 1


if __name__ == "__main__":
    sys.exit(main())
