"""Declares the flow to the Prefect server of PREFECT_API_URL, with symbols and schedule of the settings.

docker compose exec prefect-worker python /app/pipelines/Binance/deploy.py
"""

from __future__ import annotations

import sys

from cryptostream.cli import main

if __name__ == "__main__":
    sys.exit(main(["snapshots", "deploy", *sys.argv[1:]]))
