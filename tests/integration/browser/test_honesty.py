"""Each mark of doubt is made to appear by what it stands for, and goes away after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from chaos.servers import Servers
from tests.integration.browser.viewing import open_market, rows, state_of, stats
from tests.integration.browser.world import World


def _banner(page: Page) -> str:
    # In one look: a banner may go between two.
    return next(iter(page.locator(".banner").all_text_contents()), "")


def test_a_book_out_of_step_shows_its_cause_and_no_figures(own_world: World, page: Page) -> None:
    world = own_world
    open_market(page, world.url)
    page.wait_for_function("() => document.querySelector('.ladder tbody td').textContent !== ''")
    world.fault(kind="rest_5xx", paths=["depth"], **{"from": 0, "to": 8})
    world.fault(kind="skip", streams=["depth"], at=0, symbols=["BTCUSDC"])
    world.until("a book out of step", lambda: page.locator(".ladder[data-unsynced=true]").count() > 0)
    told = page.locator(".ladder .note").text_content() or ""
    assert "step" in told.lower()
    cells = page.locator(".ladder tbody tr[data-side] td").all_text_contents()
    assert set(cells) == {""}
    world.until("a book in step again", lambda: page.locator(".ladder[data-unsynced=false]").count() > 0, 120)


def test_a_feed_that_falls_silent_gets_a_banner_until_it_speaks(own_world: World, page: Page) -> None:
    world = own_world
    open_market(page, world.url)
    assert "stale" not in _banner(page)
    world.fault(kind="skip", at=0, duration=25)  # every event of every stream
    world.until("a banner", lambda: "stale" in _banner(page), 120)
    world.until("the end of the banner", lambda: "stale" not in _banner(page), 120)


def test_a_dead_producer_is_told_also_to_a_page_that_is_opened_later(own_world: World, page: Page) -> None:
    world = own_world
    open_market(page, world.url)
    world.end_producer()
    world.until("a banner", lambda: "stale" in _banner(page), 120)
    page.reload()
    world.until("a banner after opening the page again", lambda: "stale" in _banner(page), 120)


def test_a_broker_that_is_away_is_told_and_the_page_goes_on_without_a_hole(
    own_world: World, page: Page
) -> None:
    world = own_world
    open_market(page, world.url, "?interval=1s")
    world.servers.kafka.kill()
    world.until("a banner", lambda: "Kafka is away" in _banner(page), 120)
    world.servers.kafka.restart()
    world.until("the end of the banner", lambda: _banner(page) == "", 120)
    _no_hole(world, page)


def _no_hole(world: World, page: Page) -> None:
    seen = rows(page, "kline")["rows"][-1][0]
    world.until("bars that follow", lambda: rows(page, "kline")["rows"][-1][0] >= seen + 3_000, 120)
    times = [row[0] for row in rows(page, "kline")["rows"]]
    newest = [time_ms for time_ms in times if time_ms > times[-1] - 60_000]
    assert newest == list(range(newest[0], newest[-1] + 1, 1_000))


def test_a_killed_service_is_told_and_resumed_without_a_hole(own_world: World, page: Page) -> None:
    world = own_world
    open_market(page, world.url, "?interval=1s")
    world.end_api()
    world.until("a banner", lambda: "Not connected" in _banner(page), 120)
    world.start_api()
    world.until("the end of the banner", lambda: _banner(page) == "", 120)
    assert stats(page)["reconnects"] >= 1
    _no_hole(world, page)


def test_history_that_is_away_is_told_over_its_part_while_live_data_go_on(
    own_world: World, page: Page
) -> None:
    world = own_world
    open_market(page, world.url, "?interval=1m")
    world.servers.influx.kill()
    try:
        box: Any = page.locator("[data-chart]").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)

        def told() -> bool:
            page.mouse.wheel(-600, 0)
            return "History is away" in (page.locator(".chart-area").text_content() or "")

        world.until("the notice", told, 30, doubt=lambda: str(stats(page)["history"]))
        before = stats(page)["open_bar"]
        world.until("an open bar that moves", lambda: stats(page)["open_bar"] != before)
    finally:
        world.servers.influx.restart()


def test_ages_use_the_measured_offset_of_a_wrong_clock(world: World, page: Page) -> None:
    page.add_init_script(
        "const now = Date.now; Date.now = () => now() + 3600_000;"
        "Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + 3600_000 });"
    )
    open_market(page, world.url)
    world.until("a measured offset", lambda: abs(stats(page)["clock_offset_ms"] + 3_600_000) < 5_000)
    assert stats(page)["exchange_to_pixel_ms"]["p50"] < 60_000
    assert state_of(page, "kline") == "live"


def test_a_halt_is_a_gap_with_its_cause_and_never_joined(
    servers: Servers, tmp_path: Path, page: Page
) -> None:
    # Again and again: how long it takes until the page is open is the machine's affair.
    world = World(servers, tmp_path, ("--fault", "halt:from=20,every=40,duration=8,symbols=ETHUSDC"))
    try:
        world.start()
        # There is no open bar in the halt, and none after it before its bars are known to be missing.
        open_market(page, world.url, "?symbol=ETHUSDC&interval=1s", 60)
        opened_ms = max(row[0] for row in rows(page, "kline")["rows"])

        def new_gaps() -> list[Any]:
            return [gap for gap in stats(page)["gaps"] if gap[0] > opened_ms]

        gaps = world.until("a gap with its cause", new_gaps, 240)
        from_ms, to_ms, cause = gaps[0]
        assert cause == "exchange halted"
        times = [row[0] for row in rows(page, "kline")["rows"]]
        assert not [time_ms for time_ms in times if from_ms <= time_ms < to_ms]
        assert 4_000 <= to_ms - from_ms <= 12_000
        assert max(times) >= to_ms
    finally:
        world.close()
