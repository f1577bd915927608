"""The latest metrics of services, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest

from cryptostream.run import metrics_tail
from cryptostream.run.metrics_tail import LatestMetrics, MetricsTail
from cryptostream.run.proof.checks import Result, Series, Status, check_services
from cryptostream.run.proof.outcome import classify
from producers.candle_audit import CandleAudit
from shared.ledger import LedgerSeries, ledger_record
from shared.messages import AS_TRADES_SAY, encode
from shared.topics import LEDGER, METRICS
from tests.builders import NOW_MS, kline


def said(service: str, pid: int, instance: str = "0") -> dict[str, Any]:
    return {"service": service, "instance": instance, "pid": pid}


def test_the_last_word_of_a_dead_process_is_not_that_of_the_one_after_it() -> None:
    metrics = LatestMetrics()
    metrics.receive(said("producer", 41), 100.0)
    assert metrics.ages_s(104.0, 41) == {"producer": 4.0}
    assert metrics.ages_s(104.0, 42) == {} == metrics.ages_s(104.0, None)
    metrics.receive(said("producer", 42), 105.0)
    assert metrics.ages_s(106.0, 42) == {"producer": 1.0}


def test_each_service_of_a_process_has_spoken_for_itself() -> None:
    metrics = LatestMetrics()
    metrics.receive(said("consumer-trades", 7), 1.0)
    metrics.receive(said("consumer-book", 6), 2.0)
    assert metrics.ages_s(3.0, 7) == {"consumer-trades": 2.0}
    assert metrics.of("consumer-book") == (2.0, said("consumer-book", 6))


def test_a_process_that_was_started_again_and_has_not_begun_leaves_unknown_what_it_missed() -> None:
    (result,) = check_services(("producer",), {}, restarted=True)
    assert result.status is Status.UNKNOWN
    assert "was restarted" in result.detail


def test_what_processes_count_from_0_on_is_added_up_over_those_that_have_ended() -> None:
    metrics = LatestMetrics()
    for pid, bars in ((41, 3), (41, 10), (42, 2), (43, 700)):
        metrics.receive({**said("producer", pid), "gauges": {"compared_bars": bars}}, 1.0)
    metrics.receive({**said("consumer", 42), "gauges": {"compared_bars": 100}}, 1.0)
    metrics.receive({**said("producer", 44), "gauges": None}, 1.0)
    metrics.receive({**said("producer", 45), "gauges": {"compared_bars": "many"}}, 1.0)
    metrics.receive({**said("producer", 46), "gauges": ["compared_bars"]}, 1.0)
    # 43 is another run's, on the same broker.
    assert metrics.compared_bars({41, 42, 44, 45, 46, 47}) == 12


class Records:
    """In place of the tail of the topics: what a test puts there."""

    waiting: list[tuple[str, bytes]] = []  # noqa: RUF012

    def __init__(self, *_: Any, **__: Any) -> None:
        self.waiting.clear()

    unread: dict[str, str] = {}  # noqa: RUF012

    def poll(self, _timeout_s: float) -> Iterator[tuple[str, bytes]]:
        taken = list(self.waiting)
        self.waiting.clear()
        return iter(taken)


def tail(monkeypatch: pytest.MonkeyPatch, *, several: bool) -> MetricsTail:
    monkeypatch.setattr(metrics_tail, "TopicTail", Records)
    return MetricsTail("nowhere", memory=True, several=several)


def entry(exchange: str, kind: Any, ids: range, stream: Any = "trades", detail: str = "") -> bytes:
    series = LedgerSeries(exchange, "BTC-USD", stream)
    times = {"event_time_ms": ids[-1] * 1000, "received_time_ms": 1, "source": "stream"}
    return encode(ledger_record(series, kind, ids[0], ids[-1], detail=detail, **times))  # type: ignore[arg-type]


def report(instance: str, messages: int) -> bytes:
    fields = {"messages_per_s": 1.0, "lag_messages": 0, "lag_seconds": 0.0, "dead_letters": 0}
    return orjson.dumps({**said("producer", 1, instance), **fields, "messages": messages, "freshness": []})


def test_the_same_symbol_on_two_exchanges_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    both = tail(monkeypatch, several=True)
    for exchange, last in (("binance", 9), ("coinbase", 5)):
        for kind in ("expected", "stored"):
            Records.waiting.append((LEDGER, entry(exchange, kind, range(1, last + 1))))
    Records.waiting.append((LEDGER, entry("binance", "uncarried", range(1, 3), "book", "refused")))
    both.poll(0.0)
    trades = Series("BTC-USD", "trades")
    assert (both.entered("binance"), both.entered("coinbase")) == ({trades: 9}, {trades: 5})
    assert (both.newest_ms("binance"), both.newest_ms("coinbase")) == (9_000, 5_000)
    assert [len(both.uncarried(name)) for name in ("binance", "coinbase")] == [1, 0]
    assert {series.exchange for series in both.claims("coinbase")} == {"coinbase"}
    assert both.first_trades("kraken") == {} == both.entered("kraken")
    assert [(row.symbol, row.exchange, row.expected) for row in both.ledger] == [
        ("binance:BTC-USD", "binance", 9),
        ("coinbase:BTC-USD", "coinbase", 5),
    ]


def test_one_exchange_is_not_named_in_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    one = tail(monkeypatch, several=False)
    Records.waiting.append((LEDGER, entry("binance", "expected", range(1, 3))))
    one.poll(0.0)
    assert [row.symbol for row in one.ledger] == ["BTC-USD"]


class Audited:
    """Seconds of one trade each at 100, whose bars close at other prices than that, but for the last."""

    def __init__(self, closes: Sequence[str]) -> None:
        audit = CandleAudit(("1s",))
        audit.begin(NOW_MS)
        for number, close in enumerate(closes):
            open_ms = NOW_MS + number * 1_000
            audit.note_trade(number, ("100", "1", True))
            audit.receive_bar(
                kline(
                    interval="1s",
                    open_time_ms=open_ms,
                    close_time_ms=open_ms + 999,
                    **dict.fromkeys(("open", "high", "low"), "100"),
                    close=close,
                    base_volume="1",
                    quote_volume="100",
                    trade_count=1,
                    taker_buy_base_volume="0",
                    taker_buy_quote_volume="0",
                    first_trade_id=number,
                    last_trade_id=number,
                )
            )
        self.last_ms = NOW_MS + (len(closes) - 1) * 1_000
        self.events = [event for _, event in audit.check(lambda *_: False)]
        self.compared = audit.compared

    def entries(self, *, corrected: bool = False) -> list[tuple[str, bytes]]:
        """What is on the topic, of bars that were all stored."""
        ranges: list[tuple[Any, int, int, str | None]] = [
            ("expected", NOW_MS, self.last_ms, None),
            ("stored", NOW_MS, self.last_ms, None),
            *((event.kind, event.first, event.last, event.detail) for event in self.events),
        ]
        if corrected:
            ranges += [("revised", event.first, event.last, AS_TRADES_SAY) for event in self.events]
        series = LedgerSeries("binance", "BTC-USD", "klines", "1s")
        times: dict[str, Any] = {"event_time_ms": 1, "received_time_ms": 1, "source": "stream"}
        return [
            (LEDGER, encode(ledger_record(series, kind, first, last, detail=detail, **times)))
            for kind, first, last, detail in ranges
        ]


def test_bars_that_their_trades_contradict_are_a_fault_of_the_run_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audited = Audited(["777"] * 5)
    assert (audited.compared, len(audited.events)) == (5, 5)
    one = tail(monkeypatch, several=False)
    Records.waiting.extend(audited.entries())
    one.poll(0.0)
    outcome = classify(one.ledger, [Result("BTC-USD klines 1s", Status.OK)], [], checked="5 of 5 bars")
    assert (outcome.exit_code, outcome.line) == (1, "NOT COMPLETE")
    assert outcome.faults == (
        f"BTC-USD klines 1s: 5 differ from their trades: open times {NOW_MS}–{audited.last_ms}",
    )


@pytest.mark.parametrize(("closes", "corrected"), [(["100"] * 5, False), (["777"] * 5, True)])
def test_bars_that_were_right_or_are_corrected_are_no_fault_of_the_run(
    monkeypatch: pytest.MonkeyPatch, closes: list[str], *, corrected: bool
) -> None:
    one = tail(monkeypatch, several=False)
    Records.waiting.extend(Audited(closes).entries(corrected=corrected))
    one.poll(0.0)
    outcome = classify(one.ledger, [Result("BTC-USD klines 1s", Status.OK)], [], checked="5 of 5 bars")
    assert (outcome.exit_code, outcome.faults) == (0, ())


def test_each_exchanges_producers_report_and_restart_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    both = tail(monkeypatch, several=True)
    Records.waiting.extend(((METRICS, report("binance", 7)), (METRICS, report("kraken", 8))))
    both.poll(0.0)
    found = both.metrics("producer", "kraken")
    assert found is not None and found[1]["messages"] == 8
    assert both.metrics("producer", "coinbase") is None
    views = both.services({"producers-kraken": 2, "producers-binance": 0})
    assert [view.restarts for view in views] == [0, 2]


def test_events_that_are_not_counted_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one = tail(monkeypatch, several=False)
    Records.waiting += [(LEDGER, entry("binance", "lost", range(5, 6)).replace(b'"last":5', b'"last":4'))]
    Records.waiting += [(LEDGER, b"{"), (METRICS, b"{")]
    one.poll(0.0)
    ledger, metrics = one.check_read()
    assert (ledger.status, metrics.status) == (Status.UNKNOWN, Status.OK)
    assert "2 of its events" in ledger.detail


def test_what_was_not_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one = tail(monkeypatch, several=False)
    assert one.at_end
    monkeypatch.setattr(Records, "unread", {METRICS: "nothing came"})
    assert not one.at_end
    assert [each.status for each in one.check_read()] == [Status.OK, Status.UNKNOWN]
