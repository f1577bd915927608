"""What the service of a producer does beside its cores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

import producers.service
from producers.assignment import Assignment
from producers.effects import Effect
from producers.exchanges.rest_port import Listing
from producers.instrument import Instrument
from producers.ledger_writer import MOST_IN_FLIGHT
from producers.publisher import Publisher
from producers.service import ProducerService, _topics
from producers.start_positions import OpenHole, StartPosition
from shared.dead_letters import origin_of
from shared.errors import BrokerError, BrokerUnavailable
from shared.settings import Settings
from shared.topics import LEDGER, LEDGER_SNAPSHOT, METRICS, TRADES
from shared.trade_ids import number
from tests.builders import NOW_MS, trade
from tests.kafka_doubles import clients
from tests.unit.producers.service_bench import Bench, LoopTime, during, in_service
from tests.virtual_time import run_virtually

# A test that is red ends, too.
PATIENCE_S = 10


def test_thousands_of_ledger_events_are_sent_before_the_second_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def sent_after(holes: int) -> int:
        settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
        service = ProducerService(settings, Assignment(("BTCUSDC",), ("1m",), memory_broker=True))
        sent: list[str] = []
        monkeypatch.setattr(service._publisher, "send", lambda topic, *_: sent.append(topic))
        instrument = Instrument("binance", "BTCUSDC", ("1m",), book_interval_ms=1_000, warmup_bars=0)
        service._instruments["BTCUSDC"] = instrument
        service._runner.register(instrument, ("1m",))
        missing = tuple(OpenHole(at, at, 1, 2) for at in range(1, 2 * holes, 2))
        instrument.begin({"binance:BTCUSDC:trades": StartPosition(3 * holes, missing)}, 3)
        service._send_ledger()
        return sent.count(LEDGER)

    assert asyncio.run(sent_after(MOST_IN_FLIGHT)) == 0  # they wait for the second, joined to ranges
    assert asyncio.run(sent_after(MOST_IN_FLIGHT + 1)) == MOST_IN_FLIGHT


def test_instruments_are_told_with_the_metrics_once_the_queue_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def told() -> list[Any]:
        settings = Settings(kafka_bootstrap_servers="127.0.0.1:9")
        service = ProducerService(settings, Assignment(("BTCUSDC",), ("1m",), memory_broker=True))
        sent: list[Any] = []
        congested = iter((True, False, False))
        monkeypatch.setattr(Publisher, "congested", property(lambda _: next(congested)))
        monkeypatch.setattr(
            service._publisher, "send", lambda topic, _key, value: sent.append((topic, orjson.loads(value)))
        )
        instrument = Instrument("binance", "BTCUSDC", ("1m",), book_interval_ms=1_000, warmup_bars=0)
        instrument.receive_status("BREAK", 1)
        monkeypatch.setattr(service._rest, "listing", {"BTCUSDC": Listing("BTC", "USDC", "0.01", None)}.get)
        for _ in range(3):
            service._telemetry.publish([instrument], [])
        await service._rest.close()
        return sent

    first, second = asyncio.run(told())
    assert first[0] == second[0] == METRICS
    ((told_of,), again) = first[1]["instruments"], second[1]
    assert (told_of["symbol"], told_of["status"], told_of["tick"]) == ("BTCUSDC", "BREAK", "0.01")
    assert told_of["bars_from"] == "native" and "instruments" not in again


async def _one() -> int:
    return 1


@pytest.mark.parametrize("lie_ms", [0, 3_600_000])
def test_one_wrong_answer_of_the_exchanges_clock_does_not_say_what_the_stream_has_brought(
    monkeypatch: pytest.MonkeyPatch, lie_ms: int
) -> None:
    brought: list[int] = []

    class Followed:
        trouble, symbols = "", ("BTCUSDC",)

        def brought_to_s(self, now_s: float) -> float:
            return now_s - 1.0

        def watch(self, *_: object, brought_to_ms: int) -> list[Effect]:
            brought.append(brought_to_ms)
            return []

    async def watch() -> int:
        service = ProducerService(
            Settings(kafka_bootstrap_servers="127.0.0.1:9"),
            Assignment(("BTCUSDC",), ("1m",), memory_broker=True),
        )
        stand: Any = Followed()
        service._feeds, service._instruments = [stand], {"BTCUSDC": stand}
        monkeypatch.setattr(service._runner, "run", lambda *_: None)
        monkeypatch.setattr(service._telemetry, "log_uncarried", lambda _: None)
        clock = service._clock
        now_ms = clock.now_ms()
        clock.receive(clock.steady_ms(), now_ms)
        clock.receive_event(time.monotonic(), now_ms)
        clock.receive(clock.steady_ms(), now_ms + lie_ms)
        service._watch()
        return now_ms - 1_000

    expected_ms = asyncio.run(watch())
    assert abs(brought[0] - expected_ms) < 500


# -- what is due each second and each minute, in virtual time


def test_each_second_what_is_known_is_written_retried_and_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = in_service(monkeypatch, lambda bench: during(2.5, bench.service._each_second()))
    second = ["_write_ledger", "_retry", "_watch", "_check_queue", "telemetry"]
    assert bench.calls == second * 2


def test_while_kafka_takes_nothing_only_the_queue_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    async def congested(bench: Bench) -> None:
        bench.publisher.congested = True
        await during(1.5, bench.service._each_second())

    assert in_service(monkeypatch, congested).calls == ["_check_queue", "telemetry"]


def test_while_the_exchange_is_paused_nobody_wonders_at_its_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def paused(bench: Bench) -> None:
        bench.service._backpressure.active = True
        await during(1.5, bench.service._each_second())

    assert "_watch" not in in_service(monkeypatch, paused).calls
    assert "_retry" in in_service(monkeypatch, paused).calls


def test_a_full_queue_takes_no_ledger_events_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async def filling(bench: Bench) -> None:
        polling = asyncio.create_task(bench.service._poll())
        for full in (False, True):
            bench.publisher.congested = full
            await asyncio.sleep(0.1)
            bench.calls.append(full)
        polling.cancel()

    calls = in_service(monkeypatch, filling).calls
    assert "_send_ledger" in calls[: calls.index(False)]
    assert "_send_ledger" not in calls[calls.index(False) :]


def test_each_error_of_kafka_raises_a_doubt_about_what_it_has() -> None:
    service = ProducerService(
        Settings(kafka_bootstrap_servers="broker:9092"),
        Assignment(("BTCUSDC",), ("1m",)),
        kafka=clients(producer=lambda _config: SimpleNamespace()),
    )
    assert service._publisher.doubt == service._progress.suspect_loss


class TestProof:
    """What the broker has acknowledged is looked up after it was away."""

    def carried(
        self,
        monkeypatch: pytest.MonkeyPatch,
        delivered: Sequence[int],
        contradicted: Callable[[Any], list[str]],
    ) -> Bench:
        """One second after another the broker has so many records."""

        async def run(bench: Bench) -> None:
            monkeypatch.setattr(bench.service, "_contradicted", contradicted)
            bench.progress.unverified = ({}, {})
            proving = asyncio.create_task(bench.service._prove())
            await asyncio.sleep(0.5)
            for count in delivered:
                bench.publisher.delivered = count
                await asyncio.sleep(1.0)
                bench.calls.append(count)
            await asyncio.sleep(0)
            if not proving.done():
                proving.cancel()
            with suppress(asyncio.CancelledError):
                await proving

        return in_service(monkeypatch, run)

    def test_it_is_asked_once_it_takes_records_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = self.carried(monkeypatch, (0, 5, 5, 6), lambda _: [])
        assert bench.calls == [0, ("verified", 2), 5, 5, ("verified", 2), 6]

    def test_without_an_outage_nobody_asks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def undisturbed(bench: Bench) -> None:
            bench.publisher.delivered = 5
            await during(3.0, bench.service._prove())

        assert in_service(monkeypatch, undisturbed).calls == []

    def test_a_loss_ends_the_producer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(BrokerError, match=r"broker:9092 has lost records of a, b that it had acknowl"):
            self.carried(monkeypatch, (5, 6), lambda _: ["a", "b"])

    def test_a_broker_that_does_not_answer_is_asked_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []

        def answer(unverified: Any) -> list[str]:
            asked.append(unverified)
            if len(asked) == 1:
                raise BrokerUnavailable("no answer")
            return []

        bench = self.carried(monkeypatch, (5, 6, 6), answer)
        assert [call for call in bench.calls if not isinstance(call, int)] == [("verified", 2)]
        assert asked == [({}, {})] * 2


@pytest.mark.parametrize(
    ("period_s", "asked_s"),
    [(60.0, [60, 120, 180, 240]), (120.0, [120, 240]), (210.0, [180]), (211.0, [240])],
)
def test_statuses_are_read_at_the_minute_that_is_next_to_their_period(
    monkeypatch: pytest.MonkeyPatch, period_s: float, asked_s: list[float]
) -> None:
    async def four_minutes(bench: Bench) -> None:
        bench.service._exchange = SimpleNamespace(limits=SimpleNamespace(status_period_s=lambda _: period_s))
        await during(250.0, bench.service._watch_exchange())

    bench = in_service(monkeypatch, four_minutes)
    assert bench.times("statuses") == pytest.approx(asked_s, abs=0.01)
    assert bench.times("clock") == pytest.approx([60, 120, 180, 240], abs=0.01)


def test_memory_that_was_freed_is_given_back_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(producers.service, "give_back", lambda: given.append(LoopTime.monotonic()))

    async def three_minutes(bench: Bench) -> None:
        await during(190.0, bench.service._watch_exchange())

    in_service(monkeypatch, three_minutes)
    assert given == pytest.approx([60, 120, 180], abs=0.01)


def test_a_clock_that_was_set_is_measured_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stepped(bench: Bench) -> None:
        monkeypatch.setattr(bench.service._clock, "stepped", lambda: LoopTime.monotonic() == 7.0)
        await during(68.0, bench.service._watch_exchange())

    assert in_service(monkeypatch, stepped).times("clock") == pytest.approx([7.0, 67.0])


@pytest.mark.parametrize(
    ("statuses", "said"), [({"BTCUSDC": "BREAK"}, "BREAK"), ({}, "DELISTED"), ({"BTCUSDC": "TRADING"}, None)]
)
def test_a_symbol_that_stops_trading_or_is_listed_no_more_is_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    statuses: dict[str, str],
    said: str | None,
) -> None:
    async def two_minutes(bench: Bench) -> None:
        bench.service._instruments["BTCUSDC"] = Instrument(
            "binance", "BTCUSDC", ("1m",), book_interval_ms=1_000, warmup_bars=0
        )
        bench.service._instruments["BTCUSDC"].receive_status("TRADING", 1)
        bench.statuses = statuses
        await during(125.0, bench.service._watch_exchange())

    in_service(monkeypatch, two_minutes)
    assert caplog.messages == ([f"BTCUSDC: the exchange says {said}"] if said else [])


def test_a_dead_letter_says_the_numbering_of_its_symbol_unless_that_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sold(trade_id: int, at_ms: int) -> Any:
        return trade(trade_id=trade_id, trade_time_ms=NOW_MS + at_ms, received_time_ms=NOW_MS + at_ms)

    letters: list[Any] = []
    service = Bench(monkeypatch).service
    rejections = service._rejections
    rejections._send = letters.append

    def rejected() -> int:
        rejections.reject("websocket:btcusdc@trade", "BTCUSDC", "why", b"{}")
        return origin_of(letters[-1].headers).newest_trade

    assert rejected() == -1  # no instrument yet
    instrument = service._instruments["BTCUSDC"] = Instrument(
        "binance", "BTCUSDC", ("1m",), book_interval_ms=1_000, warmup_bars=0
    )
    assert rejected() == -1
    instrument.receive("trade", sold(5_000, 0))
    assert rejected() == 5_000
    instrument.receive("trade", sold(1, 60_000))
    assert rejected() == -1
    instrument.receive_newest_trades([sold(1, 60_000)], NOW_MS + 61_000)
    assert rejected() == number(1, 1)
    rejections.reject("rest:trades", "ETHUSDC", "why", b"{}")
    assert origin_of(letters[-1].headers).newest_trade == -1


@pytest.mark.parametrize(
    ("silent_s", "brought_to_ms"), [(None, None), (0.0, 90_000), (1.5, 88_500), (40.0, 50_000)]
)
def test_a_silent_connection_has_brought_everything_up_to_where_it_fell_silent(
    monkeypatch: pytest.MonkeyPatch, silent_s: float | None, brought_to_ms: int | None
) -> None:
    """By the earliest that the exchange's clock may show, less the silence."""
    watched: list[Any] = []

    async def watch() -> None:
        bench = Bench(monkeypatch)
        monkeypatch.undo()
        monkeypatch.setattr(producers.service, "time", LoopTime)
        service = bench.service
        service._clock = SimpleNamespace(
            exchange_ms=lambda: 95_000, message_ms=lambda: 96_000, least_ms=lambda: 90_000
        )
        service._telemetry = SimpleNamespace(log_uncarried=lambda _: None)
        service._instruments = {
            "BTCUSDC": SimpleNamespace(watch=lambda *at, brought_to_ms: watched.append((*at, brought_to_ms)))
        }
        service._feeds = [
            SimpleNamespace(
                symbols=("BTCUSDC",),
                trouble="slow",
                brought_to_s=lambda now_s: None if silent_s is None else now_s - silent_s,
            )
        ]
        await asyncio.sleep(100.0)
        service._watch()

    run_virtually(watch())
    assert watched == [(100.0, 95_000, 96_000, "slow", brought_to_ms)]


@pytest.mark.parametrize(
    ("symbols", "position"), [(("BTCUSDC",), 1), (("ETHUSDC", "BTCUSDC"), 0), (("XRPUSDC",), 0)]
)
def test_a_process_starts_after_those_of_the_symbols_before_its_own(
    monkeypatch: pytest.MonkeyPatch, symbols: tuple[str, ...], position: int
) -> None:
    async def wait(bench: Bench) -> None:
        service = bench.service
        service._assignment = Assignment(symbols, ("1m",))
        service._exchange = SimpleNamespace(
            limits=SimpleNamespace(start_delay_s=lambda position, *_: 10.0 * position)
        )
        await service._await_turn()
        bench.calls.append(LoopTime.monotonic())

    assert in_service(monkeypatch, wait).calls == [10.0 * position]


def test_a_producer_needs_all_topics_but_those_of_consumers_states() -> None:
    topics = _topics(("1m",))
    assert {TRADES, LEDGER, "market.klines.1m", "market.klines-live.1m"} <= topics
    assert not any(name.startswith("pipeline.indicator-state") for name in topics)
    assert LEDGER_SNAPSHOT not in topics
