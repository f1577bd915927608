"""Writes docs/exchanges.md and the README's table of promises from the declarations (`make docs`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from producers.exchanges.port import Exchange, Promises
from producers.exchanges.registry import EXCHANGES

_ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = _ROOT / "docs" / "exchanges.md"
README: Final = _ROOT / "README.md"
_BEGIN: Final = "<!-- promises -->"
_END: Final = "<!-- /promises -->"
_HEAD: Final = """\
# Exchanges

What is promised of each kind of data, and by what it is proved. Each exchange declares it in its own folder
(`producers/exchanges/`), and this page is written from there (`make docs`). What cannot be had is entered as
`lost`, or as an `unsynced` span of the book; nothing that is missing counts as complete.
"""
_TAIL: Final = """\
## Several exchanges

`SYMBOLS=BTCUSDC,kraken:BTC/USD,coinbase:BTC-USD`: a symbol is written as its exchange writes it, with
the exchange's name before it; without one it belongs to `EXCHANGE`. A producer process carries one
exchange (`cryptostream produce --symbols kraken:BTC/USD`); consumers, topics, stores and the page are
the same for all. Records, points and ledger are by exchange and symbol, so that the same name on two
exchanges is never mixed. Symbols are in upper case everywhere: Kraken's pairs with lower-case letters,
such as `AAPLx/USD`, are not supported.

`query`, `ledger` and `repair` take `kraken:BTC/USD`; a symbol alone is that of the exchange in
`SYMBOLS` that has it, and has to be named in full if two have. `run` ends with a verdict on each
exchange ([running](running.md)). The page puts the same base and quote side by side, as the exchanges
say them, Grafana by the symbols' names alone; a dollar's tokens (USDC, USDT, FDUSD) count as dollars
there. `query instruments all` shows what each exchange says: assets, tick, lot, alias, status, promises.

## How far this is tested

