"""Supervises child processes: starts, monitors, restarts by policy, stops in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptostream.processes.child import Child, Command
from shared.errors import CryptoStreamError, SettingsError

MAX_RESTARTS_A_MINUTE: Final = 5
_WINDOW_S: Final = 60.0
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 10.0

# Without the last `error:` line, which is reported with the exit.
_LOUD: Final = (" WARNING ", " ERROR ", " CRITICAL ")
# Many threads may log the same fault repeatedly: the log file has all of it, the screen one line.
_REPEAT_S: Final = 30.0
_TEXTS_KEPT: Final = 100

Say = Callable[[str], None]


def describe_exit(exit_code: int) -> str:
    """An exit code in words."""
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the child again in so many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave the child down. The error has `reason`, or how the child ended, and ends with `way_out`."""

    reason: str = ""
    way_out: str = ""


class RestartPolicy(Protocol):
    """Decides whether a child that exited unexpectedly is restarted. Pure."""

    def exited(self, now_s: float, /) -> Restart | GiveUp:
        """The child exited; `now_s` is of a monotonic clock."""


class RestartWithBackoff:
    """Restarts a child after 0.5 s, doubling to 10 s; gives up at more than 5 restarts in a minute."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()

    def exited(self, now_s: float, /) -> Restart | GiveUp:
        """See `RestartPolicy`."""
        while self._recent and self._recent[0] <= now_s - _WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= MAX_RESTARTS_A_MINUTE:
            return GiveUp(f"ended {len(self._recent) + 1} times within a minute")
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** len(self._recent))
        self._recent.append(now_s)
        return Restart(delay_s)


@dataclass(frozen=True, slots=True)
class NeverRestart:
    """Gives up at the first exit."""

    way_out: str = ""

    def exited(self, _now_s: float, /) -> Restart | GiveUp:
        """See `RestartPolicy`."""
        return GiveUp(way_out=self.way_out)


@dataclass(slots=True)
class _Supervised:
    make_command: Callable[[], Command]
    on_output: Callable[[str], None]
    policy: RestartPolicy
    needed: bool
    child: Child | None = None
    restarts: int = 0
    started_ms: int = 0
    restart_at_s: float = 0.0
    stopping: bool = False


class Supervisor:
    """Keeps children running. Call it from the thread that lives longest (`cryptostream.processes.launcher`).

    Args:
        log_path: a child's name to the file for its standard error.
        say: receives restarts, and the children's warnings and errors (from other threads too).
        relay_warnings: False if warnings and errors go to the log files only.

    Attributes:
        unexpected_exits: one line for each exit without `kill` or `terminate`.
    """

    def __init__(self, log_path: Callable[[str], Path], say: Say, *, relay_warnings: bool = True) -> None:
        self._log_path = log_path
        self._say = say
        self._relay_warnings = relay_warnings
        self._supervised: dict[str, _Supervised] = {}
        self.unexpected_exits: list[str] = []

    def start(
        self,
        name: str,
        make_command: Callable[[], Command],
        on_output: Callable[[str], None] = lambda _line: None,
        *,
        policy: RestartPolicy | None = None,
        needed: bool = True,
    ) -> None:
        """Start a child. `make_command` is called at each start, since the command may change.

        Args:
            policy: of its restarts; by default with back-off.
            needed: False if the others go on without it once it has failed for good.
        """
        entry = _Supervised(make_command, on_output, policy or RestartWithBackoff(), needed)
        self._supervised[name] = entry
        self._launch(name, entry)

    def tick(self, now_s: float) -> None:
        """Restart children that exited; call it several times a second.

        Raises:
            SettingsError: a needed child refused its settings or command line; no restart helps.
            CryptoStreamError: the policy of a needed child gave up.
        """
        for name, entry in self._supervised.items():
            if entry.stopping:
                continue
            if entry.child is None:
                if now_s >= entry.restart_at_s:
                    self._launch(name, entry)
            elif entry.child.exit_code is not None:
                self._ended(name, entry, entry.child, entry.child.exit_code, now_s)

    def kill(self, name: str) -> int:
        """SIGKILL a child and restart it at once; returns the time of the kill in ms since the epoch."""
        entry = self._supervised[name]
        killed_ms = time.time_ns() // 1_000_000
        if entry.child is not None:
            entry.child.kill()
            entry.child.close()
        self._launch(name, entry)
        return killed_ms

    def terminate(self, name: str) -> None:
        """SIGTERM a child, without a restart."""
        entry = self._supervised.get(name)
        if entry is not None and not entry.stopping:
            entry.stopping = True
            if entry.child is not None:
                entry.child.terminate()

    def finish(self, name: str) -> str | None:
        """After `terminate`: kill it if need be. None if it exited cleanly, else what happened."""
        entry = self._supervised.get(name)
        if entry is None or entry.child is None:
            return None
        forced = entry.child.exit_code is None
        entry.child.kill()
        entry.child.close()
        exit_code = entry.child.exit_code
        if forced:
            return f"{name} did not stop in time and was killed"
        return f"{name} {describe_exit(exit_code)}: {entry.child.last_error}" if exit_code else None

    def kill_all(self) -> None:
        """SIGKILL all children, without a restart."""
        for entry in self._supervised.values():
            entry.stopping = True
            if entry.child is not None:
                entry.child.kill()
                entry.child.close()

    def running(self, name: str) -> bool:
        entry = self._supervised.get(name)
        return entry is not None and entry.child is not None and entry.child.exit_code is None

    def restarts(self) -> dict[str, int]:
        """How often the policy restarted each child."""
        return {name: entry.restarts for name, entry in self._supervised.items()}

    def pids(self) -> dict[str, int]:
        return {name: entry.child.pid for name, entry in self._supervised.items() if entry.child is not None}

    def started_ms(self, name: str) -> int:
        """When a child was last started, in ms since the epoch."""
        return self._supervised[name].started_ms

    def _launch(self, name: str, entry: _Supervised) -> None:
        on_log = _WarningRelay(name, self._say).receive if self._relay_warnings else lambda _line: None
        entry.started_ms = time.time_ns() // 1_000_000
        entry.child = Child(entry.make_command(), self._log_path(name), entry.on_output, on_log)

    def _ended(self, name: str, entry: _Supervised, child: Child, exit_code: int, now_s: float) -> None:
        child.close()
        entry.child = None
        how, why = describe_exit(exit_code), child.last_error
        self.unexpected_exits.append(f"{name} {how}: {why}")
        if exit_code == SettingsError.exit_code:
            self._give_up(name, entry, SettingsError(why))  # its message about the user's settings
            return
        match entry.policy.exited(now_s):
            case GiveUp(reason, way_out):
                advice = f"; {way_out}" if way_out else ""
                fault = f"{name} {reason or how}: {why}{advice} (log: {self._log_path(name)})"
                self._give_up(name, entry, CryptoStreamError(fault))
            case Restart(delay_s):
                entry.restarts += 1
                entry.restart_at_s = now_s + delay_s
                self._say(
                    f"{name} {how} ({why}); starting it again in {delay_s:g} s (restart {entry.restarts})"
                )

    def _give_up(self, name: str, entry: _Supervised, error: CryptoStreamError) -> None:
        entry.stopping = True
        if entry.needed:
            raise error
        self._say(f"going on without {name}: {error}")


class _WarningRelay:
    """Relays a child's warnings and errors, the same text at most once in 30 s."""

    def __init__(self, name: str, say: Say) -> None:
        self._name = name
        self._say = say
        self._told_s: dict[str, float] = {}

    def receive(self, line: str) -> None:
        if not any(mark in line for mark in _LOUD):
            return
        text = line.partition(" ")[2]  # without its time, which is about now
        now_s = time.monotonic()
        if now_s - self._told_s.get(text, -_REPEAT_S) >= _REPEAT_S:
            if len(self._told_s) >= _TEXTS_KEPT:
                self._told_s.clear()
            self._told_s[text] = now_s
            self._say(f"{self._name}: {text}")
