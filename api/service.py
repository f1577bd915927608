"""The service put together: the page, history over HTTP, and what is live (docs/dashboard.md)."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from api.app import Parts, build_app
from api.configured import configured_instruments
from api.failures import Failures
from api.guard import require_guarded
from api.history import History
from api.live import Live, limits_of
from api.page import Page
from api.report import Report
from api.server import listening_socket, serve
from api.socket import stream_router
from api.topics import Searches
from consumers.indicators.registry import columns_of
from consumers.stores.factory import open_reader
from consumers.tap.port import OnEvents, Taps
from consumers.tap.series import LiveKind, live_kinds
from consumers.tap.taps import open_taps
from shared.addresses import is_loopback
from shared.arguments import named
from shared.errors import SettingsError, UsageError
from shared.interpreter import freeze_gc
from shared.logs import set_up_logging
from shared.metrics import ServiceMetrics
from shared.settings import Settings, load_settings

log: Final = logging.getLogger(__name__)

# `make web` builds it; the image has it beside the packages.
STATIC: Final = Path(__file__).resolve().parents[1] / "web" / "out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `api`, here and under `cryptostream`."""
    parser.add_argument("--symbols", type=named, help="symbols, like BTCUSDC,ETHUSDC (default: SYMBOLS)")
    parser.add_argument("--intervals", help="kline intervals, like 1s,1m (default: INTERVALS)")
    parser.add_argument(
        "--memory-broker", action="store_true", help="the broker is librdkafka's in-memory one"
    )
    parser.add_argument(
        "--rebuild-from-store",
        action="store_true",
        help="take the state of series not seen before from the store (with --memory-broker only)",
    )
    parser.add_argument(
        "--published-at",
        metavar="ADDRESS",
        help="in a container: the address of the host at which the port is published; at a loopback address"
        " no token is asked for",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM; the exit code."""
    if arguments.rebuild_from_store and not arguments.memory_broker:
        raise UsageError("--rebuild-from-store: a real broker keeps all states; leave it out")
    settings = load_settings(symbols=arguments.symbols, intervals=arguments.intervals)
    set_up_logging(settings.log_level, settings.log_format)
    require_guarded(settings, arguments.published_at)
    if arguments.published_at is not None and is_loopback(arguments.published_at):
        log.info("published at %s alone: no token is asked for", arguments.published_at)
        settings = settings.model_copy(update={"api_token": SecretStr("")})
    if settings.store == "sqlite" and settings.sqlite_path is None:
        raise SettingsError("SQLITE_PATH: not set; name the file of the store, or set STORE=influxdb")
    listener = listening_socket(settings)
    metrics = ServiceMetrics(
        "api", metrics_port=settings.metrics_port, metrics_address=settings.metrics_address
    )
    page = Page(STATIC)
    broker = settings.kafka_bootstrap_servers
    kinds = live_kinds(tuple(column.name for column in columns_of(settings.indicators)))
    configured = configured_instruments(settings)
    history = History(lambda: open_reader(settings), configured)
    searches = Searches(broker, configured) if broker else None
    failures = Failures()
    live = _live(settings, kinds, arguments, failures) if broker else None
    stream = None if live is None else stream_router(live, settings)
    app = build_app(Parts(settings, kinds, history, page, searches=searches, stream=stream))
    beside = None if live is None else lambda: failures.during(live.run())
    freeze_gc()
    try:
        serve(app, beside, settings, listener, Report(metrics, history, live).beat, page=page.built)
    finally:
        history.close()
        if searches is not None:
            searches.close()
    return 0


def _live(
    settings: Settings, kinds: Mapping[str, LiveKind], arguments: argparse.Namespace, failures: Failures
) -> Live:
    def taps(on_events: OnEvents) -> Taps:
        return open_taps(
            settings,
            memory_broker=arguments.memory_broker,
            open_reader=lambda: open_reader(settings),
            rebuild_from_store=arguments.rebuild_from_store,
            on_events=on_events,
            on_failure=failures.tell,
        )

    instance = os.environ.get("INSTANCE", "0")
    return Live(
        taps,
        kinds,
        limits_of(settings),
        configured=configured_instruments(settings),
        most_clients=settings.api_clients,
        instance=instance,
    )
