from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.completeness import CompletenessLedger
from cryptostream import cli
from cryptostream.commands import repair
from cryptostream.repair.fetch import (
    Known,
    Repair,
    backfill_events,
    correction_events,
    may_replace,
    missing,
    pages,
)
from producers.exchanges.rest_port import PAGE
from shared.dead_letters import DeadLetter, origin_of
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import check
from shared.settings import load_settings
from shared.trade_ids import number
from tests.builders import NOW_MS, kline, ledger

NEVER = -(2**63)


def known(
    *stored: tuple[int, int], found: list[tuple[int, int]] | None = None, expired: int = NEVER
) -> Known:
    return Known(IdRanges(stored), IdRanges([(90, 91)]), None if found is None else IdRanges(found), expired)


def test_without_a_store_the_ledgers_word_counts() -> None:
    assert missing(1, 100, known((1, 50), (60, 89))) == IdRanges([(51, 59), (92, 100)])


def test_what_is_claimed_and_not_there_is_missing_too() -> None:
    assert missing(1, 89, known((1, 89), found=[(1, 10), (20, 89)])) == IdRanges([(11, 19)])


def test_what_the_store_let_expire_is_not_fetched_again() -> None:
    assert missing(1, 89, known((1, 30), found=[(25, 89)], expired=20)) == IdRanges([(21, 24)])


def test_a_range_that_ends_before_it_begins_is_empty() -> None:
    assert not missing(5, 4, known())


@given(st.sets(st.integers(0, 20_000), max_size=60))
def test_pages_cover_all_ids_in_order_and_are_never_longer_than_an_answer(ids: set[int]) -> None:
    asked = list(pages(IdRanges((number, number) for number in ids)))
    assert all(last - first < PAGE for first, last in asked)
    assert all(before[1] < after[0] for before, after in pairwise(asked))
    assert ids <= {number for first, last in asked for number in range(first, last + 1)}
    # No request begins or ends with what nobody misses.
    assert {edge for page in asked for edge in page} <= ids


def test_a_stored_bar_that_is_wrong_is_fetched_again() -> None:
    stored = replace(known((1, 89), found=[(1, 89)]), wrong=IdRanges([(7, 8)]))
    assert missing(1, 89, stored) == IdRanges([(7, 8)])
    assert missing(1, 89, replace(stored, expired=7)) == IdRanges([(8, 8)]), "the store no longer has it"


def test_what_rest_has_takes_the_place_of_a_wrong_bar_only_if_its_trades_say_so() -> None:
    bar = kline(close="100.0", quote_volume="5.00000001", trade_count=1)
    assert may_replace(bar, 6, {7: None})
    assert may_replace(bar, 7, {7: "trades say close 100; quote_volume 5"}), "it may round each product"
    for said in (None, "trades say close 101", "trades say close 100; trades 4 to 5 are in no bar"):
        assert not may_replace(bar, 7, {7: said})


def test_a_bar_that_was_published_again_as_its_trades_have_it_is_entered_as_corrected() -> None:
    bar, series = kline(), LedgerSeries("binance", "BTCUSDC", "klines", "1m")
    open_ms = bar["open_time_ms"]
    completeness = CompletenessLedger()
    wrong = ledger(
        stream="klines",
        interval="1m",
        kind="revised",
        first=open_ms,
        last=open_ms,
        count=1,
        detail="trades say close 1",
    )
    for event in (*backfill_events([bar]), wrong):
        completeness.receive(event)
    assert completeness.account(series).wrong()
    for event in correction_events(series, [bar]):
        check("ledger", event)
        completeness.receive(event)
    assert not completeness.account(series).wrong()


def test_near_holes_share_a_request_and_a_long_one_has_several() -> None:
    assert list(pages(IdRanges([(1, 2), (900, 905), (5_000, 7_100)]))) == [
        (1, 905),
        (5_000, 5_999),
        (6_000, 6_999),
        (7_000, 7_100),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["klines", "--from", "2026-01-01", "--to", "2026-01-02"], "INTERVAL: missing; choose from"),
        (
            ["klines", "7m", "--from", "2026-01-01", "--to", "2026-01-02"],
            "unknown interval '7m'; choose from 1s",
        ),
        (["trades", "1m", "--from", "1", "--to", "2"], "trades have none"),
        (["klines", "1m", "--from", "1", "--to", "2"], "klines are named by times"),
        (["trades", "--from", "1", "--to", "2026-01-02"], "two of a kind"),
        (["trades", "--from", "2", "--to", "1"], "not before --to"),
        (["trades", "--from", "yesterday", "--to", "2026-01-02"], "'yesterday' is not a time"),
        (["trades", "--from", "2026-01-02", "--to", "2026-01-01"], "not before --to"),
        (["trades", "--from", "1", "--to", "2"], "KAFKA_BOOTSTRAP_SERVERS: not set"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_one_line(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    assert cli.main(["repair", "BTCUSDC", *words]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("symbols", "name", "expected"),
    [
        ("BTCUSDC,kraken:BTC/USD", "BTC/USD", ("kraken", "BTC/USD")),
        ("BTCUSDC", "kraken:eth/usd", ("kraken", "ETH/USD")),
        ("kraken:BTC/USD", "BTCUSDC", ("binance", "BTCUSDC")),
    ],
)
def test_a_series_is_that_of_one_exchange(symbols: str, name: str, expected: tuple[str, str]) -> None:
    settings = load_settings(symbols=symbols, exchange="binance")
    for ends in (("1", "2"), ("2026-01-01", "2026-01-02")):
        words = Namespace(
            symbol=name, stream="trades", interval=None, first=ends[0], last=ends[1], indicators=False
        )
        span = repair.asked_of(words, settings).span
        assert (span.exchange, span.symbol) == expected
        assert span.holds(LedgerSeries(*expected, "trades"))
        assert not span.holds(LedgerSeries("coinbase", expected[1], "trades"))


class Rejecting:
    """An exchange all of whose rows break the contract."""

    def __init__(self, reject: Callable[[str, str, str, bytes], None]) -> None:
        self._reject = reject

    async def time_ms(self) -> int:
        return NOW_MS

    async def statuses(self, _symbols: Sequence[str]) -> dict[str, str]:
        return {}

    async def trades(self, symbol: str, _first: int, _last: int, _now_ms: int) -> tuple[list[Any], int]:
        self._reject("rest:trades", symbol, "why", b"{}")
        return [], 0

    async def klines(self, symbol: str, *_asked: Any) -> list[Any]:
        self._reject("rest:klines", symbol, "why", b"[]")
        return []


@pytest.mark.parametrize(
    ("series", "ids", "newest_trade"),
    [
        (LedgerSeries("binance", "BTCUSDC", "trades"), (3, 9), 9),
        (LedgerSeries("binance", "BTCUSDC", "trades"), (number(2, 3), number(2, 9)), number(2, 9)),
        (LedgerSeries("binance", "BTCUSDC", "klines", "1m"), (3, 9), -1),
    ],
)
def test_rejected_rows_keep_the_numbering_that_was_asked_for(
    series: LedgerSeries, ids: tuple[int, int], newest_trade: int
) -> None:
    letters: list[DeadLetter] = []
    publisher: Any = SimpleNamespace(send_dead_letter=letters.append, flush_now=lambda _within_s: None)

    async def run() -> None:
        repairing = Repair(load_settings(), series, publisher)
        await repairing.close()
        rest: Any = Rejecting(repairing._reject)
        repairing.rest = rest
        await repairing.run(IdRanges([ids]))

    asyncio.run(run())
    assert [origin_of(letter.headers).newest_trade for letter in letters] == [newest_trade]
