"""What is noted of the progress of a producer's series, and when it is written."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import orjson
import pytest

from producers.effects import Publish
from producers.progress import Acknowledged, BadProgress, Entered, Progress, ProgressLog
from producers.start_positions import OpenHole
from shared.dead_letters import origin_of
from shared.messages import TradeMessage
from shared.topics import LEDGER, PROGRESS, QUOTES, TRADES, klines_topic
from tests.builders import NOW_MS, kline, quote, trade
from tests.unit.producers.shell import SERIES, Shell


@pytest.fixture
def shell() -> Shell:
    return Shell()


def test_progress_above_an_open_hole_names_the_hole(shell: Shell) -> None:
    shell.take(1, 0)
    shell.take(5, 200)
    shell.two_seconds()
    written = shell.broker.progress()
    assert (written.last_id, written.offset, written.stopped) == (5, 1, False)
    assert written.missing == (OpenHole(2, 4, NOW_MS, NOW_MS + 200),)


def test_a_repair_that_is_still_on_its_way_is_not_noted_as_there(shell: Shell) -> None:
    shell.take(1, 0)
    shell.take(5, 200)
    rows = [trade(trade_id=number, source="backfill", event_time_ms=None) for number in (2, 3, 4)]
    shell.runner.run(
        shell.instrument, shell.instrument.receive_trade_rows(2, 4, rows, NOW_MS + 300, now_s=0.0)
    )
    shell.two_seconds()
    assert (shell.broker.progress().last_id, len(shell.broker.progress().missing)) == (5, 1)
    shell.take(6, 400)
    shell.two_seconds()
    assert (shell.broker.progress().last_id, shell.broker.progress().missing) == (6, ())


def test_the_last_word_counts_what_lies_behind(shell: Shell) -> None:
    for number in range(1, 8):
        shell.take(number, number)  # within a tenth of a second: only the first is followed
    shell.two_seconds()
    shell.progress.write_final()
    written = shell.broker.progress()
    assert (written.last_id, written.offset, written.stopped, written.after) == (1, 0, True, 6)


def test_bad_progress_is_put_aside_whole_and_untrue_progress_is_deleted(shell: Shell) -> None:
    shell.rejections.reject_progress(BadProgress(4, 17, SERIES.encode(), b"\x00garbage", "is no progress"))
    shell.progress.forget([SERIES])
    assert shell.broker.sent == [(PROGRESS, SERIES.encode(), None)]
    (letter,) = shell.broker.letters
    assert (letter.key, letter.value) == (SERIES.encode(), b"\x00garbage")
    origin = origin_of(letter.headers)
    assert (origin.source, origin.partition, origin.offset) == (PROGRESS, 4, 17)
    assert origin.reason == "is no progress"
    assert shell.rejections.count == 1
    assert {TRADES, LEDGER}.isdisjoint(to for to, _, _ in shell.broker.sent)


@pytest.mark.parametrize("delivered_first", [True, False])
def test_progress_of_trades_waits_until_it_is_known_where_they_begin(
    shell: Shell, delivered_first: bool
) -> None:
    shell.instrument.begin({}, NOW_MS)
    shell.instrument.await_trade_base()
    shell.take(12, 0)
    if delivered_first:
        shell.two_seconds()
        assert PROGRESS not in [topic for topic, _, _ in shell.broker.sent]
    shell.runner.run(shell.instrument, shell.instrument.listen_after(9, NOW_MS, NOW_MS))
    shell.progress.note_trade_base(shell.instrument, 9)
    shell.two_seconds()
    known = shell.broker.progress()
    assert known.last_id == 12
    assert [(hole.first, hole.last) for hole in known.missing] == [(10, 11)]


def test_trades_filled_while_the_base_is_awaited_lie_after_the_progress_that_waited(shell: Shell) -> None:
    shell.instrument.begin({}, NOW_MS)
    shell.instrument.await_trade_base()
    shell.take(1, 0)
    shell.take(9, 200)
    rows = filled(2, 3, 4, 5, 6, 7, 8)
    answered = shell.instrument.receive_trade_rows(2, 8, rows, NOW_MS + 201, now_s=0.0)
    shell.runner.repairs._run(shell.instrument, answered)
    shell.broker.deliver()
    filled_last = shell.log.newest[SERIES]
    assert (filled_last.last_id, filled_last.offset) == (8, 8)
    shell.runner.run(shell.instrument, shell.instrument.listen_after(0, NOW_MS, NOW_MS))
    shell.progress.note_trade_base(shell.instrument, 0)
    assert shell.log.newest[SERIES] == filled_last, "a broker is asked for the last of all"
    shell.two_seconds()
    known = shell.broker.progress()
    assert (known.last_id, known.offset) == (9, 1)
    assert [(hole.first, hole.last) for hole in known.missing] == [(2, 8)]


def test_many_holes_are_noted_no_more_often_than_they_are_written(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = shell.take_with_holes(500)
    shell.two_seconds()
    looks: list[int] = []
    open_holes = shell.instrument.open_holes

    def counted(interval: str | None, now_ms: int, now_s: float) -> Iterator[OpenHole]:
        looks.append(now_ms)
        return open_holes(interval, now_ms, now_s)

    monkeypatch.setattr(shell.instrument, "open_holes", counted)
    for number in range(100):  # ten seconds, and a broker that acknowledges nothing
        shell.take(newest + 1 + number, 1_000 + number * 100)
    assert len(looks) <= 3  # 500 holes: every five seconds


@pytest.mark.parametrize("holes", [500, 5_001])
def test_a_broker_is_asked_for_the_last_record_though_its_holes_were_not_noted(
    shell: Shell, holes: int
) -> None:
    newest = shell.take_with_holes(holes) + 1
    shell.take(newest, 200)
    shell.broker.deliver()
    assert shell.log.newest[SERIES].last_id == newest


def filled(*numbers: int) -> list[TradeMessage]:
    return [trade(trade_id=number, source="backfill", event_time_ms=None) for number in numbers]


def test_a_broker_is_asked_for_the_last_trade_that_was_filled(shell: Shell) -> None:
    """A power cut may take a page of them, and nothing else."""
    shell.take(1, 0)
    shell.take(9, 200)
    rows = filled(2, 3, 4, 5, 6, 7)
    answered = shell.instrument.receive_trade_rows(2, 8, rows, NOW_MS + 201, now_s=0.0)
    shell.runner.repairs._run(shell.instrument, answered)
    shell.broker.deliver()
    newest = shell.log.newest[SERIES]
    assert (newest.last_id, newest.offset) == (7, 7)
    # It advances nothing: below it trades are missing.
    shell.two_seconds()
    assert shell.broker.progress().last_id == 9


def test_a_broker_is_asked_for_the_last_bar_of_an_answer(shell: Shell) -> None:
    """Bars that were passed over advance nothing, and those of a page are received in one millisecond."""
    times_ms = [NOW_MS + number * 60_000 for number in range(3)]
    bars = [kline(open_time_ms=at, source="backfill", received_time_ms=NOW_MS + 10**6) for at in times_ms]
    shell.runner.repairs._run(shell.instrument, [Publish(klines_topic("1m"), bar) for bar in bars])
    shell.broker.deliver()
    newest = shell.log.newest["binance:BTCUSDC:klines:1m"]
    assert (newest.last_id, newest.offset) == (bars[-1]["open_time_ms"], 2)


@pytest.mark.parametrize("source", ["stream", "backfill"])
def test_a_loss_that_no_client_has_noticed_yet_is_seen_by_the_offset_that_comes_again(
    shell: Shell, source: str
) -> None:
    """A power cut took what the start had read, before the first record of this run was acknowledged."""
    found = Progress(4_000, TRADES, 3, 1, NOW_MS, NOW_MS)
    shell.begin_after(found)
    if source == "stream":
        shell.take(4_001, 0)
    else:
        shell.runner.repairs._run(shell.instrument, [Publish(TRADES, row) for row in filled(3_999)])
    shell.two_seconds()
    assert [before.series[SERIES] for before in shell.progress.unverified] == [found]
    assert PROGRESS not in [topic for topic, _, _ in shell.broker.sent]


def test_trades_that_follow_what_a_start_has_read_raise_no_doubt(shell: Shell) -> None:
    shell.begin_after(Progress(4_000, TRADES, 3, 1, NOW_MS, NOW_MS))
    shell.broker.before = 2
    shell.take(4_001, 0)
    shell.two_seconds()
    assert shell.progress.unverified == ()
    assert shell.broker.progress().last_id == 4_001


def test_an_outage_before_there_is_a_log_is_a_doubt_about_what_the_start_has_found(shell: Shell) -> None:
    progress = shell.new_progress()
    progress.suspect_loss()
    found = Progress(4_000, TRADES, 3, 1, NOW_MS, NOW_MS)
    progress.begin(ProgressLog({}, {SERIES: found}))
    assert progress.unverified == (Acknowledged({SERIES: found}, {}),)


def test_the_last_ledger_event_of_each_partition_is_what_an_outage_may_have_taken(shell: Shell) -> None:
    shell.take(1, 0)
    shell.take(5, 200)
    shell.two_seconds()
    shell.progress.suspect_loss()
    (before,) = shell.progress.unverified
    offset, (key, value) = [(at, (key, value)) for at, key, value in shell.broker.of(LEDGER)][-1]
    assert before.ledger == {3: Entered(offset, crc32(value or b"", crc32(key)))}


def test_a_ledger_event_whose_offset_is_given_away_again_stays_what_has_to_be_proved(shell: Shell) -> None:
    for offset, crc in ((4, 1), (7, 2), (7, 3), (2, 4)):
        shell.progress.entered(3, Entered(offset, crc))
    shell.progress.entered(5, Entered(0, 5))
    assert [before.ledger for before in shell.progress.unverified] == [{3: Entered(7, 2)}]
    shell.progress.entered(3, Entered(8, 6))
    shell.progress.suspect_loss()
    assert shell.progress.unverified[-1].ledger == {3: Entered(8, 6), 5: Entered(0, 5)}


def test_what_follows_trades_that_were_filled_keeps_its_order(shell: Shell) -> None:
    shell.take(1, 0)
    shell.take(5, 200)
    answered = shell.instrument.receive_trade_rows(2, 4, filled(2, 3), NOW_MS + 201, now_s=0.0)
    shell.runner.repairs._run(shell.instrument, answered)
    sent = [
        orjson.loads(value or b"")["trade_id"] for topic, _, value in shell.broker.sent if topic == TRADES
    ]
    assert sent == [1, 5, 2, 3]


def test_a_bar_that_was_passed_over_is_known_to_be_on_its_topic(shell: Shell) -> None:
    late = Publish(klines_topic("1m"), kline(open_time_ms=NOW_MS, source="backfill"))
    shell.runner.run(shell.instrument, [late])
    shell.broker.deliver()
    assert shell.log.newest["binance:BTCUSDC:klines:1m"].last_id == NOW_MS


def test_quotes_have_no_progress(shell: Shell) -> None:
    shell.runner.run(shell.instrument, [Publish(QUOTES, quote())])
    shell.broker.deliver()
    assert shell.log.newest == {}
