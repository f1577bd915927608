from __future__ import annotations

import pytest

from producers.exchanges.rest_port import best_of


@pytest.mark.parametrize(
    ("bid", "ask", "best"),
    [
        ("0.00000000", "2.00000000", (None, 2.0)),
        (None, 2.0, (None, 2.0)),
        ("0.00000000", "0.00000000", None),
        (1.2e-8, 1.3e-8, (1.2e-8, 1.3e-8)),
    ],
)
def test_a_side_that_nobody_is_on_has_no_best_price(
    bid: float | str | None, ask: float | str, best: tuple[float | None, float | None] | None
) -> None:
    assert best_of(bid, ask) == best
