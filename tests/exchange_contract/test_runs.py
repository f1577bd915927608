"""Runs in processes of their own are what they say: equal for equal orders, and never half of one."""

from __future__ import annotations

import pytest

from tests.exchange_contract.cases import Order
from tests.exchange_contract.runs import RunFailed, Runs, Worker
from tests.exchange_contract.stand import SYMBOLS


@pytest.mark.thorough
def test_equal_orders_give_equal_runs_in_whatever_worker(runs: Runs) -> None:
    with Worker() as other:
        for exchange in SYMBOLS:
            assert other.carried(Order(exchange, "gap")) == runs[exchange, "gap"]


def test_a_run_that_fails_tells_why_and_the_worker_goes_on(worker: Worker) -> None:
    with pytest.raises(RunFailed, match="KeyError: 'no such mechanism'"):
        worker.carried(Order("binance", "none", "no such mechanism"))
    with pytest.raises(RunFailed, match="UsageError"):
        worker.carried(Order("binance", "none", faults=("no such fault",)))
    assert worker.carried(Order("binance", "none")).trades("BTCUSDC")


def test_a_worker_that_has_ended_is_an_error() -> None:
    with Worker() as worker:
        worker._process.kill()
        with pytest.raises(RunFailed, match="exit code -9"):
            worker.carried(Order("binance", "none"))
