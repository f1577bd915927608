"""Kafka → six indicators → InfluxDB by Quix Streams, as its manual shows: `apply(..., stateful=True)` and a
batching sink. Runs in its own environment (bench/quix.py), so it imports nothing of ours.

`python bench/quix_job.py BROKER TOPIC GROUP URL ORG STATE_DIR ENCODING`; the token is in INFLUX_TOKEN, and
ENCODING is gzip or identity: as the other side of the comparison sends its lines.
"""

from __future__ import annotations

import gzip
import math
import os
import sys
from typing import Any

import urllib3
from quixstreams import Application, State
from quixstreams.sinks import BatchingSink, SinkBatch

BAR_FIELDS = (
    "open",
    "high",
    "low",
    "close",
    "base_volume",
    "quote_volume",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
)


def indicators(bar: dict[str, Any], state: State) -> dict[str, Any]:
    """RSI 14, EMA 12, SMA 12, MACD 26/12/9, Bollinger 20/2, ATR 10, as the reference library defines them."""
    past = state.get("past") or {"age": 0, "closes": [], "gain": 0.0, "loss": 0.0, "ranges": []}
    close, high, low = float(bar["close"]), float(bar["high"]), float(bar["low"])
    past["age"] = age = past["age"] + 1
    before = past.get("close", close)
    change = close - before
    closes = past["closes"] = [*past["closes"][-19:], close]
    gain, loss = max(change, 0.0), max(-change, 0.0)
    past["gain"] = past["gain"] + (gain - past["gain"]) / 14 if age > 1 else gain
    past["loss"] = past["loss"] + (loss - past["loss"]) / 14 if age > 1 else loss
    for name, span in (("fast", 12), ("slow", 26)):
        average = past.get(name, close)
        past[name] = average + 2.0 / (span + 1.0) * (close - average)
    reach = max(high, before) - min(low, before) if age > 1 else high - low
    values: dict[str, Any] = {}
    if age >= 14:
        values["momentum_rsi"] = (
            100.0 - 100.0 / (1.0 + past["gain"] / past["loss"]) if past["loss"] else 100.0
        )
    if age >= 12:
        values["trend_ema_fast"] = past["fast"]
        values["trend_sma_fast"] = sum(closes[-12:]) / 12
    if age >= 26:
        line = values["trend_macd"] = past["fast"] - past["slow"]
        signal = past.get("signal", line)
        past["signal"] = signal = signal + 0.2 * (line - signal)
        if age >= 34:
            values["trend_macd_signal"], values["trend_macd_diff"] = signal, line - signal
    if age >= 20:
        mean = sum(closes) / 20
        deviation = math.sqrt(sum((value - mean) ** 2 for value in closes) / 20)
        values["volatility_bbm"] = mean
        values["volatility_bbh"], values["volatility_bbl"] = mean + 2 * deviation, mean - 2 * deviation
    values["volatility_atr"] = 0.0
    if age <= 10:
        past["ranges"] = [*past["ranges"], reach]
        if age == 10:
            values["volatility_atr"] = past["atr"] = sum(past["ranges"]) / 10
    else:
        values["volatility_atr"] = past["atr"] = (past["atr"] * 9 + reach) / 10
    past["close"] = close
    state.set("past", past)
    return {"symbol": bar["symbol"], "time_ms": bar["open_time_ms"], "bar": bar, "values": values}


class InfluxSink(BatchingSink):  # type: ignore[misc]  # not installed beside ours
    """Line protocol in requests of 5,000 points, at each of the application's checkpoints."""

    def __init__(self, url: str, org: str, token: str, encoding: str) -> None:
        super().__init__()
        self._compressed = encoding == "gzip"
        self._http = urllib3.PoolManager()
        self._url = f"{url}/api/v2/write?org={org}&bucket=market&precision=ms"
        self._headers = {"Authorization": f"Token {token}"}
        if self._compressed:
            self._headers["Content-Encoding"] = "gzip"

    def write(self, batch: SinkBatch) -> None:
        for items in batch.iter_chunks(2_500):
            body = "\n".join([_lines(item.value) for item in items]).encode()
            if self._compressed:
                body = gzip.compress(body, 1)
            answer = self._http.request("POST", self._url, body=body, headers=self._headers)
            if answer.status != 204:
                raise RuntimeError(f"InfluxDB answered {answer.status}: {answer.data[:200]!r}")


def _lines(row: dict[str, Any]) -> str:
    """The bar and its indicators, as two points like ours."""
    fields = ",".join([f"{name}={value}" for name, value in row["values"].items()])
    bar, symbol, time_ms = row["bar"], row["symbol"], row["time_ms"]
    prices = ",".join([f"{name}={float(bar[name])}" for name in BAR_FIELDS])
    return (
        f"quix_kline,symbol={symbol} {prices},trade_count={bar['trade_count']}i {time_ms}\n"
        f"quix_indicator,symbol={symbol} {fields} {time_ms}"
    )


def main(arguments: list[str]) -> None:
    """Consume until killed."""
    broker, topic, group, url, org, state_dir, encoding = arguments
    application = Application(
        broker_address=broker,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=state_dir,
        commit_interval=1.0,  # as our checkpoints; it writes at each
        loglevel="WARNING",
    )
    bars = application.topic(topic, value_deserializer="json")
    frame = application.dataframe(bars).apply(indicators, stateful=True)
    frame.sink(InfluxSink(url, org, os.environ["INFLUX_TOKEN"], encoding))
    application.run()


if __name__ == "__main__":
    main(sys.argv[1:])
