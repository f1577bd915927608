"""A simulated exchange without sockets: its hub, faults and log, and clients that keep what they get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.faults.events import EventFaults
from simulator.faults.market import halts_by_symbol, listed_by_symbol, restarts_by_symbol
from simulator.faults.replies import ReplyFaults
from simulator.faults.script import Fault, parse_script
from simulator.faults.tally import Tally
from simulator.outgoing import Outgoing
from simulator.protocols.port import RestAnswer, Session, Surroundings, Verbatim
from simulator.protocols.registry import EXCHANGES
from simulator.server.exchange_log import ExchangeLog
from simulator.server.hub import Hub

START_MS = 1_785_767_098_000
# Few, so that snapshots are quick to read.
FAR_LEVELS = 50


class Client:
    """A connection that keeps its frames as text."""

    def __init__(self, market: Market, session: Session) -> None:
        self.session = session
        self.struck_by: Fault | None = None
        self.leaving = False
        self.waiting = 0
        self.texts: list[str] = [frame.decode() for frame in session.opening()]
        self._market = market

    def number(self, event: Outgoing) -> None:
        self.session.number(event)

    def put(self, event: Outgoing) -> None:
        frame = self.session.frame(event)
        if frame is None:
            self._market.hub.lost(event, self)
        else:
            self.texts.append(frame.decode())

    def strike(self, fault: Fault) -> None:
        raise AssertionError(f"{fault.kind} needs a socket")

    def say(self, **request: Any) -> list[str]:
        """Send a message; what answers it."""
        text = json.dumps(request)
        wrong = self.session.subscribes(text) and self._market.hub.misheard()
        replies = [frame.decode() for frame in self.session.replies(text, wrong=wrong)]
        self.texts += replies
        self._market.hub.subscriptions_changed()
        return replies

    def beat(self, *, quiet: bool = True) -> list[str]:
        frames = [frame.decode() for frame in self.session.beat(quiet=quiet)]
        self.texts += frames
        return frames


class Market:
    """An exchange whose time is moved by the test."""

    def __init__(
        self,
        exchange: str,
        symbols: Sequence[str],
        *faults: str,
        seed: int = 7,
        rate: float = 3.0,
        log: Path | None = None,
    ) -> None:
        spoken = EXCHANGES[exchange]
        script = parse_script(None, faults, spoken.dialect.scope).faults
        self.now_ms = START_MS
        self.world = spoken.world(
            symbols, seed, START_MS, rate,
            halts=halts_by_symbol(script, 1, START_MS, symbols),
            listed_ms=listed_by_symbol(script, START_MS, symbols),
            trade_restarts_ms=restarts_by_symbol(script, START_MS, symbols, "trade"),
        )  # fmt: skip
        dialect = self.world.dialect
        self.log = ExchangeLog(log, symbols, self.world.numbering, dialect)
        self.face = self.world.face(
            Surroundings(lambda: self.now_ms, self.log.answered_trades, far_levels=FAR_LEVELS)
        )
        self.tally = Tally(script, lambda: 0)
        self.hub = Hub(
            self.log,
            self.tally,
            EventFaults(script, 1, START_MS, dialect),
            dialect,
            ReplyFaults(script, 1, START_MS, lambda: self.now_ms),
        )

    def connect(self, path: str) -> Client:
        session = self.face.session(path, "")
        assert session is not None and not isinstance(session, Verbatim)
        client = Client(self, session)
        self.hub.join(client)
        return client

    def run(self, seconds: float) -> None:
        """Let the market go on."""
        self.now_ms += round(seconds * 1000)
        while self.world.feed.emitted_until_ms < self.now_ms:
            self.hub.send(self.world.feed.due(self.now_ms, self.hub.wanted), self.world.feed.emitted_until_ms)

    def ask(self, path: str, **query: object) -> RestAnswer:
        asked = self.face.read(path, [(name, str(value)) for name, value in query.items()], {}, self.now_ms)
        assert asked is not None, path
        answer = self.face.answer(asked)
        if answer.trades:
            self.log.answered_trades(*answer.trades)
        return answer

    def hits(self) -> dict[str, int]:
        """Firings by kind."""
        return {entry["kind"]: entry["fired"] for entry in self.tally.listed()}
