"""Named inputs, and a million generated ones: each is a dead letter or right, and good series go on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from consumers.enrich.klines import Indicators
from consumers.streams import enricher_of, streams
from producers.exchanges.frame_types import ControlReply
from shared.dead_letters import MOST_BYTES, Origin, dead_letter, origin_of
from shared.errors import ExchangeError, InvalidMessage
from shared.shown import shown
from tests.builders import event_of
from tests.frames.classify import classify
from tests.frames.corpus import corpus
from tests.frames.generator import Generator
from tests.frames.report import BEGIN, END, written
from tests.frames.run import Outcome, read, work
from tests.frames.stand import Stand, virtual_clocks
from tests.frames.workers import run
from tests.frames.world import SYMBOL
from tests.virtual_time import run_virtually

# A tenth of `make frames`: less than a minute of two processors.
MILLION = 1_000_000
PROCESSES = 2
# Of a producer's container (docker-compose.yml).
CONTAINER_MB = 160
FRAMES, ROWS, RECORDS = corpus("frames"), corpus("rows"), corpus("records")
REPLIES = {name: frame for name, frame in FRAMES.items() if name.startswith("a control reply")}


@pytest.fixture
def in_virtual_time() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    with virtual_clocks():
        yield run_virtually


async def begun() -> Stand:
    stand = Stand(Generator(0))
    await stand.begin()
    await stand.recover()
    return stand


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_named_frame_is_a_bounded_letter_or_a_reply_and_the_series_goes_on(
    frame: bytes, in_virtual_time: Any
) -> None:
    async def play() -> Counter[str]:
        stand, counts = await begun(), Counter[str]()
        before = stand.kafka.letters
        await read(stand, [frame], counts)
        assert stand.kafka.letters - before == counts["frame: wrong"]
        await stand.recover()
        return counts

    counts = in_virtual_time(play())
    assert counts.total() == 1
    assert not counts["frame: right"]


@pytest.mark.parametrize("frame", REPLIES.values(), ids=REPLIES)
def test_a_refusal_is_logged_in_one_short_line(
    frame: bytes, in_virtual_time: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(event_of(frame, 1), ControlReply)

    async def play() -> None:
        stand = await begun()
        caplog.clear()
        await stand.read([frame])

    in_virtual_time(play())
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(line) < 1_000
    assert shown(line) == line


@pytest.mark.parametrize("body", ROWS.values(), ids=ROWS)
def test_a_named_row_of_rest_is_a_bounded_letter(body: bytes, in_virtual_time: Any) -> None:
    async def play() -> None:
        stand = await begun()

        async def send(url: str, parameters: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
            return (
                200,
                {},
                orjson.dumps({"serverTime": stand.world.now_ms}) if url.endswith("/time") else body,
            )

        stand.rest._send = send  # type: ignore[method-assign]
        before = stand.kafka.letters
        with pytest.raises(ExchangeError) as refused:
            await stand.rest.klines(SYMBOL, "1s", 0, 1, 1)
        assert len(str(refused.value)) < 1_000
        assert stand.kafka.letters > before

    in_virtual_time(play())


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_named_record_is_a_bounded_letter_of_a_consumer(record: bytes) -> None:
    (stream,) = streams(("trades",), (), memory_broker=True)
    indicators = cast(Indicators, None)  # trades have none
    enricher = enricher_of(stream, indicators, live_interval_ms=0, rebuilt_from_store=False)
    with pytest.raises(InvalidMessage) as wrong:
        enricher.decode(stream.topic, record)
    assert len(str(wrong.value)) < 1_000
    letter = dead_letter(Origin(str(wrong.value), stream.topic, 0, 1, "consumer-trades"), b"k", record)
    assert letter.value is not None
    assert len(letter.value) <= MOST_BYTES
    assert (origin_of(letter.headers).whole_bytes == len(record)) is (len(record) > MOST_BYTES)


def test_a_million_frames_answers_and_records_end_nothing_and_good_series_go_on() -> None:
    outcome, fault = run(seed=20261128, count=MILLION, processes=PROCESSES)
    assert not fault
    assert outcome.total == MILLION
    assert outcome.worst_s <= 60
    assert outcome.peak_mb < CONTAINER_MB
    kinds = (
        "frame: wrong",
        "frame: right",
        "frame: control",
        "answer: refused",
        "answer: read",
        "record: wrong",
    )
    assert all(outcome.counts[kind] > MILLION // 1_000 for kind in kinds)


def test_the_same_seed_makes_the_same_frames() -> None:
    whole = orjson.loads(FRAMES["NaN"].replace(b"NaN", b"1"))
    one, same, other = (
        [made.broken(orjson.loads(orjson.dumps(whole))) for _ in range(500)]
        for made in (Generator(1), Generator(1), Generator(2))
    )
    assert one == same != other


def test_a_reader_that_lets_a_wrong_frame_pass_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier shares no code with what it checks."""
    monkeypatch.setattr(
        "producers.exchanges.binance.parse.CHECKS_OF_FOREIGN",
        dict.fromkeys(("kline", "trade", "depth", "quote"), lambda _message: None),
    )
    with pytest.raises(AssertionError):
        work(1, 4_000)


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (b"{", "wrong"),
        (b"[]", "wrong"),
        (b'{"result":null,"id":1}', "control"),
        (b'{"e":"serverShutdown"}', "farewell"),
        (b'{"stream":"x@miniTicker","data":{"e":"24hrMiniTicker"}}', "not ours"),
        (b'{"stream":"x@trade","data":{"e":"trade"}}', "wrong"),
        (b'{"stream":"x@bookTicker","data":{"s":"X","u":1,"b":"1","B":"1","a":"0","A":"0"}}', "right"),
    ],
)
def test_the_classifier_knows_the_kinds(frame: bytes, what: str) -> None:
    assert classify(frame, 2**40).what == what


def test_a_result_goes_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    written(str(page), Outcome(Counter({"frame: wrong": 1_234}), series=1, worst_s=7), seed=3)
    text = page.read_text()
    assert "| frame: wrong | 1,234 |" in text
    assert "old" not in text
    assert (text.startswith("before\n"), text.endswith("after\n")) == (True, True)
    with pytest.raises(ValueError, match="has no lines"):
        written(__file__, Outcome(), seed=3)
