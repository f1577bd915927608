"""The page of the running stack, in Debian's Chromium on this machine."""

from __future__ import annotations

import shutil
from typing import Final

from playwright.sync_api import Error, Page, sync_playwright

from tests.compose.composer import PORTS, Failed, say
from tests.integration.browser.viewing import (
    ARGUMENTS,
    Watched,
    await_movement,
    compare_table,
    open_market,
)

URL: Final = f"http://127.0.0.1:{PORTS['API_PORT']}"
# A whole stack on a small machine leaves little to draw with.
WITHIN_S: Final = 60.0
# Cells of bars and RSI: the page holds 1,000 bars of warm-up.
LEAST_CELLS: Final = 400


def look() -> None:
    """A candle moves, RSI is there, the table has the rows of the store, and nothing else is asked."""
    program = shutil.which("chromium")
    if program is None:
        raise Failed("Chromium is not installed; get it by: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        watched = Watched(browser.new_page())
        try:
            compared = _look(watched.page)
        except Error as error:
            raise Failed(f"page: {error.message}") from None
        finally:
            browser.close()
    if watched.errors or watched.strangers:
        raise Failed(f"page: errors {watched.errors}; requests to others {watched.strangers}")
    say(f"page: the open bar moves; {compared:,} cells of its table are as stored")


def _look(page: Page) -> int:
    open_market(page, URL, "?symbol=BTCUSDC&interval=1m", WITHIN_S)
    await_movement(page)
    compared, different = compare_table(page, URL)
    if different or compared < LEAST_CELLS:
        raise Failed(f"page: of {compared:,} cells these are not as stored: {different[:5]}")
    return compared
