"""Where a trade's time goes from its record to `Hub.publish`: each stage alone, without broker or threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from api.hub import Hub
from api.limits import Limits
from bench.dashboard.pacer import trade
from bench.dashboard.tap import TAGS
from consumers.enrich.trades import TradeEnricher
from consumers.tap.open_bars import OpenBars
from consumers.tap.port import Arrived, Filled, Source
from consumers.tap.records import BadRecords, Decoder, RawRecord
from consumers.tap.series import LiveSeries, live_kinds
from consumers.tap.trades import TradeTap
from shared.topics import TRADES

_SERIES: Final = LiveSeries("trade", TAGS)
# What comes in a turn of 10 ms at 2,000 messages a second, and what comes while catching up.
BATCHES: Final = (20, 1_000)


def measure(count: int, size: int) -> dict[str, float]:
    """µs a record of each stage, in batches of `size`."""
    records = [RawRecord(TRADES, 0, number, trade(number)) for number in range(count)]
    batches = [records[first : first + size] for first in range(0, count, size)]

    bare_us, _ = _each(batches, lambda batch: [orjson.loads(record.value or b"") for record in batch])
    decoded_us, decoded = _each(batches, Decoder(TradeEnricher().decode, BadRecords()).decode)
    messages = [[(at.partition, at.offset, told) for at, told in batch] for batch in decoded]
    enricher = TradeEnricher()
    enriched_us, _ = _each(messages, lambda batch: enricher.receive(batch, 0))
    tap_us, given = _each(batches, TradeTap(TAGS, whole=True, bad=BadRecords()).receive)
    bars = OpenBars(lambda _: None)
    bars.begin((*TAGS, "1m"))
    told = [[message for _, message in batch] for batch in decoded]
    open_us, _ = _each(told, lambda batch: bars.trade(TAGS, batch))
    hub = _viewed_hub()
    hub_us, _ = _each(
        [[Arrived(*one) for one in batch] for batch in given], lambda turn: hub.publish(turn, 0)
    )
    return {
        "orjson.loads": bare_us,
        "decoding with its checks": decoded_us - bare_us,
        "values and sums": enriched_us,
        "rows of the tap": tap_us - decoded_us - enriched_us,
        "open bar": open_us,
        "hub": hub_us,
    }


def _each(batches: Sequence[Any], work: Callable[[Any], Any]) -> tuple[float, list[Any]]:
    """µs a record, and what was made."""
    began_s = time.process_time()
    made = [work(batch) for batch in batches]
    took_s = time.process_time() - began_s
    return took_s / sum(map(_records, batches)) * 1e6, made


def _records(batch: Any) -> int:
    return len(batch[0].rows) if isinstance(batch[0], Arrived) else len(batch)


def _viewed_hub() -> Hub:
    hub = Hub(live_kinds(()), Limits())
    client = hub.join()
    wish = {"id": 1, "series": "trade", "exchange": TAGS[0], "symbol": TAGS[1]}
    hub.receive(client, orjson.dumps({"subscribe": [wish]}), 0.0)
    hub.publish([Filled(_SERIES, Source(TRADES, 0, "000000"), (), 0, 0)], 0)
    return hub
