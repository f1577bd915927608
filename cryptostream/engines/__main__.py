"""`python -m cryptostream.engines [kafka] [influxd]` gets the engines, and says where they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptostream.engines.fetch import fetch_influxd
from cryptostream.engines.kafka import prepare_kafka
from shared.arguments import Parser
from shared.command import run_command

_FETCHERS: Final[Mapping[str, Callable[[], Path]]] = {"kafka": prepare_kafka, "influxd": fetch_influxd}


def main() -> int:
    """Get those that are asked for."""
    parser = Parser(prog="cryptostream.engines", description="Get real Kafka and InfluxDB.")
    parser.add_argument("engines", nargs="*", metavar="kafka|influxd", help="default: both")
    asked = parser.parse_args().engines or list(_FETCHERS)
    for name in asked:
        if name not in _FETCHERS:
            parser.error(f"{name}: no such engine; choose from {', '.join(_FETCHERS)}")
        print(f"{name:8}{_FETCHERS[name]()}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
