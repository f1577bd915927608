"""Log lines that others can cause at will: one of a kind each second, with the number of those left out."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Final

# Kinds are templates of our code and of libraries; more would be texts of strangers.
_MOST_KINDS: Final = 100
_COUNTED: Final = "seldom_counted"


class Seldom(logging.Filter):
    """Lets the first record of a kind pass, and counts the others until `tell`.

    Args:
        names: of the loggers that it is for.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._left_out: Counter[tuple[str, int, str]] = Counter()
        self._loggers = [logging.getLogger(name) for name in names]
        for each in self._loggers:
            each.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes: the first of its kind since `tell`."""
        if hasattr(record, _COUNTED):
            return True
        kind = record.name, record.levelno, str(record.msg)
        with self._lock:
            seen = kind in self._left_out
            if not seen and len(self._left_out) >= _MOST_KINDS:
                return False
            self._left_out[kind] += seen
        return not seen

    def tell(self) -> None:
        """Say how many were left out, and let one of each kind pass again; called once a second."""
        with self._lock:
            told, self._left_out = self._left_out, Counter()
        for (name, level, text), count in told.items():
            if count:
                words = text.strip().rstrip(".")
                logging.getLogger(name).log(level, "%s: %d more", words, count, extra={_COUNTED: True})

    def close(self) -> None:
        """Say the rest; from now on everything passes."""
        self.tell()
        for each in self._loggers:
            each.removeFilter(self)
