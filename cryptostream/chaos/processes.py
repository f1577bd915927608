"""The services of a run as processes: killed at will, started again at once, ended for certain."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptostream.embedded.process import Child, Command
from cryptostream.embedded.supervision import describe_exit
from shared.errors import CryptoStreamError, SettingsError

_AGAIN_S: Final = 0.5  # after an end that nobody asked for
_MOST_UNASKED_ENDS: Final = 30
_POLL_S: Final = 0.05

Say = Callable[[str], None]


@dataclass(slots=True)
class _Slot:
    command: Command
    on_output: Callable[[str], None]
    child: Child | None = None
    start_at_s: float = 0.0
    started_ms: int = 0
    stopping: bool = False


class Processes:
    """Starts a process again whenever it ends, as a container platform would, without back-off.

    Call it from the thread that lives longest (`cryptostream.child`).

    Attributes:
        unasked: one line for each end that the harness did not cause.
    """

    def __init__(self, log_dir: Path, say: Say) -> None:
        self._log_dir = log_dir
        self._say = say
        self._slots: dict[str, _Slot] = {}
        self.unasked: list[str] = []
        self._excused = 0

    def start(
        self, name: str, command: Command, on_output: Callable[[str], None] = lambda _line: None
    ) -> None:
        slot = self._slots[name] = _Slot(command, on_output)
        self._launch(name, slot)

    def kill(self, name: str) -> int:
        """SIGKILL, and start it again; when it was, in ms since the epoch."""
        slot = self._slots[name]
        killed_ms = time.time_ns() // 1_000_000
        if slot.child is not None:
            slot.child.kill()
            slot.child.close()
        self._launch(name, slot)
        return killed_ms

    def tick(self, now_s: float) -> None:
        """Start what has ended; call it several times a second.

        Raises:
            CryptoStreamError: a process refuses its settings, or ends again and again.
        """
        for name, slot in self._slots.items():
            if slot.stopping:
                continue
            if slot.child is None:
                if now_s >= slot.start_at_s:
                    self._launch(name, slot)
            elif slot.child.exit_code is not None:
                self._ended(name, slot, slot.child, slot.child.exit_code, now_s)

    def excuse(self) -> None:
        """Something new has happened: whoever ends of it has not ended again and again."""
        self._excused = len(self.unasked)

    def stop(self, names: tuple[str, ...], timeout_s: float) -> list[str]:
        """SIGTERM; one line for each that did not end in order within `timeout_s`."""
        slots = {name: self._slots[name] for name in names if name in self._slots}
        for slot in slots.values():
            slot.stopping = True
            if slot.child is not None:
                slot.child.terminate()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(self.running(name) for name in slots):
            time.sleep(_POLL_S)  # between two looks at the processes
        return [line for name, slot in slots.items() if (line := _settled(name, slot)) is not None]

    def kill_all(self) -> None:
        for slot in self._slots.values():
            slot.stopping = True
            if slot.child is not None:
                slot.child.kill()
                slot.child.close()

    def running(self, name: str) -> bool:
        child = self._slots[name].child
        return child is not None and child.exit_code is None

    def started_ms(self, name: str) -> int:
        """When a process was started last, in ms since the epoch."""
        return self._slots[name].started_ms

    def pids(self) -> dict[str, int]:
        return {name: slot.child.pid for name, slot in self._slots.items() if slot.child is not None}

    def _launch(self, name: str, slot: _Slot) -> None:
        slot.started_ms = time.time_ns() // 1_000_000
        slot.child = Child(slot.command, self._log_dir / f"{name}.log", slot.on_output, lambda _line: None)

    def _ended(self, name: str, slot: _Slot, child: Child, exit_code: int, now_s: float) -> None:
        child.close()
        slot.child = None
        slot.start_at_s = now_s + _AGAIN_S
        line = f"{name} {describe_exit(exit_code)}: {child.last_error}"
        if exit_code == SettingsError.exit_code:
            raise SettingsError(line)
        self.unasked.append(line)
        self._say(f"{line}; starting it again")
        if len(self.unasked) - self._excused > _MOST_UNASKED_ENDS:
            raise CryptoStreamError(f"{line}; more than {_MOST_UNASKED_ENDS} ends nobody asked for")


def _settled(name: str, slot: _Slot) -> str | None:
    if slot.child is None:
        return None
    forced = slot.child.exit_code is None
    slot.child.kill()
    slot.child.close()
    exit_code = slot.child.exit_code
    if forced:
        return f"{name} did not stop in time and was killed"
    return f"{name} {describe_exit(exit_code or 0)}: {slot.child.last_error}" if exit_code else None
