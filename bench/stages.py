"""Time of a message in each stage of the producer, on the frames of the producer path.

`make bench ARGS=stages`. Without socket and broker, beside the stages that a bare loop has too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import orjson
from websockets.client import ClientProtocol
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from bench import report
from bench.feed import framed
from bench.frames import INTERVALS, SYMBOL, frames, snapshot
from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.binance.rows import snapshot_of_body
from producers.exchanges.frame_types import StreamMessage
from producers.frames import payload_span
from producers.instrument import Instrument
from shared.arguments import Parser, whole
from shared.interpreter import freeze_gc
from shared.messages import encode

_PIECE: Final = 65_536
_START_MS: Final = 1_800_000_000_000

Stage = Callable[[], object]


def main(arguments: list[str]) -> int:
    """Run it, print the table, write the JSON."""
    parser = Parser(prog="bench stages")
    parser.add_argument("--messages", type=whole, default=60_000, help="messages a round (default 60,000)")
    parser.add_argument("--rounds", type=whole, default=7, help="rounds of each stage, in turn (default 7)")
    asked = parser.parse_args(arguments)
    stages = _stages(list(frames(asked.messages, _START_MS)))
    freeze_gc()
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(asked.rounds):
        for name, stage in stages.items():
            begun = time.perf_counter()
            stage()
            times[name].append((time.perf_counter() - begun) / asked.messages * 1e6)
    report.show(
        f"The producer's stages, µs a message ({asked.rounds} rounds in turn, median and range)",
        ["", "µs"],
        [[name, report.spread(values, 1)] for name, values in times.items()],
    )
    print(f"written: {report.write('stages', {'us': times})}")
    return 0


def _stages(payloads: Sequence[bytes]) -> dict[str, Stage]:
    blob = b"".join(map(framed, payloads))
    pieces = [blob[start : start + _PIECE] for start in range(0, len(blob), _PIECE)]
    parse, parsed = BINANCE.parser(), [_parsed(payload) for payload in payloads]
    return {
        "bare: frames by websockets' parser, without its queue": lambda: _by_library(pieces),
        "bare: orjson reads": lambda: [orjson.loads(payload) for payload in payloads],
        "bare: orjson writes": lambda: [orjson.dumps(message) for _, message in parsed],
        "ours: frames cut out": lambda: _cut(blob),
        "ours: read, translate, check": lambda: [parse(payload, _START_MS) for payload in payloads],
        "ours: sequences, book, ledger": lambda: _step(parsed),
        "ours: written": lambda: [encode(message) for _, message in parsed],
    }


def _parsed(payload: bytes) -> StreamMessage:
    [message] = BINANCE.parser()(payload, _START_MS)
    assert isinstance(message, StreamMessage)
    return message


def _by_library(pieces: Sequence[bytes]) -> None:
    protocol = ClientProtocol(parse_uri("ws://localhost/stream"))
    protocol.state = OPEN
    # As after the handshake: the stream consists of frames.
    protocol.parser = super(ClientProtocol, protocol).parse()
    next(protocol.parser)
    for piece in pieces:
        protocol.receive_data(piece)
        protocol.events_received()


def _cut(blob: bytes) -> list[bytes]:
    position, payloads = 0, []
    while position < len(blob):
        start, position = payload_span(blob, position)
        payloads.append(blob[start:position])
    return payloads


def _step(parsed: Sequence[StreamMessage]) -> None:
    instrument = Instrument(BINANCE.name, SYMBOL, INTERVALS, book_interval_ms=1_000, warmup_bars=0)
    instrument.begin({}, _START_MS)
    for number, (kind, message) in enumerate(parsed):
        instrument.receive(kind, message)
        if not instrument.synced and kind == "depth":
            instrument.receive_snapshot(snapshot_of_body(SYMBOL, snapshot(), _START_MS), _START_MS)
        if number % 25_000 == 0:
            instrument.tick()  # once a second
