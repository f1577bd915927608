"""Writes docs/indicators.md from the registry (`make docs`); a test keeps the page up to date."""

from __future__ import annotations

from pathlib import Path

from consumers.indicators.declarations import descriptions

PAGE = Path(__file__).parents[1] / "docs" / "indicators.md"
_HEAD = """\
# Indicators

All columns of `ta.add_all_ta_features` (ta 0.11) and `trend_wma`, streaming: each bar's values come from
the bars up to it, in bounded memory, equal to `ta` to 1e-9 relative ([parity.md](parity.md) has every
column on every data set, and what is not compared).

## Choosing

The setting `INDICATORS`, and `--indicators` of the command below, take names separated by commas: `all`,
families (`momentum`), columns (`trend_macd`), or a column with other parameters, in the order of the table
and separated by spaces: `momentum_rsi(21)` is stored as `momentum_rsi_21`, `trend_macd(35 5 5)` as
`trend_macd_35_5_5`. Omitted parameters keep their defaults. A wrong name stops the start; the error
suggests the nearest valid one.

## Live and confirmed

A closed bar steps the state once; its values are stored as `indicator` and never repaint: a test records
them as they are stored, among updates of open bars, repeats and a restart, and compares them bit for bit
with a later computation. The open bar's values come from a fork of that state and are stored as
`indicator_live`: the values of `indicator` if the bar closed now. An open bar never changes the
state.

## From files

`cryptostream indicators FILE…` computes the same from klines in files: archives of Binance (CSV, ZIP,
gzip; with or without a header line, also repeated; times in s, ms, µs or ns), or the
output of `cryptostream query klines` as CSV or JSON; also `-` or a pipe. Several files form one series, in
order of time whatever the order of the names.

```
$ cryptostream indicators BTCUSDT-1m-2025-07-13.zip --indicators 'momentum_rsi,trend_sma_fast(50)' | tail -2
1752451080000,64.94937470170684,118751.75959999999
1752451140000,67.39030745562359,118763.4864
$ cryptostream query klines BTCUSDC 1m --format csv > klines.csv
$ cryptostream indicators klines.csv --output indicators.csv
$ cryptostream indicators BTCUSDT-1h-2024-*.zip --format parquet --output 2024.parquet
```

- One row per bar, `open_time_ms` first. CSV: NaN is empty, infinity `inf`. Parquet (`pip install
  'cryptostream[parquet]'`): null for NaN. A file named by `--output` is written completely or not at all.
- Memory does not grow with the series; 40,320 bars with all columns take 24 MB
  (195 MB as Parquet, most of it the library) and some 9 s of a shared core.
- The interval follows from the archive's name or the bars; otherwise give `--interval`. Files, and
  those in a ZIP, must agree in symbol, interval, exchange and market (by the folders of data.binance.vision,
  `…/spot/…`, `…/futures/um/…`, or by symbols like `BTCUSD_PERP`); otherwise the error names both. Mixed files
  with and without a header line, as futures and spot have them, are noted.
- Bars off the grid of their interval, as Binance's were in early 2018, are accepted, counted and
  noted.
- A bar repeated with the same values (at the border of two files) counts once, an open
  bar is left out, and indicators continue over a gap, as in the services; each is noted on standard error.
  Bars that go back in time, repeat with other values, or are of another symbol or interval end the command,
  as does a line that is no kline: with the file, the line and exit code 2.
- `--engine ta` computes with the library itself, on the whole series at once, for comparison. It has default
  parameters only, needs 28 bars, and looks ahead in some columns (see below).

```
$ cryptostream indicators BTCUSDT-1m-2025-07-13.zip --check-lookahead
no column uses a later bar (1,440 bars, 87 columns; cut at 7 places)
$ cryptostream indicators BTCUSDT-1m-2025-07-13.zip --check-lookahead --engine ta
column                   rows that change  first  last
trend_kst                             264     14   479
trend_kst_sig                         620     14   860
trend_kst_diff                        610     15   860
trend_visual_ichimoku_a                26      0    25
trend_visual_ichimoku_b                26      0    25

5 columns use later bars (1,440 bars, 87 columns; cut at 7 places)
```

`--check-lookahead` computes the series up to several cuts, without and with different bars after them, and
compares every value before the cut bit for bit; exit code 1 if one differs. (After row 51 the `trend_kst*`
of `ta` change in their last digits only, through its running sums.)

`--check-warmup` recomputes from several later bars and shows after how many bars each column equals that
of the run from the first bar, and stays equal (some of its rows):

```
$ cryptostream indicators BTCUSDT-1h-20*.zip --check-warmup
column          declared warm-up  stable after
trend_sma_slow                25  25
trend_ema_slow                25  210
trend_stc                     71  590
momentum_rsi                  13  271
volatility_atr                 0  197
volume_obv                     0  never (sums from the first bar)

In bars before the value. 5 later starts, each followed for 1,420 of 5,088 bars;
stable: from there on equal to the run from the first bar,
to 1e-09 of the value or 1e-12 of the column's largest.
```

A window is stable when it is full; an exponential average decays to 1e-9 in some ten times its window,
Wilder's averages (RSI, ADX, ATR) in some twenty times, sums from the first bar never. `WARMUP_BARS=1000`
covers everything but those sums.

## All columns

Warm-up: number of bars before the first value. Where `ta` itself looks ahead (it fills a shift
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
