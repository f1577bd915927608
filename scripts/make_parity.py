"""Writes docs/parity.md: every column compared with `ta` on every data set, and the drift of running sums.

    CRYPTOSTREAM_DATA=DIR make parity

takes some minutes and needs the recordings. Ends with 1 if a column differs. Tests compare the page with what
is quick to compute.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from math import fsum, isnan
from pathlib import Path
from typing import Final

from consumers.indicators.bars import Bar
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from tests.unit.consumers.indicators.reference import FLAGS, Comparison, compare
from tests.unit.consumers.indicators.series import (
    SPOT_HOURS,
    SPOT_MINUTES,
    USDM_AVAX_MINUTES,
    USDM_LTC_MINUTES,
    made_up,
    recorded,
)

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
RECORDINGS = Path(os.environ.get("CRYPTOSTREAM_DATA") or Path(__file__).parents[2] / "shared" / "data")
LONG: Final = 100_000
_DRIFT_AT: Final = (1_000, 10_000, 100_000, 1_000_000)

Results = Mapping[str, Comparison]


@dataclass(frozen=True)
class DataSet:
    """A series to compare on.

    Attributes:
        short: heading of a column of the table.
        quick: computed again by a test.
        undefined: largest share of rows that may be 0/0 in a column, as in a market that stands still.
    """

    short: str
    text: str
    bars: Callable[[], list[Bar]]
    quick: bool = False
    undefined: float = 0.1


def _flat() -> list[Bar]:
    """A walk, then a standing price, then a walk again."""
    walk = made_up(1_000, seed=3)
    price = walk[399].close
    standing = [Bar(bar.open_time_ms, price, price, price, price, bar.volume) for bar in walk[400:600]]
    return walk[:400] + standing + walk[600:]


def _silent() -> list[Bar]:
    return [
        bar._replace(volume=0.0) if 300 <= number < 500 else bar
        for number, bar in enumerate(made_up(1_000, seed=4))
    ]


def _gaps() -> list[Bar]:
    """Every hundred bars some are missing and the price is another, up to tenfold."""
    bars = []
    for number, bar in enumerate(made_up(1_000, seed=5)):
        factor = (1.0, 10.0, 0.5, 3.0)[number // 100 % 4]
        if number % 100 >= 7:
            prices = (price * factor for price in bar[1:5])
            bars.append(Bar(bar.open_time_ms, *(*prices, bar.volume)))
    return bars


DATA_SETS: Final = (
    DataSet(
        "spot 1h",
        "BTCUSDT spot, recorded, 7 months of hours",
        lambda: recorded(RECORDINGS, SPOT_HOURS),
        undefined=0.001,
    ),
    DataSet(
        "spot 1m",
        "BTCUSDT spot, recorded, a day of minutes",
        lambda: recorded(RECORDINGS, SPOT_MINUTES),
        quick=True,
        undefined=0.001,
    ),
    DataSet(
        "LTC 1m",
        "LTCUSDT USD-M, recorded, a month of minutes",
        lambda: recorded(RECORDINGS, USDM_LTC_MINUTES),
    ),
    DataSet(
        "AVAX 1m",
        "AVAXUSDT USD-M, recorded, a month of minutes; coarse prices, so many ties",
        lambda: recorded(RECORDINGS, USDM_AVAX_MINUTES),
    ),
    DataSet("flat", "a price that stands still for 200 bars", _flat, quick=True, undefined=0.3),
    DataSet("silent", "200 bars without volume", _silent, undefined=0.3),
    DataSet("gaps", "missing bars and prices that jump up to tenfold", _gaps, quick=True),
    DataSet("huge", "prices of 1e12, volumes of 1e12", lambda: made_up(1_000, seed=6, tick=1e8, volume=1e12)),
    DataSet("tiny", "prices of 1e-4 in steps of 1e-8", lambda: made_up(1_000, seed=7, tick=1e-8)),
    DataSet("long", f"{LONG:,} bars of a walk with flat and silent ones", lambda: made_up(LONG, seed=8)),
)

_HEAD = """\
# Parity with `ta`

All {columns} columns against `ta` 0.11 on pandas 3, on the same bars, row by row from the first one.
Run of {at} UTC: **{verdict}**. Written by `make parity` from the comparison that the tests use.

