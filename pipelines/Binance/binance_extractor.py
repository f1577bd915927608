"""What the exchange says of the symbols now, as JSON lines, without keeping anything.

python pipelines/Binance/binance_extractor.py
"""

from __future__ import annotations

import sys

from pipelines.Binance.scripts import extract

if __name__ == "__main__":
    sys.exit(extract(sys.argv[1:], str(__doc__)))
