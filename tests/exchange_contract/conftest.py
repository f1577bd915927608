"""One worker, and its runs, for all files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exchange_contract.runs import Runs, Worker


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """The process that makes runs."""
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="session")
def runs(worker: Worker) -> Runs:
    """Runs as they are, by exchange and case."""
    return Runs(worker)
