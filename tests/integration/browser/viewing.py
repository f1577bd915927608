"""What tests read off a page, and what they note while it is open."""

from __future__ import annotations

import base64
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import ConsoleMessage, Page, Request

from tests.integration.browser.world import World

# Without a network of its own to ask, and as root in containers.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What a browser says of a request that failed as a test made it fail.
_TOLD_BY_THE_BROWSER: Final = ("Failed to load resource", "WebSocket connection to")


class Watched:
    """A tab.

    Attributes:
        errors: exceptions of the page, and errors on its console.
        strangers: requests to other origins than that of the first document.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self._origin = ""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)
        page.on("request", self._requested)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_TOLD_BY_THE_BROWSER):
            self.errors.append(message.text)

    def _requested(self, request: Request) -> None:
        self._origin = self._origin or urlsplit(request.url).netloc
        if urlsplit(request.url).netloc != self._origin:
            self.strangers.append(request.url)


def stats(page: Page) -> dict[str, Any]:
    """`window.cryptostream.stats()`."""
    found: dict[str, Any] = page.evaluate("window.cryptostream.stats()")
    return found


def rows(page: Page, series: str) -> dict[str, Any]:
    """Columns and rows that the page holds of "kline" or "indicator"."""
    found: dict[str, Any] = page.evaluate("name => window.cryptostream.rows(name)", series)
    return found


def state_of(page: Page, series: str) -> str | None:
    """State of the subscription of a series."""
    found = [each for each in stats(page)["subscriptions"] if each["wish"]["series"] == series]
    return str(found[0]["state"]) if found else None


def _color_at(page: Page, x: float, y: float) -> tuple[int, int, int]:
    """Red, green and blue of a pixel as it is on the screen, each 0 to 255."""
    clip: Any = {"x": int(x), "y": int(y), "width": 1, "height": 1}
    picture = base64.b64encode(page.screenshot(clip=clip)).decode()
    red, green, blue, _ = page.evaluate(
        """async (picture) => {
          const bytes = Uint8Array.from(atob(picture), (sign) => sign.charCodeAt(0));
          const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
          const context = new OffscreenCanvas(1, 1).getContext("2d");
          context.drawImage(bitmap, 0, 0);
          return [...context.getImageData(0, 0, 1, 1).data];
        }""",
        picture,
    )
    return red, green, blue


def color_of(world: World, page: Page, place: str) -> tuple[Any, tuple[int, int, int]]:
    """What a script says of a place, `x` and `y` of it among it, and the colour there.

    A price that comes between the two may move all candles: then both are looked for again.
    """

    def seen() -> tuple[Any, tuple[int, int, int]] | None:
        before = page.evaluate(place)
        if before is None:
            return None
        page.evaluate(_PAINTED)
        color = _color_at(page, before["x"], before["y"])
        return (before, color) if page.evaluate(place) == before else None

    found: tuple[Any, tuple[int, int, int]] = world.until("a picture that stands still", seen)
    return found


_PAINTED: Final = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


# True once there are a moving candle and an RSI line.
FIRST_VIEW: Final = """() => {
  const page = window.cryptostream;
  const bars = page && page.rows("kline"), values = page && page.rows("indicator");
  return bars && bars.rows.length > 50 && page.stats().open_bar !== null
    && values && values.rows.some((row) => row[1] !== null);
}"""


def open_market(page: Page, url: str, query: str = "", within_s: float = 60.0) -> None:
    """Open the market screen and wait for the first view."""
    page.goto(f"{url}/{query}")
    page.wait_for_function(FIRST_VIEW, timeout=within_s * 1000)


def compare_table(page: Page, url: str) -> tuple[int, list[str]]:
    """Hold the table of an open market screen (BTCUSDC, 1m) beside `GET /rows`.

    Returns:
        the number of cells that were compared, and what differs. Rows that only one side has were closed, or
        stored, between the two looks.
    """
    page.keyboard.press("t")
    page.wait_for_selector("[data-table=rows] tbody tr")
    names, rows = page.evaluate(_TABLE)
    stored: dict[int, dict[str, Any]] = {}
    for kind, more in (("kline", {}), ("indicator", {"columns": _RSI})):
        asked = {"exchange": "binance", "symbol": "BTCUSDC", "interval": "1m", "last": 1500, **more}
        answer = httpx.get(f"{url}/api/v1/rows/{kind}", params=asked, trust_env=False, timeout=30)
        answer.raise_for_status()
        told = answer.json()
        for row in told["rows"]:
            stored.setdefault(row[0], {}).update(zip(told["columns"], row, strict=True))
    compared, different = 0, [] if _RSI in names else [f"the table has no {_RSI}"]
    for time_ms, *cells in rows:
        for name, text in zip(names, cells, strict=True):
            if name in stored.get(time_ms, {}):
                compared += 1
                if (float(text) if text else None) != stored[time_ms][name]:
                    different.append(f"{time_ms} {name}: {text} is stored as {stored[time_ms][name]}")
    return compared, different


_RSI: Final = "momentum_rsi"
_TABLE: Final = """() => {
  const table = document.querySelector("[data-table=rows]");
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows].map((row) =>
    [Number(row.dataset.timeMs), ...[...row.cells].slice(1).map((cell) => cell.textContent)]);
  return [names, rows];
}"""


def await_movement(page: Page) -> None:
    """Wait until the open bar has changed."""
    page.evaluate("window.seen = JSON.stringify(window.cryptostream.stats().open_bar)")
    page.wait_for_function(
        "() => JSON.stringify(window.cryptostream.stats().open_bar) !== window.seen", timeout=60_000
    )
