"""Debian's Chromium on the page of a whole stack: real Kafka, real InfluxDB, the simulator.

A stack is shared by the tests of a file that leave it whole; a test that breaks it for good has its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from chaos.servers import Servers
from tests.conftest import ROOT, real_influx, real_kafka
from tests.integration.browser.viewing import ARGUMENTS, Watched
from tests.integration.browser.world import World

PAGE: Final = ROOT / "web" / "out" / "index.html"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("engines")
    with Servers(real_kafka(directory / "kafka"), real_influx(directory / "influx")) as started:
        yield started


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed; get it by: apt-get install chromium")
    if not PAGE.exists():
        pytest.skip("the page is not built; build it by: make web")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(servers: Servers, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(servers, tmp_path_factory.mktemp("world"))
    try:
        world.start()
        yield world
    finally:
        world.close()


@pytest.fixture
def own_world(servers: Servers, browser: Browser, tmp_path: Path) -> Iterator[World]:
    world = World(servers, tmp_path)
    try:
        world.start()
        yield world
    finally:
        world.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A fresh tab; at the end, nothing has failed in it and no request has left the page's origin."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    watched = Watched(context.new_page())
    yield watched
    context.close()
    assert watched.errors == []
    assert watched.strangers == []


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page
