from __future__ import annotations

from docs.make_indicators import PAGE, page


def test_the_page_of_indicators_is_that_of_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"
