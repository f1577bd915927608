"""Sends requests side by side, in a bounded number."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from shared.background import Background


class Senders:
    """Threads that send, each one request after another; they start with the first request.

    As a context it is left only when nothing is on its way any more, even after an error: a late request
    would overwrite what is written next. The first error of a request is raised at the latest then.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._threads: list[Background] = []
        self._pending: dict[int, Future[None]] = {}

    def send(self, number: int, request: Callable[[], None]) -> None:
        """Send by one of the threads, after its last request was accepted.

        Raises:
            Exception: that one's error; this request is not sent.
        """
        if not self._threads:
            self._threads = [Background(f"{self._name} {each}") for each in range(self._count)]
        last = self._pending.pop(number, None)
        if last is not None:
            last.result()
        self._pending[number] = self._threads[number].submit(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pending, self._pending = list(self._pending.values()), {}
        errors = [each for each in (future.exception() for future in pending) if each is not None]
        if errors and error is None:
            raise errors[0]

    def close(self) -> None:
        """End the threads."""
        for thread in self._threads:
            thread.close()
