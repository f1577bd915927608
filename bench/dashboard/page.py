"""The page in Debian's Chromium: from the exchange's event to the painted pixel, loading, updates, memory."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench.dashboard.crowd import Crowd
from bench.dashboard.stage import Stage

WEB: Final = Path(__file__).parents[2] / "web" / "out"
# Without a network of its own to ask, and as root in containers.
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LOADS: Final = 5
_SAMPLES_S: Final = 15.0  # the page keeps its newest 1,000 samples
THROTTLED: Final = 4
_VIEWERS: Final = 5
# The chart's window, and four indicators beside candles and volume.
WINDOW: Final = 6_000
LINES: Final = ("momentum_rsi", "trend_sma_fast", "trend_ema_fast", "volatility_bbm")
# Closed candles that have a place on the canvas; ms since the navigation.
_FIRST_CANDLE: Final = """() => {
  const page = window.cryptostream;
  const bars = page && page.rows("kline");
  if (!bars || bars.rows.length === 0) return null;
  const newest = bars.rows.at(-1);
  return page.timeToCoordinate(newest[0]) === null ? null : performance.now();
}"""
# Also a moving candle and the indicators' values.
_WHOLE_VIEW: Final = """() => {
  const page = window.cryptostream;
  const values = page && page.rows("indicator");
  return Boolean(values && page.stats().open_bar && values.rows.some((row) => row[1] !== null));
}"""


def built() -> bool:
    """Whether there are a browser and a page."""
    return shutil.which("chromium") is not None and (WEB / "index.html").exists()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_ARGUMENTS))
        yield started
        started.close()


def script_bytes() -> int:
    """All JavaScript of the page, each file compressed by gzip."""
    return sum(len(gzip.compress(path.read_bytes())) for path in WEB.rglob("*.js"))


def loads_s(browser: Browser, stage: Stage) -> dict[str, list[float]]:
    """Navigation → first candle, and → the whole view, each in a browser without a cache."""
    candle, whole = [], []
    for _ in range(_LOADS):
        with _tab(browser) as page:
            page.goto(stage.url, wait_until="commit")
            found = page.wait_for_function(_FIRST_CANDLE, timeout=30_000)
            candle.append(float(found.json_value()) / 1e3)
            page.wait_for_function(_WHOLE_VIEW, timeout=30_000)
            whole.append(float(page.evaluate("performance.now()")) / 1e3)
        stage.tick(1.0)
    return {"candle": candle, "whole": whole}


def painted_ms(browser: Browser, stage: Stage, seconds: float) -> dict[str, Any]:
    """Exchange → painted by the tab's acknowledgements, hop by hop, beside what is stored meanwhile."""
    with _tab(browser) as page:
        _open(page, stage.url)
        stage.tick(_SAMPLES_S)  # samples of the loading are gone
        stage.reports.latencies.clear()
        messages, cpu_s, began_s = stage.messages(), stage.api_cpu_s(), time.monotonic()
        seen = _samples(page, stage, seconds)
        took_s = time.monotonic() - began_s
        return {
            "hops": {hop: _worst(seen, f"{hop}_ms") for hop in _HOPS},
            "stored": stage.stored_ms(),
            "messages_per_s": (stage.messages() - messages) / took_s,
            "api_cores": (stage.api_cpu_s() - cpu_s) / took_s,
        }


_HOPS: Final = ("exchange_to_pixel", "exchange_to_server", "server_to_page", "page_to_pixel")


def throttled(browser: Browser, stage: Stage, seconds: float) -> dict[str, Any]:
    """A tab with a quarter of the CPU: its ages, what waits for it, and what others notice of it."""
    alone = _crowd(stage, seconds)
    # The others come first, so that the tab is the last of the clients.
    with _tab(browser) as page:
        crowd = Crowd(stage, _VIEWERS, seconds + 2 * _SAMPLES_S)
        stage.tick(4.0)
        session = page.context.new_cdp_session(page)
        _open(page, stage.url)
        session.send("Emulation.setCPUThrottlingRate", {"rate": THROTTLED})
        stage.tick(_SAMPLES_S)
        since_ms = time.time() * 1000
        seen = _samples(page, stage, seconds)
        held = stage.held_bytes(since_ms, _VIEWERS)
        beside = _result(stage, crowd)
        return {
            "age": _worst(seen, "exchange_to_pixel_ms"),
            "held_bytes": max(held),
            "others_alone": alone,
            "others_beside": beside,
        }


def update_ms(browser: Browser, stage: Stage, seconds: float) -> dict[str, Any]:
    """How long the chart takes to take new values, with all bars that it may hold and six series."""
    with _tab(browser) as page:
        # A bar that closes meanwhile would push the newest out of the window.
        stage.tick(62.0 - time.time() % 60)
        _open(page, f"{stage.url}/?indicators={','.join(LINES)}")
        bars = _scroll_back(page, stage)
        stage.tick(_SAMPLES_S)
        seen = _samples(page, stage, seconds)
        return {"bars": bars, "series": 2 + len(LINES), **_worst(seen, "chart_update_ms")}


def heap(browser: Browser, stage: Stage, minutes: float) -> dict[str, Any]:
    """MB of JavaScript after garbage collection, once a tenth of the time."""
    with _tab(browser) as page:
        _open(page, stage.url)
        stage.tick(_SAMPLES_S)
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.enable")
        sizes = [_heap_mb(session)]
        for _ in range(10):
            stage.tick(minutes * 6.0)
            sizes.append(_heap_mb(session))
        return {"minutes": minutes, "mb": sizes}


def _heap_mb(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


@contextmanager
def _tab(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    try:
        yield context.new_page()
    finally:
        context.close()


def _open(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_function(_WHOLE_VIEW, timeout=30_000)


def _stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.cryptostream.stats()")
    return found


def _samples(page: Page, stage: Stage, seconds: float) -> list[dict[str, Any]]:
    """The page's own figures, each time over its newest samples."""
    seen = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        stage.tick(5.0)
        seen.append(_stats(page))
    return seen


def _worst(seen: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Median of the medians, worst p99."""
    return {"p50": median(each[name]["p50"] for each in seen), "p99": max(each[name]["p99"] for each in seen)}


def _crowd(stage: Stage, seconds: float) -> dict[str, float]:
    return _result(stage, Crowd(stage, _VIEWERS, seconds))


def _result(stage: Stage, crowd: Crowd) -> dict[str, float]:
    while crowd.running:
        stage.tick(0.2)
    return crowd.result()


def _scroll_back(page: Page, stage: Stage) -> int:
    """Look back until the window is full; the number of bars that the page holds then."""
    box = page.locator("[data-chart]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    give_up_s = time.monotonic() + 50
    while _bars(page) < WINDOW - 1_500 // 2 and time.monotonic() < give_up_s:
        page.mouse.wheel(-4_000, 0)
        stage.tick(0.2)
    return _bars(page)


def _bars(page: Page) -> int:
    return int(page.evaluate("window.cryptostream.rows('kline').rows.length"))
