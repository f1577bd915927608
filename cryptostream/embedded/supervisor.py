"""The children of a run: started, watched, started again by policy, stopped in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptostream.embedded.process import Child, Command
from cryptostream.embedded.supervision import GiveUp, RestartPolicy, describe_exit
from shared.errors import CryptoStreamError, SettingsError

# Not its last `error:` line: that one is told with its end.
_LOUD: Final = (" WARNING ", " ERROR ", " CRITICAL ")
# Many threads may meet the same trouble, again and again: the log file has it all, the screen has it once.
_REPEAT_S: Final = 30.0
_TEXTS_KEPT: Final = 100

Say = Callable[[str], None]


@dataclass(slots=True)
class _Slot:
    make_command: Callable[[], Command]
    on_output: Callable[[str], None]
    once: bool = False
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    child: Child | None = None
    start_at_s: float = 0.0
    stopping: bool = False


class Supervisor:
    """Keeps the children running. Call it from the thread that lives longest (`cryptostream.child`).

    Args:
        log_path: a child's name to the file for its standard error.
        say: told of restarts, and of the children's warnings and errors (from other threads too).
    """

    def __init__(self, log_path: Callable[[str], Path], say: Say) -> None:
        self._log_path = log_path
        self._say = say
        self._slots: dict[str, _Slot] = {}

    def start(
        self,
        name: str,
        make_command: Callable[[], Command],
        on_output: Callable[[str], None] | None = None,
        *,
        once: bool = False,
    ) -> None:
        """Start a child. `make_command` is called again at each restart, so that it can take new bearings.

        Args:
            once: it is never started again; its end is the run's.
        """
        slot = self._slots[name] = _Slot(make_command, on_output or (lambda _line: None), once)
        self._launch(name, slot)

    def tick(self, now_s: float) -> None:
        """Look after the children; call it several times a second.

        Raises:
            CryptoStreamError: a child is gone for good; the error's `exit_code` is the run's.
        """
        for name, slot in self._slots.items():
            if slot.stopping:
                continue
            if slot.child is None:
                if now_s >= slot.start_at_s:
                    self._launch(name, slot)
            elif slot.child.exit_code is not None:
                self._ended(name, slot, slot.child, slot.child.exit_code, now_s)

    def ask_to_stop(self, name: str) -> None:
        """SIGTERM; it is not started again."""
        slot = self._slots.get(name)
        if slot is not None and not slot.stopping:
            slot.stopping = True
            if slot.child is not None:
                slot.child.terminate()

    def running(self, name: str) -> bool:
        slot = self._slots.get(name)
        return slot is not None and slot.child is not None and slot.child.exit_code is None

    def settle(self, name: str) -> str | None:
        """After `ask_to_stop`: end it, by force if need be. None if it was clean, else what happened."""
        slot = self._slots.get(name)
        if slot is None or slot.child is None:
            return None
        forced = slot.child.exit_code is None
        slot.child.kill()
        slot.child.close()
        exit_code = slot.child.exit_code
        if forced:
            return f"{name} did not stop in time and was killed"
        return f"{name} {describe_exit(exit_code or 0)}: {slot.child.last_error}" if exit_code else None

    def kill_all(self) -> None:
        for slot in self._slots.values():
            slot.stopping = True
            if slot.child is not None:
                slot.child.kill()
                slot.child.close()

    def restarts(self) -> dict[str, int]:
        return {name: slot.policy.restarts for name, slot in self._slots.items()}

    def pids(self) -> dict[str, int]:
        return {name: slot.child.pid for name, slot in self._slots.items() if slot.child is not None}

    def _launch(self, name: str, slot: _Slot) -> None:
        repeated: dict[str, float] = {}

        def relay(line: str) -> None:
            if any(mark in line for mark in _LOUD):
                text = line.partition(" ")[2]  # its time is ours, too
                now_s = time.monotonic()
                if now_s - repeated.get(text, -_REPEAT_S) >= _REPEAT_S:
                    if len(repeated) >= _TEXTS_KEPT:
                        repeated.clear()
                    repeated[text] = now_s
                    self._say(f"{name}: {text}")

        slot.child = Child(slot.make_command(), self._log_path(name), slot.on_output, relay)

    def _ended(self, name: str, slot: _Slot, child: Child, exit_code: int, now_s: float) -> None:
        child.close()
        slot.child = None
        if slot.once and exit_code != SettingsError.exit_code:
            slot.stopping = True
            raise CryptoStreamError(
                f"{name} {describe_exit(exit_code)}: {child.last_error}; a recording is played once, so "
                f"start again (log: {self._log_path(name)})"
            )
        match slot.policy.exited(exit_code, now_s):
            case GiveUp(code, reason):
                slot.stopping = True
                if code == SettingsError.exit_code:
                    raise SettingsError(child.last_error)  # about what the user wrote, in the service's words
                raise CryptoStreamError(f"{name} {reason}: {child.last_error} (log: {self._log_path(name)})")
            case restart:
                self._say(
                    f"{name} {describe_exit(exit_code)} ({child.last_error}); "
                    f"starting it again in {restart.delay_s:g} s (restart {slot.policy.restarts})"
                )
                slot.start_at_s = now_s + restart.delay_s
