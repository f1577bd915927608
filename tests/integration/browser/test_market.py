"""The market screen of a whole stack: what it shows is what is stored, drawn where it belongs."""

from __future__ import annotations

import time
from typing import Any, Final

from playwright.sync_api import Page

from tests.integration.browser.viewing import FIRST_VIEW, color_of, compare_table, open_market, rows, stats
from tests.integration.browser.world import World

FIRST_VIEW_S: Final = 1.5


def test_a_fresh_browser_shows_a_moving_candle_with_rsi(world: World, page: Page) -> None:
    open_market(page, world.url)
    # Whoever looks at simulated prices is told so.
    assert "not binance’s own prices: 127.0.0.1:" in (page.locator(".stands-in").text_content() or "")
    before = stats(page)["open_bar"]
    page.wait_for_function(
        "before => JSON.stringify(window.cryptostream.stats().open_bar) !== before",
        arg=_compact(page, before),
        timeout=60_000,
    )
    print(f"first view of the second tab after {_first_view_s(world, page):.2f} s")


def _compact(page: Page, value: Any) -> Any:
    return page.evaluate("value => JSON.stringify(value)", value)


def _first_view_s(world: World, page: Page) -> float:
    """Printed, not asserted: machines are shared (docs/benchmarks.md has the figures)."""
    began_s = time.monotonic()
    page.goto(f"{world.url}/?symbol=ETHUSDC")
    page.wait_for_function(FIRST_VIEW, timeout=60_000)
    return time.monotonic() - began_s


def test_the_table_shows_the_rows_of_the_interface(world: World, page: Page) -> None:
    open_market(page, world.url)
    compared, different = compare_table(page, world.url)
    assert different == []
    assert compared > 400


def test_the_last_closed_candle_has_its_colour_at_its_place(world: World, page: Page) -> None:
    open_market(page, world.url)
    place, pixel = color_of(world, page, _TALLEST)
    assert place["height"] > 4, place
    wanted = _rgb(place["colors"]["up" if place["rises"] else "down"])
    assert all(abs(one - other) <= 8 for one, other in zip(pixel, wanted, strict=True)), (place, pixel)


_TALLEST: Final = """() => {
  const { rows, priceToCoordinate, timeToCoordinate, colors } = window.cryptostream;
  const bars = rows("kline");
  const at = (name) => bars.columns.indexOf(name);
  const y = (row, name) => priceToCoordinate(row[at(name)]);
  const body = (row) => Math.abs(y(row, "open") - y(row, "close"));
  // Of the newest bars the one with the tallest body: its middle is no border.
  const [row] = bars.rows.slice(-30).sort((one, other) => body(other) - body(one));
  const [open, close] = [row[at("open")], row[at("close")]];
  const chart = document.querySelector("[data-chart]").getBoundingClientRect();
  return {
    x: chart.left + timeToCoordinate(row[0]), y: chart.top + priceToCoordinate((open + close) / 2),
    rises: close >= open, colors: { ...colors }, height: body(row),
  };
}"""


def _rgb(text: str) -> tuple[int, ...]:
    digits = text.removeprefix("#")
    return tuple(int(digits[at : at + 2], 16) for at in (0, 2, 4))


def test_the_open_bar_is_hollow_until_it_is_closed(world: World, page: Page) -> None:
    open_market(page, world.url)
    # Few bars have a short scale of prices, on which the open one is tall; it stays under the wheel.
    x, y = page.evaluate(_OPEN_BAR)
    page.mouse.move(x, y)
    for _ in range(20):
        page.mouse.wheel(0, -400)
    world.until("an open bar tall enough to look into", lambda: page.evaluate(_INSIDE))
    # Within it there is the chart's ground, or the pale volume behind it: lighter than any candle.
    _, pixel = color_of(world, page, _INSIDE)
    assert sum(pixel) > 500


_OPEN_BAR: Final = """() => {
  const { stats, timeToCoordinate, priceToCoordinate } = window.cryptostream;
  const [time_ms, open] = stats().open_bar;
  const chart = document.querySelector("[data-chart]").getBoundingClientRect();
  return [chart.left + timeToCoordinate(time_ms), chart.top + priceToCoordinate(open)];
}"""
_INSIDE: Final = """() => {
  const { stats, timeToCoordinate, priceToCoordinate } = window.cryptostream;
  const [time_ms, open, , , close] = stats().open_bar;
  const chart = document.querySelector("[data-chart]").getBoundingClientRect();
  const x = chart.left + timeToCoordinate(time_ms);
  if (Math.abs(priceToCoordinate(open) - priceToCoordinate(close)) < 6) return null;
  return { x, y: chart.top + priceToCoordinate((open + close) / 2) };
}"""


def test_scrolling_back_asks_for_older_bars_and_keeps_the_newest(world: World, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/rows/kline" in request.url else None)
    open_market(page, world.url, "?interval=1s")
    box = page.locator("[data-chart]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)

    def scrolled() -> bool:
        page.mouse.wheel(-400, 0)
        return bool(asked)

    world.until("a request of older bars", scrolled)
    first = rows(page, "kline")["rows"][0][0]
    assert all(f"to={first}" in url or "last=" in url for url in asked)
    times = [row[0] for row in rows(page, "kline")["rows"]]
    assert times == sorted(set(times))
    world.until("newer bars", lambda: rows(page, "kline")["rows"][-1][0] > times[-1])


def test_the_keyboard_changes_symbol_interval_and_view(world: World, page: Page) -> None:
    open_market(page, world.url)
    page.keyboard.press("1")
    page.wait_for_function("() => location.search.includes('interval=1s')")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.tagName") in {"SELECT", "INPUT"}
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open], [role=dialog]")


def test_an_unknown_instrument_is_told_until_a_known_one_is_chosen(world: World, page: Page) -> None:
    page.goto(f"{world.url}/?symbol=NONE")
    page.wait_for_selector("text=NONE: no such instrument here")
    assert page.get_by_text("Waiting for the list").count() == 0
    page.select_option("#symbol", "binance:BTCUSDC")
    page.wait_for_selector("text=no such instrument here", state="detached")
