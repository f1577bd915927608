"""The runs that the numbered cases look at: their faults, and what each has to show before it may end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.exchange_contract.stand import ALIASES, SYMBOLS, Run


@dataclass(frozen=True, slots=True)
class Order:
    """A run that is wanted.

    Attributes:
        case: a name of `FAULTS`.
        without: the mechanism that is taken out, by its name; "" for none. Such a run goes on until its
            faults have struck and trades are there, since what a case wants to see may never come.
        faults: in place of the case's own.
    """

    exchange: str
    case: str
    without: str = ""
    faults: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        return self.faults or FAULTS[self.case][0]

    @property
    def age_s(self) -> float | None:
        return FAULTS[self.case][1]

    @property
    def markets(self) -> Mapping[str, str]:
        """By symbol as it is asked for, the market's own."""
        aliases = ALIASES if self.case == "alias" else {}
        return {aliases.get(symbol, symbol): symbol for symbol in SYMBOLS[self.exchange]}

    def shown(self, run: Run) -> bool:
        """Whether all has happened that is looked at."""
        if self.without:
            return _enough({} if self.faults else STRUCK.get(self.case, {}), run)
        return shown(self.case, run)


# Seconds lie between two faults: a book proved by a counter of all messages is exact between them.
# By case: the simulator's faults, and after how many seconds a connection is replaced.
FAULTS: Final[Mapping[str, tuple[tuple[str, ...], float | None]]] = {
    "none": ((), None),
    "gap": (("skip:every=3,streams=trade",), None),
    "duplicate": (("duplicate:every=1,streams=trade",), None),
    "reorder": (("reorder:every=3,streams=trade",), None),
    "reconnect": (("drop:at=6",), None),
    "silent": (("silent:at=4,duration=60",), None),
    # Of a quiet stream the next connection takes over after 10 s.
    "rollover": ((), 3.0),
    "halt": (("halt:at=6,duration=4",), None),
    "bad frame": (("malformed:every=5,streams=trade", "truncated:every=7,streams=trade"), None),
    "bad book": (("malformed:every=6,streams=depth", "skip:every=8,streams=depth"), None),
    "repair": (("skip:every=4,streams=trade", "rest_5xx:every=5", "rest_garbage:every=7"), None),
    "checksum": (("bad_checksum:every=4",), None),
    "acknowledgement": (("wrong_ack:at=0",), None),
    "counter": (("counter_jump:every=4,streams=trade",), None),
    "alias": (("skip:every=3,streams=trade", "drop:at=8"), None),
}
ONLY: Final = {
    "checksum": ("kraken",),
    "acknowledgement": ("kraken",),
    "counter": ("coinbase",),
    "alias": ("coinbase",),
}
# Cases in which the connection stays as it is.
CALM: Final = ("none", "gap", "duplicate", "reorder", "bad frame", "repair")
# In which the stream withholds trades while it lives: a quiet bar may be closed without them, and is revised.
WITHHELD: Final = ("gap", "reorder", "repair", "alias")
# A message of any channel that does not come in its turn leaves no book proved by a counter.
UNCOUNTED: Final = ("gap", "reorder", "repair")
# Heartbeats tell within seconds that a connection is dead.
HEARD: Final = ("kraken", "coinbase")
# Its REST does not say the step of quantities, but with how many places they are written.
WRITTEN_PLACES: Final[Mapping[str, int]] = {"kraken": 8}
# Its stream leaves closing zeros out.
TRIMMED: Final = ("coinbase",)
UNDISTURBED: Final = ("none", "gap", "duplicate", "reorder", "repair", "rollover")
# What a case has to show, by kind of fault: how often it has struck at least.
STRUCK: Final[Mapping[str, Mapping[str, int]]] = {
    "gap": {"skip": 5},
    "duplicate": {"duplicate": 5},
    "reorder": {"reorder": 3},
    "reconnect": {"drop": 1},
    "silent": {"silent": 1},
    "halt": {"halt": 1},
    "bad frame": {"malformed": 2, "truncated": 1},
    "bad book": {"malformed": 2, "skip": 2},
    "repair": {"skip": 3},
    "checksum": {"bad_checksum": 3},
    "acknowledgement": {"wrong_ack": 1},
    "counter": {"counter_jump": 3},
    "alias": {"skip": 3, "drop": 1},
}
# What an address may do, by exchange: messages a second on its connections, and requests over REST in ten
# seconds, of which a start may send a burst (the documents of the first two name no figure for all requests
# alike: Binance weighs them, Kraken only says that it may refuse).
MESSAGES_A_SECOND: Final = {"binance": 5, "coinbase": 8}
REQUESTS_IN_10_S: Final = {"kraken": 20 + 10, "coinbase": 20 + 80}
# Exact books of the busy symbol.
BOOKS: Final = 10
CASES: Final = [
    (exchange, case) for exchange in SYMBOLS for case in FAULTS if exchange in ONLY.get(case, (exchange,))
]


# Without a mechanism, trades and books of that many of the market's seconds have to show it.
_TRADES: Final = 60


def books_to_see(case: str, symbol_at: int) -> int:
    return BOOKS if symbol_at == 0 and case != "silent" else 0


def shown(case: str, run: Run) -> bool:
    """Whether all has happened that the tests of a case look at."""
    if any(run.hits.get(kind, 0) < least for kind, least in STRUCK.get(case, {}).items()):
        return False
    changed, calm = run.rollovers + run.reconnects, run.symbols[1]
    match case:
        case "none":
            flat = any(not bar["trade_count"] for bar in run.bars(calm))
            seen = flat and all(len(run.quotes(symbol)) >= 3 for symbol in run.symbols)
        case "gap":
            seen = sum(repaired(run, symbol) for symbol in run.symbols) >= 5
        case "duplicate":
            seen = any(run.ledger(symbol, "duplicate") for symbol in run.symbols)
        case "reconnect" | "alias":
            seen = run.reconnects >= 1
        case "rollover":
            seen = run.rollovers >= 1
        case "silent":
            seen = changed >= (1 if run.exchange in HEARD else 0)
        case "acknowledgement":
            seen = changed >= 1
        case "repair":
            seen = run.hits.get("rest_5xx", 0) + run.hits.get("rest_garbage", 0) >= 1
        case "checksum":
            seen = unsynced_for(run, "is not the exchange's", any)
        case "counter":
            seen = unsynced_for(run, "missing on the connection", all)
        case _:
            seen = True
    return seen and (case == "silent" or books_seen(run))


def repaired(run: Run, symbol: str) -> int:
    return sum(trade["source"] == "backfill" for trade in run.trades(symbol))


def books_seen(run: Run) -> bool:
    """Whether there are exact books of the busy symbol, and diffs that they can be held to."""
    tops = {book["update_id"] for book in run.books(run.symbols[0]) if book["synced"]}
    diffs = [each for each in run.diffs(run.symbols[0]) if each["kind"] == "diff"]
    return sum(each["final_update_id"] in tops for each in diffs) >= BOOKS


def unsynced_for(run: Run, reason: str, of_symbols: Callable[[Iterable[bool]], bool]) -> bool:
    return of_symbols(
        any(reason in (each["detail"] or "") for each in run.ledger(symbol, "unsynced"))
        for symbol in run.symbols
    )


def _enough(struck: Mapping[str, int], run: Run) -> bool:
    hit = all(run.hits.get(kind, 0) >= least for kind, least in struck.items())
    return hit and len(run.trades(run.symbols[0])) >= _TRADES
