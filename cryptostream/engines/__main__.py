"""`python -m cryptostream.engines [kafka] [influxd]`: fetch the engines and say where they are."""

from __future__ import annotations

import sys

from cryptostream.engines.fetch import fetch_influxd, fetch_kafka
from shared.arguments import Parser
from shared.command import guarded

_FETCHERS = {"kafka": fetch_kafka, "influxd": fetch_influxd}


def main() -> int:
    parser = Parser(prog="cryptostream.engines", description="Get real Kafka and InfluxDB.")
    parser.add_argument("engines", nargs="*", metavar="kafka|influxd", help="default: both")
    asked = parser.parse_args().engines or list(_FETCHERS)
    for name in asked:
        if name not in _FETCHERS:
            parser.error(f"{name}: no such engine; choose from {', '.join(_FETCHERS)}")
        print(f"{name:8}{_FETCHERS[name](print)}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
