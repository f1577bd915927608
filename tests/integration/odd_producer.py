"""A producer process with a bound, or a fault, that no command line gives."""

from __future__ import annotations

import argparse
import asyncio
import sys
from unittest import mock

from producers import book_feed, rollover, trade_bases
from producers.assignment import Assignment
from producers.book_audit import BookAudit
from producers.exchanges.frame_types import StreamMessage
from producers.overlap import Overlap, Side, StreamId
from producers.service import ProducerService
from shared.command import run_command
from shared.logs import set_up_logging
from shared.settings import load_settings


class WithoutMerge(Overlap):
    """Lets everything through, from whichever connection it comes."""

    def receive(self, side: Side, stream: StreamId, message: StreamMessage) -> list[StreamMessage]:
        super().receive(side, stream, message)
        return [message]


class WithoutAudits(BookAudit):
    """Audits fall at random times and ask for a snapshot: tests look at what else is asked for."""

    def due(self, now_ms: int, *, urgent: bool) -> bool:
        return False


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings()
    set_up_logging("INFO", "text")
    if arguments.without_merge:
        mock.patch.object(rollover, "Overlap", WithoutMerge).start()
    mock.patch.object(book_feed, "BookAudit", WithoutAudits).start()
    # On a busy machine the first answer comes late, and is asked for in another way.
    trade_bases._AT_ONCE_S = 60.0  # type: ignore[misc]
    assignment = Assignment(settings.symbols, settings.intervals, queue_messages=arguments.queue)

    async def serve() -> int:
        return await ProducerService(settings, assignment).run()

    return asyncio.run(serve())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--queue", type=int)
    parser.add_argument("--without-merge", action="store_true")
    given = parser.parse_args()
    sys.exit(run_command(lambda: run(given), debug=True))
