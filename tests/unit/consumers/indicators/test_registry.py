"""Names of indicators in settings."""

from __future__ import annotations

import pytest
import ta

from consumers.indicators.declarations import BY_COLUMN, descriptions
from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from shared.errors import SettingsError
from tests.unit.consumers.indicators.reference import values_of_ta
from tests.unit.consumers.indicators.series import made_up


def test_all_are_the_columns_of_ta_and_the_weighted_average() -> None:
    import pandas as pd

    frame = pd.DataFrame(made_up(60))
    before = set(frame.columns)
    columns = set(ta.add_all_ta_features(frame, "open", "high", "low", "close", "volume").columns) - before
    assert len(columns) == 86
    assert set(ALL_COLUMNS) == columns | {"trend_wma"}
    assert indicator_set().columns == ALL_COLUMNS
    assert list(values_of_ta(made_up(60)).columns) == list(ALL_COLUMNS)


def test_a_family_is_the_columns_that_begin_with_its_name() -> None:
    for family in ("trend", "momentum", "volatility", "volume", "others"):
        assert indicator_set((family,)).columns == tuple(c for c in ALL_COLUMNS if c.startswith(f"{family}_"))


def test_columns_come_once_in_the_order_named() -> None:
    indicators = indicator_set(
        ("momentum_rsi", "others", "momentum_rsi(14)", "momentum_rsi(21)", "others_cr")
    )
    assert indicators.columns == (
        "momentum_rsi",
        "others_dr",
        "others_dlr",
        "others_cr",
        "momentum_rsi_21",
    )
    assert indicators.warm_up == {
        "momentum_rsi": 13,
        "others_dr": 1,
        "others_dlr": 1,
        "others_cr": 0,
        "momentum_rsi_21": 20,
    }


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("momentum_rsi(14)", "momentum_rsi"),
        ("momentum_rsi( 21 )", "momentum_rsi_21"),
        ("trend_macd(35 5 5)", "trend_macd_35_5_5"),
        ("trend_macd(35, 5, 5)", "trend_macd_35_5_5"),
        ("trend_macd_signal(35)", "trend_macd_signal_35"),
        ("volatility_bbh(20 3)", "volatility_bbh_20_3"),
    ],
)
def test_other_parameters_are_a_suffix_of_the_stored_name(name: str, stored: str) -> None:
    assert indicator_set((name,)).columns == (stored,)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("momentum_rsy", ('"momentum_rsy" is not an indicator', "did you mean momentum_rsi")),
        ("trent", ("did you mean trend",)),
        ("TREND", ('"TREND" is not an indicator',)),
        ("", ('"" is not an indicator',)),
        ("momentum_rsi(21", ("not an indicator", "momentum_rsi")),
        ("trend(21)", ('"trend(21)" is not an indicator',)),
        ("momentum_rsi(x)", ('"x" is not a window of momentum_rsi', "from 2 to 500")),
        ("momentum_rsi()", ('"" is not a window of momentum_rsi',)),
        ("momentum_rsi(1)", ("from 2 to 500",)),
        ("momentum_rsi(501)", ("from 2 to 500",)),
        ("momentum_rsi(9999999999999999999999)", ("from 2 to 500",)),
        ("momentum_rsi(²)", ("from 2 to 500",)),
        ("momentum_rsi(14 3)", ("too many parameters", "window")),
        ("volume_obv(3)", ("too many parameters", "none")),
    ],
)
def test_a_wrong_name_is_refused_in_one_line_with_the_way_out(name: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as refused:
        indicator_set((name,))
    text = str(refused.value)
    assert text.startswith("INDICATORS: ") and "\n" not in text
    for part in parts:
        assert part in text


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(SettingsError, match="names no indicator"):
        indicator_set(())


def test_every_column_is_declared_once() -> None:
    assert len(BY_COLUMN) == len(ALL_COLUMNS) == 87


def test_every_column_has_its_row_of_documentation() -> None:
    rows = {row.column: row for row in descriptions()}
    assert tuple(rows) == ALL_COLUMNS
    assert rows["trend_macd_signal"][1:4] == ("trend", "slow=26 fast=12 signal=9", 33)
    assert rows["momentum_rsi"].text == "Relative strength index, 0–100; 100 without any loss (Wilder 1978)."
    assert all(row.text.endswith(".") for row in rows.values())
