"""How our store's requests to this machine are encoded: the other sides of a comparison do the same."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from consumers.measurements import TRADE, Point, Series
from consumers.stores.factory import open_store
from shared.settings import load_settings


def encoding_to_this_machine() -> str:
    """`gzip` or `identity`, as seen by a server that gets one point."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(self.headers.get("Content-Encoding", "identity"))
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the request is not of interest."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        settings = load_settings(
            store="influxdb", influx_url=f"http://127.0.0.1:{server.server_port}", influx_token="none"
        )
        store = open_store(settings)
        store.write([Point(Series(TRADE, ("binance", "BTCUSDT")), time.time_ns(), (1, 1.0, 1.0, True))])
        store.close()
    finally:
        server.shutdown()
        server.server_close()
    return seen[-1]
