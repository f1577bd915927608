"""States as bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import pytest

from consumers.indicators.indicator_set import STATE_LAYOUT
from consumers.indicators.registry import indicator_set
from tests.unit.consumers.indicators.series import made_up


def state_after(names: tuple[str, ...], count: int) -> bytes:
    indicators = indicator_set(names)
    state = indicators.initial()
    for bar in made_up(count):
        state, _ = indicators.step(state, bar)
    return indicators.dump(state)


def test_nan_infinity_and_negative_zero_survive() -> None:
    indicators = indicator_set(("volume_obv",))
    numbers, windows = indicators.initial()
    for special in (math.nan, math.inf, -math.inf, -0.0):
        odd = (*numbers[:-1], special), windows
        kept = indicators.load(indicators.dump(odd))[0][-1]
        assert struct.pack("<d", kept) == struct.pack("<d", special)


def test_a_state_of_another_set_is_refused() -> None:
    with pytest.raises(ValueError, match="another set"):
        indicator_set(("momentum_rsi(21)",)).load(state_after(("momentum_rsi",), 30))


def test_a_state_of_the_same_columns_in_another_order_is_refused() -> None:
    with pytest.raises(ValueError, match="another set"):
        indicator_set(("volume_obv", "volume_adi")).load(state_after(("volume_adi", "volume_obv"), 30))


def test_a_state_of_another_layout_is_refused() -> None:
    data = bytearray(state_after(("all",), 30))
    assert data[3] == STATE_LAYOUT
    data[3] -= 1
    with pytest.raises(ValueError, match="layout"):
        indicator_set().load(bytes(data))


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:10]]
)
def test_a_state_cut_short_or_too_long_is_refused(change: Callable[[bytes], bytes]) -> None:
    data = state_after(("all",), 30)
    with pytest.raises(ValueError, match="state"):
        indicator_set().load(change(data))


@pytest.mark.parametrize("data", [b"", b"{}", b'{"schema":1}' * 10])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an indicator state"):
        indicator_set().load(data)
