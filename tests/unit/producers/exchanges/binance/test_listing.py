"""Which symbols are listed: asked for by name, never all that the exchange has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.binance.listing import SYMBOLS_AT_ONCE, listed, names_of
from shared.errors import UnknownSymbol

SYMBOLS = [f"S{number}USDC" for number in range(250)]


class Asked:
    """The exchange: one that it does not know refuses the whole question."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = set(known)
        self.questions: list[Sequence[str]] = []

    async def __call__(self, symbols: Sequence[str]) -> dict[str, str]:
        self.questions.append(symbols)
        if not set(symbols) <= self.known:
            raise UnknownSymbol("-1121")
        return dict.fromkeys(symbols, "TRADING")


@given(st.sets(st.sampled_from(SYMBOLS), max_size=20))
def test_all_that_are_listed_are_found_whichever_are_not(unlisted: set[str]) -> None:
    ask = Asked([symbol for symbol in SYMBOLS if symbol not in unlisted])
    found = asyncio.run(listed(SYMBOLS, ask))
    assert found.keys() == set(SYMBOLS) - unlisted
    assert all(0 < len(question) <= SYMBOLS_AT_ONCE for question in ask.questions)
    assert len(ask.questions) <= 3 + len(unlisted) * 2 * 7  # 100 symbols are halved seven times


def test_an_answer_of_more_than_was_asked_for_is_cut() -> None:
    async def ask(_symbols: Sequence[str]) -> dict[str, str]:
        return {"AUSDC": "TRADING", "BUSDC": "BREAK"}

    assert asyncio.run(listed(["BUSDC"], ask)) == {"BUSDC": "BREAK"}


def test_names_are_those_of_rows_that_have_one() -> None:
    assert names_of([{"symbol": "AUSDC", "price": "1"}, {"symbol": 7}, None, {}]) == ["AUSDC"]
