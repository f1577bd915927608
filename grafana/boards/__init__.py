"""The dashboards, a module each."""

from __future__ import annotations

from typing import Final

from grafana.boards import compare, indicators, market, order_book, pipeline, trades
from grafana.model import Dashboard

ALL: Final[tuple[Dashboard, ...]] = (
    market.BOARD,
    order_book.BOARD,
    trades.BOARD,
    compare.BOARD,
    indicators.BOARD,
    pipeline.BOARD,
)
BY_UID: Final = {board.uid: board for board in ALL}
