"""Trades by time, joined by ids; statuses and refusals in Kraken's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
import pytest

from producers.exchanges.kraken.rest import KrakenRest
from producers.exchanges.rest_port import Beside
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from tests.builders import NOW_MS
from tests.unit.producers.exchanges.kraken.rest_host import LAST, Host, time_ns

Result = TypeVar("Result")
BTC = "BTC/USD"
MS = 1_000_000


@pytest.fixture
def host() -> Host:
    return Host()


@asynccontextmanager
async def client(host: Host, rejected: list[Any] | None = None) -> AsyncIterator[KrakenRest]:
    letters = [] if rejected is None else rejected
    async with host.serve():
        # 100 requests a second: tests do not wait.
        rest = KrakenRest(host.url, lambda: NOW_MS, lambda *letter: letters.append(letter), 100.0)
        try:
            yield rest
        finally:
            await rest.close()


def asked(host: Host, ask: Callable[[KrakenRest], Awaitable[Result]], rejected: Any = None) -> Result:
    async def work() -> Result:
        async with client(host, rejected) as rest:
            return await ask(rest)

    return asyncio.run(work())


def ids_of(trades: Any) -> list[int]:
    return [trade["trade_id"] for trade in trades]


def test_missing_trades_are_those_after_the_time_of_the_one_before(host: Host) -> None:
    before_ms = time_ns(150_000) // MS
    found = asked(host, lambda rest: rest.trades_beside(BTC, 150_001, 150_400, 5, Beside(before_ms, None)))
    assert set(range(150_001, 150_401)) <= set(ids_of(found))
    assert [path for path, _ in host.asked] == ["Trades"]
    assert host.asked[0][1]["pair"] == "XBTUSD"


def test_a_hole_of_two_pages_is_joined(host: Host) -> None:
    before_ms = time_ns(150_000) // MS
    found = asked(host, lambda rest: rest.trades_beside(BTC, 150_001, 151_500, 5, Beside(before_ms, None)))
    assert ids_of(found) == list(range(150_001, 151_501))


@pytest.mark.thorough
@pytest.mark.parametrize("first", [1, 2, 77_777, 199_000])
def test_a_trade_is_found_by_its_id_alone(host: Host, first: int) -> None:
    async def ask(rest: KrakenRest) -> Any:
        return await rest.trades(BTC, first, first + 9, 5)

    found, oldest = asked(host, ask)
    assert (ids_of(found), oldest) == (list(range(first, first + 10)), 0)
    assert len(host.asked) <= 20


@pytest.mark.thorough
def test_the_pages_of_a_long_hole_do_not_begin_at_its_beginning_again(host: Host) -> None:
    before = Beside(time_ns(1_000) // MS, None)

    async def ask(rest: KrakenRest) -> int:
        for first in range(1_001, 9_001, 1_000):
            found = await rest.trades_beside(BTC, first, first + 999, 5, before)
            assert ids_of(found) == list(range(first, first + 1_000))
        return len(host.asked)

    assert asked(host, ask) <= 3 * 8


def test_a_trade_before_a_long_quiet_is_found_too(host: Host) -> None:
    burst = {each: (NOW_MS - 18_000_000 + each * 12) * MS for each in range(1, 5_001)}
    host.times = burst | {each: (NOW_MS - 9_600_000 + each * 1_200) * MS for each in range(5_001, 8_001)}
    found, _ = asked(host, lambda rest: rest.trades(BTC, 4_500, 4_510, 5))
    assert set(range(4_500, 4_511)) <= set(ids_of(found))
    requests = [query["since"] for _, query in host.asked]
    assert len(set(requests)) == len(requests) <= 12


def test_ids_that_whole_pages_leave_out_were_never_issued(host: Host) -> None:
    host.gone = {150_003, 150_004}
    begin_ms, end_ms = time_ns(150_002) // MS, time_ns(150_010) // MS + 1
    issued, never = asked(host, lambda rest: rest.issued_trades(BTC, begin_ms, end_ms))
    assert never == [(150_003, 150_004)]
    assert issued == [(150_002, 150_002), (150_005, 150_010)]


def test_a_trade_that_is_earlier_than_the_one_before_it_is_not_called_never_issued(host: Host) -> None:
    begin_ms = NOW_MS - 20_000
    host.times = {each: (begin_ms + each * 1_000) * MS for each in range(1, 11)}
    host.times[5] -= 1_005 * MS
    before, after = Beside(begin_ms + 4_000, None), begin_ms + 6_000

    async def ask(rest: KrakenRest) -> Any:
        found = ids_of(await rest.trades_beside(BTC, 5, 5, 5, before))
        return 5 in found, (await rest.issued_trades(BTC, begin_ms + 4_000, after))

    assert asked(host, ask) == (True, ([(4, 4), (6, 6)], []))


def test_an_id_is_not_called_never_issued_before_there_are_trades_a_second_later(host: Host) -> None:
    begin_ms = NOW_MS - 20_000
    host.times = {each: (begin_ms + each * 900) * MS for each in (1, 2, 3, 4, 6, 7)}

    async def ask(rest: KrakenRest) -> Any:
        await rest.trades_beside(BTC, 5, 5, 5, Beside(begin_ms + 3_600, None))
        return (await rest.issued_trades(BTC, begin_ms + 3_600, begin_ms + 5_400))[1]

    assert asked(host, ask) == []
    host.times[8] = (begin_ms + 7_200) * MS
    assert asked(host, ask) == [(5, 5)]


def test_trades_issued_since_a_burst_are_seen(host: Host) -> None:
    begin_ms = NOW_MS - 20_000
    host.times = {each: (begin_ms - 600) * MS + each * 100_000 for each in range(1, 5_001)}
    host.times |= {each: (begin_ms + each) * MS for each in (5_001, 5_002)}
    issued, never = asked(host, lambda rest: rest.issued_trades(BTC, begin_ms, begin_ms + 9_000))
    assert (issued, never) == ([(5_001, 5_002)], [])


def test_ids_left_out_are_excused_to_who_asked_for_them_and_not_in_a_later_numbering(host: Host) -> None:
    host.gone = {150_003}

    async def ask(rest: KrakenRest) -> list[list[tuple[int, int]]]:
        found: list[list[tuple[int, int]]] = []
        for first in (150_001, 150_021):
            await rest.trades_beside(BTC, first, first + 9, 5, Beside(time_ns(first - 1) // MS, None))
            begin_ms = time_ns(150_050) // MS
            found.append((await rest.issued_trades(BTC, begin_ms, begin_ms + 9_000))[1])
        return found

    # The second hole stands for one of ids that have begun anew, among which is another 150003.
    assert asked(host, ask) == [[(150_003, 150_003)], []]


def test_a_row_that_cannot_be_read_proves_nothing_and_costs_only_itself(host: Host) -> None:
    host.bad = {150_003}
    rejected: list[Any] = []
    begin_ms, end_ms = time_ns(150_002) // MS, time_ns(150_010) // MS + 1
    _, never = asked(host, lambda rest: rest.issued_trades(BTC, begin_ms, end_ms), rejected)
    assert never == []
    ((source, symbol, _, _),) = rejected
    assert (source, symbol) == ("rest:trades", BTC)
    found = asked(
        host, lambda rest: rest.trades_beside(BTC, 150_001, 150_005, 5, Beside(begin_ms - 2_000, None))
    )
    assert ids_of(found) == [150_001, 150_002, 150_004, 150_005]


def test_all_trades_since_a_time_begin_with_the_one_before_it_and_end_with_the_newest(host: Host) -> None:
    async def ask(rest: KrakenRest) -> list[list[int]]:
        return [ids_of(page) async for page in rest.trades_from(BTC, time_ns(198_500) // MS + 1, lambda: 5)]

    pages = asked(host, ask)
    ids = [each for page in pages for each in page]
    assert ids == list(range(ids[0], LAST + 1)) and ids[0] < 198_500
    assert len(pages) == 2


@pytest.mark.parametrize("traded", [0, 3])
def test_of_a_pair_without_a_trade_for_days_the_one_before_the_time_comes_too(
    host: Host, traded: int
) -> None:
    """Its price is that of the flat bars."""
    days_ms, first = 90_000_000, LAST - traded
    host.gone = set(range(LAST - 90_000, first + 1)) if traded else set()
    begin_ms = time_ns(first) // MS + (1 if traded else days_ms)

    async def ask(rest: KrakenRest) -> list[list[int]]:
        return [ids_of(page) async for page in rest.trades_from(BTC, begin_ms, lambda: 5)]

    ids = [each for page in asked(host, ask) for each in page]
    assert ids[-1] == LAST and ids[-1 - traded] == (LAST - 90_001 if traded else LAST)


@pytest.mark.parametrize("gap", [0, 7])
def test_a_history_whose_pages_do_not_join_is_not_asked_for_without_end(
    host: Host, monkeypatch: pytest.MonkeyPatch, gap: int
) -> None:
    """One page comes again and again, or the next one begins later."""
    begin_ms, asked_for = NOW_MS - 10_000_000, KrakenRest._page

    async def paged(rest: KrakenRest, *known: Any, since_ns: int | None = None, **rest_of: Any) -> Any:
        pages.append(since_ns)
        later_ns = begin_ms * MS if gap == 0 else (since_ns or 0) + gap * 10**9
        return await asked_for(rest, *known, since_ns=later_ns if len(pages) > 1 else since_ns, **rest_of)

    pages: list[int | None] = []
    monkeypatch.setattr(KrakenRest, "_page", paged)

    async def ask(rest: KrakenRest) -> None:
        async for _ in rest.trades_from(BTC, begin_ms, lambda: 5):
            pass

    with pytest.raises(ExchangeUnreadable, match=r"has nothing new|does not overlap"):
        asked(host, ask)


@pytest.mark.parametrize("earlier", [999, 1_000, 1_001])
def test_trades_out_of_order_at_the_end_of_a_page_are_all_in_the_history(host: Host, earlier: int) -> None:
    host.times = {each: (NOW_MS - 20_000 + each * 10) * MS for each in range(1, 1_501)}
    host.times[earlier + 1] -= 15 * MS

    async def ask(rest: KrakenRest) -> list[int]:
        begin_ms = NOW_MS - 20_000 + 15
        return [each async for page in rest.trades_from(BTC, begin_ms, lambda: 5) for each in ids_of(page)]

    assert asked(host, ask) == list(range(1, 1_501))
    assert len(host.asked) == 2


def test_the_history_of_a_market_with_a_page_a_second_needs_few_pages_more(host: Host) -> None:
    host.times = {each: (NOW_MS - 20_000 + each) * MS for each in range(1, 10_001)}

    async def ask(rest: KrakenRest) -> list[int]:
        begin_ms = NOW_MS - 20_000 + 2
        return [each async for page in rest.trades_from(BTC, begin_ms, lambda: 5) for each in ids_of(page)]

    assert asked(host, ask) == list(range(1, 10_001))
    assert len(host.asked) <= 12


def test_pages_with_unreadable_rows_are_no_history(host: Host) -> None:
    host.bad = {LAST - 3}

    async def ask(rest: KrakenRest) -> None:
        async for _ in rest.trades_from(BTC, NOW_MS - 9_000, lambda: 5):
            pass

    with pytest.raises(ExchangeUnreadable):
        asked(host, ask)


def test_the_newest_trades_and_the_first_one_since_a_time(host: Host) -> None:
    async def ask(rest: KrakenRest) -> Any:
        newest = await rest.newest_trades(BTC, 3, 5)
        first = await rest.first_trade(BTC, NOW_MS - 10_000, NOW_MS)
        return ids_of(newest), await rest.newest_trade_ids((BTC,)), first

    assert asked(host, ask) == ([LAST - 2, LAST - 1, LAST], {BTC: LAST}, LAST - 10)


@pytest.mark.parametrize(("begin_ms", "requests"), [(time_ns(198_500) // MS + 1, 2), (NOW_MS - 5_000, 1)])
def test_the_first_trade_and_all_since_the_same_time_need_one_page_less(
    host: Host, begin_ms: int, requests: int
) -> None:
    async def ask(rest: KrakenRest) -> tuple[int | None, list[list[int]], list[list[int]]]:
        alone = [ids_of(page) async for page in rest.trades_from(BTC, begin_ms, lambda: 5)]
        host.asked.clear()
        first = await rest.first_trade(BTC, begin_ms, NOW_MS)
        return first, alone, [ids_of(page) async for page in rest.trades_from(BTC, begin_ms, lambda: 5)]

    first, alone, after = asked(host, ask)
    assert after == alone and first in alone[0]
    assert len(host.asked) == requests


def test_a_page_read_for_the_first_trade_since_another_time_begins_no_history(host: Host) -> None:
    async def ask(rest: KrakenRest) -> list[list[int]]:
        await rest.first_trade(BTC, NOW_MS - 5_000, NOW_MS)
        begin_ms = NOW_MS - 100_000
        pages = [ids_of(page) async for page in rest.trades_from(BTC, begin_ms, lambda: 5)]
        # Nor does it begin another one later: it would be old.
        host.times = {each: time_ns(each) for each in range(LAST - 50, LAST + 1)}
        return [*pages, *[ids_of(page) async for page in rest.trades_from(BTC, NOW_MS - 5_000, lambda: 5)]]

    older, newer = asked(host, ask)
    assert older[0] < LAST - 99 and older[-1] == newer[-1] == LAST
    assert len(host.asked) == 3


@pytest.mark.parametrize("others_s", [(7_000, 2), (7_000, 7_500), (4_000, 2)])
def test_all_since_a_time_begin_with_its_page_whatever_was_asked_about_beside(
    host: Host, others_s: tuple[int, ...]
) -> None:
    begin_ms = NOW_MS - 3_000_000

    async def ask(rest: KrakenRest) -> list[list[int]]:
        alone = [ids_of(page) async for page in rest.trades_from(BTC, begin_ms, lambda: 5)]
        for at_ms in (begin_ms, *(NOW_MS - each_s * 1_000 for each_s in others_s)):
            await rest.first_trade(BTC, at_ms, NOW_MS)
        host.asked.clear()
        assert [ids_of(page) async for page in rest.trades_from(BTC, begin_ms, lambda: 5)] == alone
        assert not rest._begins, "pages are large"
        return alone

    pages = asked(host, ask)
    assert len(host.asked) == len(pages) - 1


def test_a_page_with_too_many_trades_after_it_is_not_kept(host: Host) -> None:
    async def ask(rest: KrakenRest) -> int:
        for ago_s in (20_000, 10_000, 5_000):
            await rest.first_trade(BTC, NOW_MS - ago_s * 1_000, NOW_MS)
        return len(rest._begins[BTC])

    assert asked(host, ask) == 1


@pytest.mark.parametrize("path", ["Trades", "nothing"])
def test_the_newest_trades_of_all_are_asked_for_side_by_side(host: Host, path: str) -> None:
    host.answers[path] = 200, b'{"error":["EGeneral:Invalid arguments"]}'

    async def ask(rest: KrakenRest) -> Any:
        asking = asyncio.ensure_future(rest.newest_trade_ids((BTC, "ETH/USD")))
        for _ in range(3):
            await asyncio.sleep(0)
        reserved = rest.budget.used
        try:
            return reserved, await asking
        except ExchangeRefused:
            return reserved, None

    assert asked(host, ask) == (2, None if path == "Trades" else {BTC: LAST, "ETH/USD": LAST})
    assert len(host.asked) == 2


def test_a_first_trade_that_cannot_be_read_is_not_passed_over(host: Host) -> None:
    host.bad = {LAST - 10}
    with pytest.raises(ExchangeUnreadable):
        asked(host, lambda rest: rest.first_trade(BTC, NOW_MS - 10_000, NOW_MS), [])


@pytest.mark.parametrize("first", [3_000, 999, 1_000, 1_001])
def test_the_first_trade_is_found_behind_a_page_of_the_seconds_before_it(host: Host, first: int) -> None:
    begin_ms = NOW_MS - 20_000
    host.times = {
        each: (begin_ms - 10_000 + (1 if each < first else 10_001)) * MS for each in range(1, 4_000)
    }
    assert asked(host, lambda rest: rest.first_trade(BTC, begin_ms, NOW_MS)) == first


def test_a_trade_ahead_of_the_exchanges_clock_is_rejected(host: Host) -> None:
    async def ask(rest: KrakenRest) -> Any:
        rest._exchange_ms = lambda: NOW_MS - 60_000  # our estimate is old: the exchange is asked
        return ids_of(await rest.newest_trades(BTC, 2, 5))

    assert asked(host, ask) == [LAST - 1, LAST]
    assert ("Time", {}) in host.asked


def test_statuses_say_which_pairs_are_traded_and_what_parsers_need(host: Host) -> None:
    async def ask(rest: KrakenRest) -> Any:
        assert rest.listing(BTC) is None
        found = await rest.statuses((BTC, "ETH/USD"))
        told = rest.listing(BTC)
        assert told is not None and (told.base, told.quote, told.alias) == ("BTC", "USD", None)
        return found, rest.listed

    statuses, listed = asked(host, ask)
    assert statuses == {BTC: "TRADING", "ETH/USD": "maintenance"}
    assert (listed[BTC].price_places, listed["ETH/USD"].price_places) == (1, 2)


@pytest.mark.parametrize(("symbol", "said"), [("BTCUSD", "write BTC/USD"), ("XBT/USD", "XBT is called BTC")])
def test_an_unknown_pair_is_named_with_the_one_that_is_meant(host: Host, symbol: str, said: str) -> None:
    with pytest.raises(UnknownSymbol, match=f"SYMBOLS: .*{said}"):
        asked(host, lambda rest: rest.statuses((BTC, symbol)))


def test_of_listed_pairs_an_unknown_one_is_left_out(host: Host) -> None:
    assert asked(host, lambda rest: rest.listed_statuses((BTC, "FOO/BAR"))) == {BTC: "TRADING"}


@pytest.mark.parametrize("odd", [{"wsname": "XBT/USD"}, {}, 5])
@pytest.mark.parametrize("symbols", [(BTC,), (BTC, "ETH/USD")])
def test_a_pair_of_ours_that_cannot_be_read_is_not_called_unlisted(
    host: Host, odd: Any, symbols: tuple[str, ...]
) -> None:
    ether = {"altname": "ETHUSD", "wsname": "ETH/USD", "pair_decimals": 1, "lot_decimals": 8}
    body = orjson.dumps({"error": [], "result": {"XXBTZUSD": odd, "XETHZUSD": ether}})
    host.answers["AssetPairs"] = (200, body)
    for ask in (KrakenRest.statuses, KrakenRest.listed_statuses):
        with pytest.raises(ExchangeUnreadable, match="kraken: its listing of"):
            asked(host, lambda rest, ask=ask: ask(rest, symbols))  # type: ignore[misc]
    assert asked(host, lambda rest: rest.listed_statuses(("ETH/USD",))) == {"ETH/USD": "TRADING"}


def test_one_request_too_many_closes_the_client_for_a_while(host: Host) -> None:
    host.answers["Trades"] = (200, b'{"error":["EAPI:Rate limit exceeded"]}')

    async def ask(rest: KrakenRest) -> int:
        for _ in range(3):
            with pytest.raises(ExchangeUnavailable):
                await rest.newest_trade_id(BTC)
        assert not rest.has_spare("book")
        return len(host.asked)

    assert asked(host, ask) == 1


def test_what_it_does_not_have_it_refuses(host: Host) -> None:
    async def ask(rest: KrakenRest) -> None:
        with pytest.raises(ExchangeRefused, match="takers"):
            await rest.klines(BTC, "1m", 0, 1, 5)
        with pytest.raises(ExchangeRefused):
            await rest.depth(BTC, lambda: 5)
        with pytest.raises(ExchangeRefused):
            await rest.day_ticker(BTC)

    asked(host, ask)
    assert not host.asked


def test_a_clock_that_is_refused_for_a_pair_is_no_unknown_pair(host: Host) -> None:
    host.answers["Time"] = (200, b'{"error":["EQuery:Unknown asset pair"]}')
    with pytest.raises(ExchangeRefused, match="Time: refused"):
        asked(host, lambda rest: rest.time_ms())
    assert asked(host, lambda rest: rest.latest_ms()) >= NOW_MS
