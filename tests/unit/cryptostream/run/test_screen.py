"""The screen as text, at the sizes it is made for."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from cryptostream.output import computed, price
from cryptostream.run.display import status_line
from cryptostream.run.screen import ledger_report, render
from cryptostream.run.view import BarView, InstrumentView, LedgerRow, RunView, ServiceView

INTERVALS = ("1s", "1m", "15m", "1h", "1d")


def instrument(symbol: str, last_price: float, direction: int = 1) -> InstrumentView:
    bars = tuple(
        BarView(interval, last_price, 55.12, 12.3456, -3.2, last_price / 1000, open=interval == "1d")
        for interval in INTERVALS
    )
    return InstrumentView(
        symbol, last_price, direction, last_price * 0.9999, last_price * 1.0001, 2.0, True, bars
    )


def service(name: str, **changed: Any) -> ServiceView:
    view = ServiceView(name, 1234.5, 3, 0.1, 0, 0, 0.4, 12.0)
    return replace(view, **changed)


@pytest.fixture
def view() -> RunView:
    services = [service(f"consumer-klines-{interval}") for interval in INTERVALS]
    services += [service(f"consumer-{stream}") for stream in ("trades", "book", "quotes", "ledger")]
    ledger = [
        LedgerRow(symbol, "klines", interval, expected=1100, stored=1100, backfilled=1000)
        for symbol in ("BTCUSDC", "ETHUSDC")
        for interval in INTERVALS
    ]
    return RunView(
        title_lines=(
            "source: simulator (no network: " + "very long reason " * 10,
            "broker: memory (mvn: not on the PATH)   store: SQLite data/simulator/cryptostream.db",
        ),
        phase="running",
        uptime_s=3725.0,
        instruments=(
            instrument("BTCUSDC", 61602.01),
            instrument("ETHUSDC", 2651.07, -1),
            instrument("XRPUSDC", 0.612345),
            instrument("SOLUSDC", 151.234, 0),
        ),
        services=(*services, service("producer", messages_per_s=987.0)),
        ledger=(*ledger, LedgerRow("BTCUSDC", "trades", "", expected=5000, stored=4990, lost=10)),
        log_lines=tuple(f"12:00:0{second} event {second}" for second in range(9)),
    )


def drawn(view: RunView, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(render(view, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_everything_that_is_promised_stands_on_100_by_30(view: RunView) -> None:
    lines = drawn(view, 100, 30)
    text = "\n".join(lines)
    assert len(lines) <= 30 and max(map(len, lines)) <= 100
    for symbol in ("BTCUSDC 61,602.01 ▲", "ETHUSDC 2,651.07 ▼", "XRPUSDC 0.612345 ▲", "SOLUSDC 151.234 ·"):
        assert symbol in text
    for part in ("RSI", "MACD", "signal", "ATR", "55.1", "2.00bp", "producer", "klines ×5", "running"):
        assert part in text
    assert "up 1:02:05" in text
    assert "simulator" in text and "memory" in text
    assert "trades" in text and "4,990" in text
    assert "event 8" in text


def test_each_interval_has_its_row_for_each_symbol(view: RunView) -> None:
    lines = drawn(view, 100, 30)
    for interval in INTERVALS:
        assert sum(line.split()[:1] == [interval] for line in lines) == 2  # two symbols side by side


@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (100, 30), (140, 50), (200, 60), (40, 12)])
def test_no_size_is_overrun_in_width(view: RunView, width: int, height: int) -> None:
    assert max(map(len, drawn(view, width, height))) <= width


@pytest.mark.parametrize(("width", "height"), [(100, 30), (120, 40), (200, 60)])
def test_no_usual_size_is_overrun_in_height(view: RunView, width: int, height: int) -> None:
    assert len(drawn(view, width, height)) <= height


def test_symbols_without_room_are_named(view: RunView) -> None:
    many = replace(view, instruments=tuple(instrument(f"COIN{n}USDC", 10.0 + n) for n in range(20)))
    lines = drawn(many, 100, 30)
    assert len(lines) <= 30
    assert any("more: COIN4USDC" in line for line in lines)


def test_a_taller_terminal_shows_more_of_the_log(view: RunView) -> None:
    assert sum("event" in line for line in drawn(view, 100, 40)) > sum(
        "event" in line for line in drawn(view, 100, 30)
    )


def test_an_empty_start_can_be_drawn() -> None:
    lines = drawn(RunView((), "starting", 0.0), 100, 30)
    assert "starting" in lines[0]


def test_the_status_line_says_the_state_in_one_line(view: RunView) -> None:
    line = status_line(view)
    assert "\n" not in line
    assert "ledger 15,990/16,000" in line
    assert "BTCUSDC 61,602.01 RSI 1s 55" in line
    assert "987 msg/s" in line


def test_the_report_has_a_line_for_each_series(view: RunView) -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(ledger_report(view.ledger))
    lines = out.getvalue().splitlines()
    assert lines[0].split() == [
        *("stream", "interval", "symbol", "expected", "stored"),
        *("backfilled", "halted", "offline", "lost", "duplicates"),
    ]
    assert len(lines) == 1 + len(view.ledger)
    assert lines[-1].split() == ["trades", "–", "BTCUSDC", "5,000", "4,990", "0", "0", "0", "10", "0"]


def tiny(scale: float) -> InstrumentView:
    """Prices of such a size, as an exchange quotes them."""
    last, bid, ask = (float(f"{ticks * scale:.10g}") for ticks in (886, 885, 887))
    bars = tuple(
        BarView(interval, last, 55.1234, -0.123456 * scale, 1.23456 * scale, 2.34567 * scale)
        for interval in INTERVALS
    )
    return InstrumentView("PEPEUSDT", last, 1, bid, ask, 11.28, True, bars)


@pytest.mark.parametrize("scale", [1e-11, 1e-8, 1e-4, 1e2, 1e5])
@pytest.mark.parametrize("width", [28, 40, 60, 80, 100, 140])
def test_no_digit_of_a_price_or_a_figure_is_cut_at_any_width(view: RunView, scale: float, width: int) -> None:
    quote = tiny(scale)
    lines = drawn(replace(view, instruments=(quote, quote), warnings=(), title_lines=()), width, 60)
    text = "\n".join(lines)
    begin = next(at for at, line in enumerate(lines) if "PEPEUSDT" in line)
    prices = lines[begin : begin + 2 + len(INTERVALS)]
    assert not any("…" in line for line in prices)
    assert price(quote.last_price) in text
    headings = prices[1].split()
    for name, value in (
        ("MACD", quote.bars[0].macd),
        ("signal", quote.bars[0].macd_signal),
        ("ATR", quote.bars[0].atr),
    ):
        if name in headings:
            assert computed(value).replace(",", "") in text
        elif width >= 40:
            assert re.search(f"no room for .*{name}", text)


def test_prices_have_the_decimals_that_one_of_them_was_seen_with(view: RunView) -> None:
    quote = replace(instrument("BTCUSDC", 94_248.7), decimals=2)
    assert any("94,248.70 ▲" in line for line in drawn(replace(view, instruments=(quote,)), 100, 30))
    assert "BTCUSDC 94,248.70 RSI" in status_line(replace(view, instruments=(quote,)))
