"""With one mechanism taken out, named cases of the contract turn red, on the running producer.

Each mechanism by itself, and the overlap of pages, which needs answers of REST that no fault gives:
`tests/unit/producers/test_exchange_mechanisms.py`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import pytest

from tests.exchange_contract import test_contract
from tests.exchange_contract.stand import Run, carried
from tests.exchange_contract.test_contract import FAULTS, STRUCK
from tests.unit.producers.test_exchange_mechanisms import MECHANISMS

# Trades and books of that many of the market's seconds have to show it.
_TRADES: Final = 60


class Red(NamedTuple):
    """The case that fails without a mechanism.

    Attributes:
        faults: in place of the run's own.
    """

    exchange: str
    run: str
    case: str
    faults: Sequence[str] = ()


# So many that the best levels miss some of them.
_SKIPPED: Final = ("skip:every=1,streams=depth",)

RED: Final[Mapping[str, Red]] = {
    "side flip of coinbase": Red("coinbase", "none", "test_02_the_side_is_the_takers"),
    "taker's side of kraken": Red("kraken", "none", "test_02_the_side_is_the_takers"),
    "offers": Red("coinbase", "none", "test_13_a_book_is_right_whenever_it_says_so"),
    # Lost changes soon cross the book too, which alone unsyncs it.
    "counter": Red(
        "coinbase",
        "counter",
        "test_13e_a_jump_of_the_counter_unsyncs_all_books_and_asks_for_new_ones",
    ),
    "truncation": Red("kraken", "none", "test_13_a_book_is_right_whenever_it_says_so"),
    "checksum": Red("kraken", "bad book", "test_13_a_book_is_right_whenever_it_says_so", _SKIPPED),
    # So many that the last trade of a second is one of them.
    "bar finality": Red(
        "kraken",
        "gap",
        "test_14_closed_bars_are_right_in_order_and_without_a_hole",
        ("skip:probability=0.4,streams=trade,symbols=BTC/USD",),
    ),
}


def test_every_mechanism_but_one_is_taken_out_here() -> None:
    assert set(RED) == set(MECHANISMS) - {"overlap"}


def enough(struck: Mapping[str, int], run: Run) -> bool:
    hit = all(run.hits.get(kind, 0) >= least for kind, least in struck.items())
    return hit and len(run.trades(run.symbols[0])) >= _TRADES


@pytest.mark.parametrize("mechanism", RED)
def test_without_the_mechanism_the_case_turns_red(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, run, case, faults = RED[mechanism]
    MECHANISMS[mechanism][0](monkeypatch)
    struck = {} if faults else STRUCK.get(run, {})
    done = {
        (exchange, run): asyncio.run(carried(exchange, faults or FAULTS[run][0], partial(enough, struck)))
    }
    check = getattr(test_contract, case)
    arguments = (done, exchange, run)[: len(inspect.signature(check).parameters)]
    with pytest.raises(AssertionError):
        check(*arguments)
