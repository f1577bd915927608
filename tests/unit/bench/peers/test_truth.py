"""The truth of a run is what the simulator issues: its own frames, taken without a fault, are right."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson

from bench.peers.comparison import Span
from bench.peers.truth import truth
from bench.venue_frames import FAR_LEVELS
from simulator.protocols.instants import ms_of
from simulator.protocols.port import Surroundings, Verbatim
from simulator.protocols.registry import EXCHANGES

START_MS = 1_785_767_100_000
SPAN = Span(START_MS, START_MS + 3_000)


def log_of(directory: Path) -> Path:
    entry = {
        "kind": "trade", "symbol": "BTC/USD", "trade_id": 5, "price": "100.10", "quantity": "0.20000",
        "trade_time_ms": START_MS + 1, "buyer_is_maker": True,
    }  # fmt: skip
    late = {**entry, "trade_id": 6, "trade_time_ms": START_MS + 3_000, "buyer_is_maker": False}
    withheld = {"kind": "withheld", "fault": "skip", "stream": "trade", "symbol": "BTC/USD"}
    path = directory / "log"
    path.write_bytes(b"\n".join(orjson.dumps(each) for each in (entry, late, withheld)))
    return path


def test_trades_are_the_logs_with_the_takers_side_and_those_of_the_span_are_due(tmp_path: Path) -> None:
    found = truth("kraken", ["BTC/USD"], seed=3, start_ms=START_MS, log=log_of(tmp_path), span=SPAN)
    assert {key: issued.side for key, issued in found.trades.items()} == {
        ("BTC-USD", "5"): "sell",
        ("BTC-USD", "6"): "buy",
    }
    assert found.trades["BTC-USD", "5"].quantity == Decimal("0.2")
    assert found.due == {"BTC-USD": ["5"]}


def test_the_best_levels_are_those_that_a_book_of_the_simulator_shows_at_each_change(tmp_path: Path) -> None:
    found = truth("kraken", ["BTC/USD"], seed=3, start_ms=START_MS, log=log_of(tmp_path), span=SPAN)
    world = EXCHANGES["kraken"].world(["BTC/USD"], 3, START_MS, 1.0)
    surroundings = Surroundings(lambda: START_MS, lambda _symbol, _rows: None, far_levels=FAR_LEVELS)
    session = world.face(surroundings).session("/v2", "")
    assert session is not None and not isinstance(session, Verbatim)
    request = {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}}
    (_, snapshot) = session.replies(orjson.dumps(request).decode())
    books = {side: {} for side in ("bids", "asks")}  # type: dict[str, dict[Decimal, Decimal]]
    changes = 0

    def apply(text: bytes) -> int:
        (entry,) = orjson.loads(text)["data"]
        for side, levels in books.items():
            for level in entry[side]:
                levels[Decimal(str(level["price"]))] = Decimal(str(level["qty"]))
            kept = sorted((item for item in levels.items() if item[1]), reverse=side == "bids")[:10]
            levels.clear()
            levels.update(kept)
        return ms_of(entry["timestamp"])

    apply(snapshot)
    for event in world.feed.due(START_MS + 500, frozenset(["book@BTC/USD@10"])):
        frame = session.frame(event)
        assert frame is not None
        time_ms = apply(frame)
        bids = tuple(sorted(books["bids"].items(), reverse=True))
        assert found.top("BTC-USD", time_ms) == (bids, tuple(sorted(books["asks"].items())))
        assert time_ms in found.changes_ms["BTC-USD"]
        changes += 1
    assert changes
