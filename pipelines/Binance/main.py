"""The flow `market-snapshot`, once: at the server of PREFECT_API_URL, else without any server.

python pipelines/Binance/main.py
SNAPSHOT_SYMBOLS=BTCUSDT,SOLUSDT python pipelines/Binance/main.py
"""

from __future__ import annotations

import sys

from pipelines.Binance.scripts import take_one_slot

if __name__ == "__main__":
    sys.exit(take_one_slot(sys.argv[1:], str(__doc__)))
