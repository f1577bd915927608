"""Writes docs/indicators.md from the registry; `make docs` runs it, and a test holds the page to it."""

from __future__ import annotations

from pathlib import Path

from consumers.indicators.declarations import descriptions

PAGE = Path(__file__).parent / "indicators.md"
_HEAD = """\
# Indicators

All columns of `ta.add_all_ta_features` (ta 0.11) and `trend_wma`, streaming: each bar's values come from
the bars up to it, in bounded memory, equal to `ta` to 1e-9 relative. Choose by `INDICATORS`: `all`,
families, columns, or columns with other parameters, in the order given here and parted by spaces:
`momentum_rsi(21)` is stored as `momentum_rsi_21`.

Warm-up: how many bars come before the first value. Where `ta` itself uses later bars (it fills a shift
with the mean of the whole series: rows 14–51 of `trend_kst*`, 0–25 of `trend_visual_ichimoku_*`) there
is no value here.

| column | family | parameters | warm-up | what it is |
|---|---|---|---|---|
"""


def page() -> str:
    rows = (
        f"| `{row.column}` | {row.family} | {row.parameters} | {row.warm_up} | {row.text} |"
        for row in descriptions()
    )
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
