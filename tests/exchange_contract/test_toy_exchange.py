"""A fourth exchange is one folder and one line of each registry: a toy goes through the numbered cases."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest

from tests.exchange_contract import test_contract
from tests.exchange_contract.cases import CALM, FAULTS, ONLY
from tests.exchange_contract.stand import Run
from tests.exchange_contract.toy.exchange import EXCHANGE
from tests.exchange_contract.toy.registered import register

Case = Callable[..., None]
# Cases of faults that only other protocols have.
OF_ALL: Final = [case for case in FAULTS if case not in ONLY]
NUMBERED: Final[dict[str, Case]] = {
    name: function
    for name, function in vars(test_contract).items()
    if name.startswith("test_") and "exchange" in inspect.signature(function).parameters
}


def cases_of(name: str) -> list[str]:
    """The runs that a numbered case looks at; one without a choice has its own."""
    if "case" not in inspect.signature(NUMBERED[name]).parameters:
        return [""]
    chosen = CALM if name.startswith("test_17") else OF_ALL
    return [case for case in chosen if case in OF_ALL]


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        yield


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in NUMBERED for case in cases_of(name)])
def test_the_toy_keeps_the_numbered_case(runs: Mapping[Any, Run], name: str, case: str) -> None:
    NUMBERED[name](runs, EXCHANGE, *([case] if case else []))


def test_what_concerns_every_exchange_was_asked_of_the_toy() -> None:
    numbers = {name.split("_")[1] for name in NUMBERED}
    assert numbers == {*(f"{number:02}" for number in range(1, 19)), "13b", "20"}
