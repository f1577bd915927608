"""Coinbase's REST against the simulated market, and answers that it must not believe."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from producers.exchanges.coinbase.rest import CoinbaseRest
from producers.exchanges.rest_port import Beside
from producers.trade_pages import same_trade
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExchangeUnreadable, UnknownSymbol
from shared.messages import check
from tests.unit.producers.exchanges.coinbase.host import BTC, MARKET, XRP, Host

TRADES = f"/products/{BTC}/trades"
TICKER = f"{MARKET}products/{BTC}/ticker"


def ids(rows: Any) -> list[int]:
    return [row["trade_id"] for row in rows]


async def newest(rest: CoinbaseRest, host: Host) -> int:
    trade = await rest.newest_trade(BTC, host.now_ms)
    assert trade is not None
    return trade["trade_id"]


async def held(rest: CoinbaseRest, host: Host, *trade_ids: int) -> tuple[Any, ...]:
    """Trades as the stream would have given them."""
    found = []
    for trade_id in trade_ids:
        (row,), _ = await rest.trades(BTC, trade_id, trade_id, host.now_ms)
        found.append({**row, "source": "stream"})
    host.asked.clear()
    return tuple(found)


def test_it_knows_products_their_states_and_the_clock() -> None:
    host = Host()

    async def work(rest: CoinbaseRest) -> None:
        assert await rest.time_ms() == await rest.latest_ms() == host.now_ms
        assert await rest.statuses([BTC, XRP]) == {BTC: "TRADING", XRP: "TRADING"}
        assert rest.listed[BTC].lot == "0.00001" and list(rest.listed) == [BTC, XRP]
        told = rest.listing(BTC)
        assert told is not None and (told.base, told.quote, told.lot) == ("BTC", "USD", "0.00001")
        assert told.alias is None and rest.listing("NOT-USD") is None
        rest.listed["BTC-USDC"] = rest.listed[BTC]._replace(symbol="BTC-USDC", streamed_as=BTC)
        twin = rest.listing("BTC-USDC")
        assert twin is not None and twin.alias == BTC
        host.market.world.statuses[XRP] = "offline"
        assert await rest.statuses([BTC, XRP]) == {BTC: "TRADING", XRP: "offline, trading_disabled"}
        assert await rest.listed_statuses(["NOT-USD", XRP]) == {XRP: "offline, trading_disabled"}
        with pytest.raises(UnknownSymbol, match=r"SYMBOLS: coinbase: 'BTCUSD' is not .* write BTC-USD"):
            await rest.statuses(["BTCUSD", BTC])

    host.run(work)
    assert host.asked[2] == f"{MARKET}products?product_ids={BTC}&product_ids={XRP}"


def test_products_are_all_read_if_some_are_refused() -> None:
    host = Host()
    host.made[f"{MARKET}products"] = lambda body: (
        (400, b'{"error":"INVALID_ARGUMENT"}') if "product_ids" in host.asked[-1] else body
    )
    assert host.run(lambda rest: rest.listed_statuses(["NOT-USD", BTC])) == {BTC: "TRADING"}


@pytest.mark.parametrize("refused", [False, True])
def test_a_product_of_ours_that_cannot_be_read_is_not_called_unlisted(refused: bool) -> None:
    host = Host()

    def made(body: Any) -> Any:
        if refused and "product_ids" in host.asked[-1]:
            return 400, b'{"error":"INVALID_ARGUMENT"}'
        rows = [
            row | {"base_increment": None} if row["product_id"] == BTC else row for row in body["products"]
        ]
        return {"products": rows}

    host.made[f"{MARKET}products"] = made
    for symbols in ([BTC, XRP], [BTC, "NOT-USD"]):
        with pytest.raises(ExchangeUnreadable, match="base_increment"):
            host.run(partial(CoinbaseRest.listed_statuses, symbols=symbols))
    assert host.run(lambda rest: rest.listed_statuses([XRP])) == {XRP: "TRADING"}


def test_an_alias_is_asked_for_by_the_product_that_is_served_and_published_as_asked() -> None:
    host = Host()
    trade = host.run(lambda rest: rest.newest_trade("BTC-USDC", host.now_ms))
    assert trade["symbol"] == "BTC-USDC"
    assert host.asked[-1].startswith(TICKER)


def test_the_newest_trades_are_whole_messages_ascending() -> None:
    host = Host(seconds=900)

    async def work(rest: CoinbaseRest) -> None:
        rows = await rest.newest_trades(BTC, 500, host.now_ms)
        last = ids(rows)[-1]
        assert ids(rows) == list(range(last - 499, last + 1))
        for row in rows:
            check("trade", row)
        assert await rest.newest_trade_ids([BTC]) == {BTC: last} and await newest(rest, host) == last

    host.run(work)


def test_trades_come_by_id_and_their_numbering_is_proved_by_the_other_interface() -> None:
    host = Host(seconds=900)

    async def work(rest: CoinbaseRest) -> list[int]:
        last = await newest(rest, host)
        rows, oldest = await rest.trades(BTC, last - 1_500, last, host.now_ms)
        assert ids(rows) == list(range(last - 1_500, last - 500)) and oldest == 0
        rows, _ = await rest.trades(BTC, last - 2, last, host.now_ms)
        return ids(rows)

    assert len(host.run(work)) == 3


def test_trades_that_advanced_trade_counts_otherwise_are_not_believed() -> None:
    host = Host()

    def shifted(rows: Any) -> Any:
        return [{**row, "trade_id": row["trade_id"] - 1} for row in rows]

    host.made[TRADES] = shifted

    async def work(rest: CoinbaseRest) -> None:
        last = await newest(rest, host)
        with pytest.raises(ExchangeUnavailable, match=f"does not show trade {last - 4} as Exchange does"):
            await rest.trades(BTC, last - 5, last - 3, host.now_ms)
        with pytest.raises(ExchangeUnavailable, match="does not have trade"):
            async for _ in rest.trades_from(BTC, host.now_ms - 10_000, lambda: host.now_ms):
                pass

    host.run(work)


async def read_from(rest: CoinbaseRest, host: Host, begin_ms: int) -> None:
    async for _ in rest.trades_from(BTC, begin_ms, lambda: host.now_ms):
        pass


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(
    "change",
    [{"trade_id": 1}, {"trade_id": -1}, {"side": None}, {"size": "77"}],
    ids=["one higher", "one lower", "the other side", "another size"],
)
def test_a_history_that_contradicts_advanced_trade_is_not_asked_for_without_end(
    change: dict[str, Any], quiet: bool
) -> None:
    host = Host()

    def changed(row: Any) -> Any:
        made = {**row, **change, "trade_id": row["trade_id"] + change.get("trade_id", 0)}
        if "side" in change:
            made["side"] = "sell" if row["side"] == "buy" else "buy"
        return made

    host.made[TRADES] = lambda rows: [changed(row) for row in rows]
    # Of a quiet product the trade before the time is the newest one.
    begin_ms = host.now_ms + 2_000 if quiet else host.now_ms - 10_000
    with pytest.raises(ExchangeUnreadable, match="as it was given before"):
        host.run(lambda rest: read_from(rest, host, begin_ms))


def test_a_history_that_only_trails_advanced_trade_is_waited_for() -> None:
    host = Host()
    host.made[TRADES] = lambda rows: rows[200:]
    with pytest.raises(ExchangeUnavailable, match="a page ends before trade") as trailing:
        host.run(lambda rest: read_from(rest, host, host.now_ms - 10_000))
    assert not isinstance(trailing.value, ExchangeUnreadable)


# --- Repair beside trades that we hold. ---


def test_a_hole_is_filled_between_the_trades_on_both_sides() -> None:
    host = Host(seconds=900)

    async def work(rest: CoinbaseRest) -> None:
        last = await newest(rest, host)
        below, above = await held(rest, host, last - 1_800, last)
        rows = await rest.trades_beside(
            BTC, last - 1_799, last - 800, host.now_ms, Beside(None, None, (below, above))
        )
        # The proof needs the whole span, in two pages, and all of it is taken.
        assert ids(rows) == list(range(last - 1_799, last)) and len(host.asked) == 2

    host.run(work)


@pytest.mark.parametrize(("off_ms", "found"), [(0, 8), (2, 0)])
def test_after_a_restart_id_and_time_of_the_trade_before_prove_the_numbering_below(
    off_ms: int, found: int
) -> None:
    host = Host()

    async def work(rest: CoinbaseRest) -> Any:
        last = await newest(rest, host)
        below, above = await held(rest, host, last - 9, last)
        marks = ((last - 9, below["trade_time_ms"] + off_ms),)
        return await rest.trades_beside(
            BTC, last - 8, last - 5, host.now_ms, Beside(None, None, (above,), marks)
        )

    assert len(host.run(work)) == found


@pytest.mark.parametrize(("last_after", "differs", "found"), [(5, False, 4), (0, False, 9), (5, True, 0)])
def test_while_no_stream_brings_a_trade_above_the_other_interface_proves_the_last_one(
    last_after: int, differs: bool, found: int, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host()

    async def work(rest: CoinbaseRest) -> Any:
        last = await newest(rest, host)
        (below,) = await held(rest, host, last - 9)
        if differs:
            host.made[TICKER] = lambda body: {"trades": [{**row, "size": "9.5"} for row in body["trades"]]}
        beside = Beside(None, None, (below,))
        return await rest.trades_beside(BTC, last - 8, last - last_after, host.now_ms, beside)

    assert len(host.run(work)) == found
    assert ("no trade above" in caplog.text) == (found == 0)


@pytest.mark.parametrize("side", ["above", "neither", "another trade"])
def test_without_proof_on_both_sides_nothing_is_taken(side: str, caplog: pytest.LogCaptureFixture) -> None:
    host = Host()

    async def work(rest: CoinbaseRest) -> Any:
        last = await newest(rest, host)
        below, above = await held(rest, host, last - 9, last)
        trades = {
            "above": (above,),
            "neither": (),
            "another trade": (below, {**above, "buyer_is_maker": not above["buyer_is_maker"]}),
        }[side]
        return await rest.trades_beside(BTC, last - 8, last - 5, host.now_ms, Beside(None, None, trades))

    assert host.run(work) == []
    assert ("another one over REST" if side == "another trade" else "that we hold proves") in caplog.text


# --- Trades by time. ---


def test_all_trades_since_a_time_come_page_by_page_and_the_first_is_before_it() -> None:
    host = Host(seconds=1_200)
    begin_ms = host.now_ms - 1_000_000

    async def work(rest: CoinbaseRest) -> list[Any]:
        return [rows async for rows in rest.trades_from(BTC, begin_ms, lambda: host.now_ms)]

    pages = host.run(work)
    rows = [row for page in pages for row in page]
    assert len(pages) > 2 and ids(rows) == list(range(rows[0]["trade_id"], rows[-1]["trade_id"] + 1))
    assert rows[0]["trade_time_ms"] < begin_ms <= rows[1]["trade_time_ms"]
    assert rows[-1]["trade_id"] == host.run(lambda rest: newest(rest, host))


def test_a_page_that_leaves_out_an_id_is_no_history() -> None:
    host = Host()
    host.made[TRADES] = lambda rows: [row for index, row in enumerate(rows) if index != 3]

    async def work(rest: CoinbaseRest) -> None:
        async for _ in rest.trades_from(BTC, host.now_ms - 20_000, lambda: host.now_ms):
            pass

    with pytest.raises(ExchangeUnreadable, match="a page lacks those after"):
        host.run(work)


def test_where_advanced_trade_has_none_before_the_time_pages_go_down_to_it() -> None:
    host = Host(seconds=900)
    begin_ms = host.now_ms - 600_000
    host.made[TICKER] = lambda body: body | {"trades": []}
    first = host.run(lambda rest: rest.first_trade(BTC, begin_ms, host.now_ms))
    host.made.clear()
    assert first == host.run(lambda rest: rest.first_trade(BTC, begin_ms, host.now_ms))


def test_issued_trades_are_those_of_the_span_and_none_is_proved_to_be_missing() -> None:
    host = Host()
    begin_ms, end_ms = host.now_ms - 10_000, host.now_ms - 5_000

    async def work(rest: CoinbaseRest) -> Any:
        rows = await rest.newest_trades(BTC, 1_000, host.now_ms)
        inside = [row["trade_id"] for row in rows if begin_ms <= row["trade_time_ms"] <= end_ms]
        return inside, await rest.issued_trades(BTC, begin_ms, end_ms)

    inside, (issued, never) = host.run(work)
    assert [first for first, _ in issued] == inside and never == []


# --- Bad answers. ---


def test_rows_that_break_the_contract_are_set_aside_and_the_others_taken() -> None:
    host = Host()

    def damaged(body: Any) -> Any:
        first, *others = body["trades"]
        return body | {"trades": [{**first, "price": "dear"}, *others]}

    host.made[TICKER] = damaged
    rows = host.run(lambda rest: rest.newest_trades(BTC, 10, host.now_ms))
    assert len(rows) == 9
    ((source, symbol, reason, row),) = host.rejected
    assert (source, symbol) == ("rest:trades", BTC) and "price" in reason and b'"dear"' in row
    host.made[TICKER] = lambda body: body | {"trades": [{}, {}]}
    with pytest.raises(ExchangeUnreadable, match="none of 2 rows"):
        host.run(lambda rest: rest.newest_trades(BTC, 10, host.now_ms))


def test_a_trade_beyond_the_exchanges_clock_is_set_aside() -> None:
    host = Host()

    def ahead(body: Any) -> Any:
        first, *others = body["trades"]
        return body | {"trades": [{**first, "time": "2031-01-01T00:00:00Z"}, *others]}

    host.made[TICKER] = ahead
    assert len(host.run(lambda rest: rest.newest_trades(BTC, 10, host.now_ms))) == 9
    assert "beyond the exchange's clock" in host.rejected[0][2]


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((429, b"{}"), ExchangeUnavailable, "too many requests"),
        ((302, b""), ExchangeRefused, "which is not followed"),
        ((403, b"<html>"), ExchangeRefused, "refused by the exchange"),
        ((200, b"[" + b" " * 5_000_000 + b"]"), ExchangeUnavailable, "more than 4,194,304 bytes"),
    ],
)
def test_bad_answers_are_told_apart(
    answer: tuple[int, bytes], error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)
    host = Host()
    host.made["/api/v3/brokerage/time"] = lambda _body: answer
    with pytest.raises(error, match=said):
        host.run(lambda rest: rest.time_ms())


def test_after_a_limit_nothing_is_sent_before_its_end() -> None:
    host = Host()
    host.made["/api/v3/brokerage/time"] = lambda _body: (429, b"{}")

    async def work(rest: CoinbaseRest) -> None:
        with pytest.raises(ExchangeUnavailable):
            await rest.time_ms()
        with pytest.raises(ExchangeUnavailable, match="asked to wait") as refused:
            await rest.newest_trade(BTC, host.now_ms)
        assert refused.value.retry_after
        assert not rest.has_spare("issued trades")

    host.run(work)
    assert len(host.asked) == 1


def test_a_host_that_fails_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)
    host = Host()
    host.made["/api/v3/brokerage/time"] = lambda body: (503, b"") if len(host.asked) < 3 else body
    assert host.run(lambda rest: rest.time_ms()) == host.now_ms


# --- What it has not. ---


def test_a_book_has_its_time_as_its_id() -> None:
    host = Host()
    book = host.run(lambda rest: rest.depth(BTC, lambda: host.now_ms, 5))
    check("depth", book)
    assert book["final_update_id"] == host.now_ms * 1000 and len(book["bids"]) == len(book["asks"]) == 5


def test_what_coinbase_does_not_have_is_refused() -> None:
    host = Host()
    with pytest.raises(ExchangeRefused, match="built from trades"):
        host.run(lambda rest: rest.klines(BTC, "1m", 0, 60_000, 0))
    with pytest.raises(ExchangeRefused, match="only approximately"):
        host.run(lambda rest: rest.day_ticker(BTC))


def test_the_same_trade_is_the_same_from_both_interfaces() -> None:
    host = Host()

    async def work(rest: CoinbaseRest) -> None:
        advanced = await rest.newest_trade(BTC, host.now_ms)
        assert advanced is not None
        (exchange,), _ = await rest.trades(BTC, advanced["trade_id"], advanced["trade_id"], host.now_ms)
        assert same_trade(advanced, exchange)

    host.run(work)


def test_a_clock_that_is_not_found_is_no_unknown_product() -> None:
    host = Host()
    host.made["/api/v3/brokerage/time"] = lambda _body: (404, b'{"message":"NotFound"}')
    with pytest.raises(ExchangeRefused, match="time: "):
        host.run(lambda rest: rest.time_ms())
    assert host.run(lambda rest: rest.latest_ms()) >= host.now_ms
