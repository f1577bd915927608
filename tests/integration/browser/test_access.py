"""Every screen can be used by everybody: axe, narrow screens, both colour schemes, no other origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

from tests.conftest import ROOT
from tests.integration.browser.world import World

SCREENS: Final = ("", "book/", "compare/", "health/")
AXE: Final = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed; get it by: make web")
    return Path(AXE).read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_serious(world: World, page: Page, axe: str, screen: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{world.url}/{screen}")
    page.wait_for_selector("main, #screen")
    page.evaluate(axe)
    found: list[Any] = []
    world.until("a moment without doubt", lambda: _without_doubt(page, found), doubt=lambda: _doubt(page))
    assert found == []


# What is not the market as it is now is greyed on purpose: a banner, a book out of step, figures of before.
_DOUBT: Final = """() => window.cryptostream.stats().connection !== "open" ? "not connected"
  : document.querySelector(".banner")?.textContent
  ?? document.querySelector("[data-unsynced=true], [data-away=true]")?.outerHTML.slice(0, 300) ?? "" """
# What axe finds; null if the page was in doubt, for however short a moment.
_VIOLATIONS: Final = f"""async () => {{
  const doubt = {_DOUBT};
  let doubted = doubt() !== "";
  const observer = new MutationObserver(() => {{ doubted ||= doubt() !== ""; }});
  observer.observe(document.body, {{ subtree: true, childList: true, attributes: true }});
  const {{ violations }} = await axe.run(document);
  observer.disconnect();
  return doubted ? null : violations;
}}"""


def _doubt(page: Page) -> str:
    return str(page.evaluate(_DOUBT))


def _without_doubt(page: Page, found: list[Any]) -> bool:
    """Whether axe has looked at the page while it was in no doubt; what it found."""
    violations = None if _doubt(page) else page.evaluate(_VIOLATIONS)
    for each in violations or ():
        found.append((each["id"], each["nodes"][0]["failureSummary"], each["nodes"][0]["html"]))
    return violations is not None


@pytest.mark.parametrize("width", [360, 768, 3840])
@pytest.mark.parametrize("screen", SCREENS)
def test_no_screen_scrolls_sideways(world: World, page: Page, screen: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{world.url}/{screen}")
    page.wait_for_selector("main, #screen")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