**Equal** means |ours − `ta`'s| ≤ 1e-9·|`ta`'s| + `ta`'s own rounding noise at that row + 1e-13·(size of
what is added up); NaN meets NaN, ±inf the same inf. The noise is measured, row by row: how far `ta`'s
values move when prices and volumes are multiplied by constants that must cancel, and, for Bollinger bands
and sums of volumes, how far they are from the same formula on each window afresh. Columns that depend
on ties (MFI, ADX, PSAR) get none.

**Not compared, but counted:** *look-ahead*: `ta` fills a shift with the mean of the whole series, so these
rows change with later bars; a stream has NaN there. *0/0*: the exact value is 0/0, or so near that only
rounding remains. *On the band*: a flag on a row in which the close equals the band to within rounding.

*Beyond 1e-9*: values equal only within that noise: those near zero that are differences of far
larger ones, and those in which `ta`'s running variance and sums have drifted.

"""


def results_of(data_set: DataSet) -> tuple[int, Results]:
    """Number of bars, and the comparison of each column."""
    bars = data_set.bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len(bars), compare(bars)


def data_set_row(data_set: DataSet, count: int, results: Results) -> str:
    """A row of the first table, which a test recomputes."""
    equal = sum(not result.wrong for result in results.values())
    undefined, on_the_band = _undefined(results, flags=False), _undefined(results, flags=True)
    numbers = (
        count,
        sum(result.compared for result in results.values()),
        sum(result.look_ahead for result in results.values()),
        undefined,
        on_the_band,
        sum(result.noisy for result in results.values()),
    )
    cells = " | ".join(f"{number:,}" for number in numbers)
    return f"| {data_set.short} | {data_set.text} | {equal} of {len(results)} | {cells} |"


def _undefined(results: Results, *, flags: bool) -> int:
    return sum(result.undefined for column, result in results.items() if (column in FLAGS) == flags)


def page(all_results: Sequence[tuple[DataSet, int, Results]], at: datetime) -> str:
    """The whole page."""
    verdict = "columns differ" if differing(all_results) else "all equal"
    return "".join(
        (
            _HEAD.format(columns=len(ALL_COLUMNS), at=f"{at:%Y-%m-%d %H:%M}", verdict=verdict),
            _lines(_data_sets(all_results)),
            _COLUMNS,
            _lines(_columns(all_results)),
            "\n## Rows not compared\n\nOver all data sets; columns without any are left out.\n\n",
            _lines(_exceptions([results for _, _, results in all_results])),
            _DRIFT,
            _lines(_drift(made_up(_DRIFT_AT[-1], seed=9))),
        )
    )


def differing(all_results: Sequence[tuple[DataSet, int, Results]]) -> list[str]:
    """One line for each column of a data set with differences, or with too many undefined rows."""
    lines = []
    for data_set, count, results in all_results:
        for column, result in results.items():
            name = f"{data_set.short}: {column}"
            if result.wrong:
                lines.append(f"{name}: {len(result.wrong)} rows differ, first {result.wrong[0]}")
            if result.undefined > data_set.undefined * count:
                lines.append(f"{name}: {result.undefined:,} of {count:,} rows are 0/0")
    return lines


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _data_sets(all_results: Sequence[tuple[DataSet, int, Results]]) -> Iterator[str]:
    yield (
        "| data set | what | columns equal | bars | values compared "
        "| look-ahead | 0/0 | on the band | beyond 1e-9 |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for data_set, count, results in all_results:
        yield data_set_row(data_set, count, results)


_COLUMNS = """
## Columns

For each data set the largest difference, relative to the value or to the size of what is added up in it
(prices in MACD, 100 in percentages), whichever is larger; 0: the same to the bit. *Beyond 1e-9*: rows that
differ by more than 1e-9 of the value alone.

