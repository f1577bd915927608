"""With one mechanism taken out, named cases of the contract turn red, on the running producer.

Each mechanism by itself, and the overlap of pages, which needs answers of REST that no fault gives:
`tests/unit/producers/test_exchange_mechanisms.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Final, NamedTuple

import pytest

from tests.exchange_contract import test_contract
from tests.exchange_contract.cases import Order
from tests.exchange_contract.runs import Worker
from tests.exchange_contract.stand import Run
from tests.unit.producers.test_exchange_mechanisms import MECHANISMS


class Red(NamedTuple):
    """The case that fails without a mechanism.

    Attributes:
        faults: in place of the run's own.
    """

    exchange: str
    run: str
    case: str
    faults: tuple[str, ...] = ()


# So many that the best levels miss some of them.
_SKIPPED: Final = ("skip:every=1,streams=depth",)

RED: Final[Mapping[str, Red]] = {
    "side flip of coinbase": Red("coinbase", "none", "test_02_the_side_is_the_takers"),
    "taker's side of kraken": Red("kraken", "none", "test_02_the_side_is_the_takers"),
    "statuses": Red("kraken", "halt", "test_10_a_halt_is_no_loss"),
    "offers": Red("coinbase", "none", "test_13_a_book_is_right_whenever_it_says_so"),
    # Lost changes soon cross the book too, which alone unsyncs it.
    "counter": Red(
        "coinbase",
        "counter",
        "test_13e_a_jump_of_the_counter_unsyncs_all_books_and_asks_for_new_ones",
    ),
    # So seldom that the book does not cross at once, which unsyncs it too.
    "update ids": Red(
        "binance",
        "bad book",
        "test_13_a_book_is_right_whenever_it_says_so",
        ("skip:every=5,streams=depth",),
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


def check(red: Red, run: Run) -> None:
    case = getattr(test_contract, red.case)
    case(*({(red.exchange, red.run): run}, red.exchange, red.run)[: len(inspect.signature(case).parameters)])


@pytest.mark.parametrize("mechanism", RED)
def test_without_the_mechanism_the_case_turns_red(worker: Worker, mechanism: str) -> None:
    red = RED[mechanism]
    run = worker.carried(Order(red.exchange, red.run, mechanism, red.faults))
    with pytest.raises(AssertionError):
        check(red, run)


@pytest.mark.parametrize("mechanism", [name for name, red in RED.items() if red.faults])
def test_with_it_the_case_holds_under_the_same_faults(worker: Worker, mechanism: str) -> None:
    red = RED[mechanism]
    check(red, worker.carried(Order(red.exchange, red.run, faults=red.faults)))
