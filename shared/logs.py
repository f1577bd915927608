"""Logging to standard error, as text for people or JSON lines for programs."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from textwrap import indent
from typing import Any, Final, Literal

import orjson

from shared.shown import masked, shown, shown_lines

_INDENT: Final = "    "


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": shown(record.getMessage()),
        }
        if record.exc_info:
            entry["exception"] = shown_lines(self.formatException(record.exc_info))
        return masked(orjson.dumps(entry).decode())


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        # Indented: text quoted in an error must not look like a line of the log.
        return indent(shown_lines(super().formatException(ei)), _INDENT)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - the library's name
        return indent(shown_lines(stack_info), _INDENT)


def set_up_logging(level: str, log_format: Literal["text", "json"]) -> None:
    """Send everything logged to standard error; standard output belongs to commands' results."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter()
        if log_format == "json"
        else _TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%H:%M:%S")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their debug output would drown ours.
    for library in ("websockets", "aiohttp", "urllib3", "asyncio", "Rx"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