Binance: seeded runs against the exchange's log ([oracle.md](oracle.md)), chaos scenarios and power
cuts ([faults.md](faults.md)), and recordings of the exchange. Kraken and Coinbase: numbered cases
with faults (`tests/exchange_contract/`), chaos scenarios on real Kafka and InfluxDB
([those that were run](faults.md#on-kraken-and-coinbase)) and whole runs with killed producers, on
the simulated exchange; their readers also on recordings; **not against the exchanges themselves**,
nor in the oracle. Without one of the mechanisms that prove sides, books, holes and bars, named cases
fail, and that is a test.

Known to fall short on Binance, where a bar is compared with its trades within a second of its
publication, and one that differs is entered in the ledger. A start compares the last minute's again,
since a kill or a power cut may have prevented that
([how](decisions/ledger.md#bars-that-nobody-compared)). Bars with trades that nobody has are not
compared; one that the exchange sent wrong is then stored, and a run that calls itself complete has
not looked at it:

- The minute in which a series begins; longer bars while minutes of theirs are from before a start,
  and bars of deployments without 1s and 1m.
- Bars that waited for trades for more than a minute when the producer was killed.
- The bars of more than five minutes without a producer, which come over REST.
- Bars more than a quarter of an hour older than the newest when a producer starts, as after a longer
  outage; trades beyond the last 100,000 records of their partition.
- A power cut that takes the entry alone, and no record that makes the producer start again.
- Starts that read no topics: on the memory broker of `make run`, and by `--bearings`.

Known to fall short where bars are built from trades:

- A restart reads up to 50,000 trades again; a long bar with more since its begin is `lost`, the
  next one whole.
- A start whose earlier trades REST does not serve, or not with proof, waits up to a quarter of an hour;
  then bars begin with the stream, and those before are `lost`.
- One lost trade marks every bar since the trade before it `incomplete`: nobody knows in which it
  was.
- A trade that comes after a restart, and is of a bar that the producer before it had closed by the
  clock and published: the bar is `revised`, or `incomplete` where there are too many trades to build
  it again. Nothing says so of bars over five minutes older than the newest, and at starts that read
  no topics (as above).
- Kraken: where one pair has some 500 trades a second when a producer starts, pages of two seconds may
  leave out trades whose times are out of order, and bars built at that start count them as never issued.
- No bar is held beside the exchange's own candles.
- Coinbase: of 50 kills of the producer, each within seconds of its start, some made it publish bars
  again that were on their topics ([faults.md](faults.md#results-on-coinbase)); stored bars are right.
- Coinbase: after an outage of more than 64,000 trades its numbering is not proved, and they are
  `lost`.
- Coinbase: of two messages that were lost, the later one, coming late, hides that the earlier is
  missing until a trade or REST shows it: a bar may be final too early, and is `revised` or
  `incomplete` then.

## Another exchange

A folder below `producers/exchanges/` with one value that fulfils `producers/exchanges/port.py:Exchange`, a
line in `producers/exchanges/registry.py:EXCHANGES`, and a line in `shared/markets.py:NOTATIONS` on how its
symbols are written. Nothing else imports the folder; `make lint` keeps it so. It is accepted when
`tests/exchange_contract/` passes with its symbols in `tests/exchange_contract/stand.py:SYMBOLS`. The
smallest that passes is `tests/exchange_contract/toy/`, with its simulated side; chaos runs on it by a line
of `chaos/venues.py:VENUES`.

Generic code chooses by `promises`: bars from `trades` are built by `producers/built_bars.py`, books by `crc`
or `counter` are kept by `producers/streamed_book_feed.py`, and trades repaired by `time` are asked for with
what is known beside them.

| part of the port | gives |
|---|---|
| `connections` | URL, frames to send, streams, longest frame, age, how long each may be silent |
| `parser` | of one connection: messages of the contract, rejects and signs of life |
| `lanes` | short ways of usual frames, beside the parser ([how](decisions/lanes.md)); none is needed |
| `rest` | repair, warm-up, snapshots, statuses, listings and the clock, within the exchange's limits |
| `read_row` | reads a row again that was once rejected, for the dead letters |
| `enquiry`, `audit` | single questions of `doctor`; what was issued, by which a run is checked |
| `limits`, `snapshot_cost` | how often it may be asked |
| `promises` | the table above |
"""
_ROWS: Final[Sequence[tuple[str, Callable[[Promises], str], Callable[[Promises], str]]]] = (
    ("trades", lambda of: of.trades.guarantee, lambda of: of.trades.proof),
    ("bars", lambda of: of.bars.guarantee, lambda of: of.bars.proof),
    ("warm-up", lambda of: of.bars.warm_up, lambda _: ""),
    ("book", lambda of: of.book.guarantee, lambda of: of.book.proof),
    ("quotes", lambda of: of.quotes.guarantee, lambda of: of.quotes.proof),
    ("halts", lambda of: of.halts, lambda _: ""),
)


def promises_table(exchanges: Sequence[Exchange]) -> str:
    """What each exchange guarantees of each kind of data, an exchange a column."""
    lines = [
        f"| stream | {' | '.join(exchange.title for exchange in exchanges)} |",
        f"|---|{'---|' * len(exchanges)}",
    ]
    lines += [
        f"| {name} | {' | '.join(guarantee(exchange.promises) for exchange in exchanges)} |"
        for name, guarantee, _ in _ROWS
    ]
    return "\n".join(lines)


def page(exchanges: Sequence[Exchange]) -> str:
    """The whole page."""
    parts = [_HEAD, promises_table(exchanges) + "\n", *map(_proofs, exchanges), _TAIL]
    return "\n".join(parts)


def with_promises(readme: str, exchanges: Sequence[Exchange]) -> str:
    """The README with a new table."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{promises_table(exchanges)}\n{_END}{after}"


def _proofs(exchange: Exchange) -> str:
    of, names = exchange.promises, exchange.settings
    lines = [f"## {exchange.title}", "", "| stream | proof |", "|---|---|"]
    lines += [f"| {name} | {proof(of)} |" for name, _, proof in _ROWS if proof(of)]
    settings = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
    return "\n".join(
        [*lines, "", f"`EXCHANGE={exchange.name}`; its addresses: {settings} ([settings](settings.md)).", ""]
    )


def main() -> None:
    exchanges = tuple(EXCHANGES.values())
    PAGE.write_text(page(exchanges), encoding="utf-8")
    README.write_text(with_promises(README.read_text(encoding="utf-8"), exchanges), encoding="utf-8")


if __name__ == "__main__":
    main()