"""


def _columns(all_results: Sequence[tuple[DataSet, int, Results]]) -> Iterator[str]:
    names = [data_set.short for data_set, _, _ in all_results]
    yield f"| column | rows compared | beyond 1e-9 | {' | '.join(names)} |"
    yield "|---" * (len(names) + 3) + "|"
    for column in ALL_COLUMNS:
        of_column = [results[column] for _, _, results in all_results]
        compared, noisy = (
            sum(counts) for counts in zip(*((r.compared, r.noisy) for r in of_column), strict=True)
        )
        cells = " | ".join(
            "**differs**" if r.wrong else f"{r.largest:.0e}" if r.largest else "0" for r in of_column
        )
        yield f"| `{column}` | {compared:,} | {noisy:,} | {cells} |"


def _exceptions(all_results: Sequence[Results]) -> Iterator[str]:
    yield "| column | look-ahead | 0/0 | on the band |"
    yield "|---|---|---|---|"
    for column in ALL_COLUMNS:
        ahead = sum(results[column].look_ahead for results in all_results)
        undefined = sum(results[column].undefined for results in all_results)
        if ahead or undefined:
            by_kind = (ahead, 0, undefined) if column in FLAGS else (ahead, undefined, 0)
            yield f"| `{column}` | {' | '.join(f'{number:,}' if number else '' for number in by_kind)} |"


_DRIFT = """
## Drift of running sums

Sums and averages over a window are recomputed from the window at every bar, so that they cannot drift,
however long a series runs. Rounding errors of exponential averages decay like their past.
`others_cr` is the close over the first close: nothing accumulates. Four columns accumulate (or multiply) from
the first bar on, as in `ta`; their error against the exact sum of the same terms (`math.fsum`; 50
decimal digits for the product in `volume_nvi`), relative to the largest sum so far:

"""


def _drift(bars: Sequence[Bar]) -> Iterator[str]:
    yield f"| column | {' | '.join(f'{count:,} bars' for count in _DRIFT_AT)} |"
    yield "|---" * (len(_DRIFT_AT) + 1) + "|"
    for column, exact_at in _EXACT.items():
        indicators = indicator_set((column,))
        state = indicators.initial()
        values = []
        for bar in bars:
            state, (value,) = indicators.step(state, bar)
            values.append(value)
        cells = []
        for count, exact in zip(_DRIFT_AT, exact_at(bars), strict=True):
            largest = max(abs(value) for value in values[:count] if not isnan(value))
            cells.append(f"{abs(values[count - 1] - exact) / largest:.0e}")
        yield f"| `{column}` | {' | '.join(cells)} |"


def _sums(terms: Sequence[float]) -> Iterator[float]:
    return (fsum(terms[:count]) for count in _DRIFT_AT)


def _exact_adi(bars: Sequence[Bar]) -> Iterator[float]:
    def term(bar: Bar) -> float:
        width = bar.high - bar.low
        return ((bar.close - bar.low) - (bar.high - bar.close)) / width * bar.volume if width else 0.0

    return _sums([term(bar) for bar in bars])


def _exact_obv(bars: Sequence[Bar]) -> Iterator[float]:
    pairs = zip(bars, (bars[0], *bars), strict=False)
    return _sums([-bar.volume if bar.close < before.close else bar.volume for bar, before in pairs])


def _exact_vpt(bars: Sequence[Bar]) -> Iterator[float]:
    pairs = zip(bars, (bars[0], *bars), strict=False)
    return _sums([(bar.close / before.close - 1.0) * bar.volume for bar, before in pairs])


def _exact_nvi(bars: Sequence[Bar]) -> Iterator[float]:
    with localcontext(prec=50):
        product = Decimal(1000)
        for number, (bar, before) in enumerate(zip(bars, (bars[0], *bars), strict=False), 1):
            if before.volume > bar.volume:
                product *= 1 + Decimal(bar.close / before.close - 1.0)
            if number in _DRIFT_AT:
                yield float(product)


_EXACT: Final = {
    "volume_adi": _exact_adi,
    "volume_obv": _exact_obv,
    "volume_vpt": _exact_vpt,
    "volume_nvi": _exact_nvi,
}


def main() -> int:
    """0 if all columns are equal on all data sets, 1 if not."""
    if not RECORDINGS.is_dir():
        sys.exit(f"no recordings at {RECORDINGS}; name their directory by CRYPTOSTREAM_DATA")
    all_results = []
    for data_set in DATA_SETS:
        began_s = time.monotonic()
        count, results = results_of(data_set)
        all_results.append((data_set, count, results))
        sys.stdout.write(f"{data_set.short}: {count:,} bars, {time.monotonic() - began_s:.0f} s\n")
        sys.stdout.flush()
    PAGE.write_text(page(all_results, datetime.now(UTC)), encoding="utf-8")
    lines = differing(all_results)
    sys.stdout.write("\n".join([*lines, "columns differ" if lines else "all equal", ""]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
