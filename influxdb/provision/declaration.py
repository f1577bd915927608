"""The declaration of InfluxDB: `influxdb/provision.toml` and `influxdb/tasks/*.flux`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.errors import SettingsError

_UNIT_S: Final = {"h": 3_600, "d": 86_400, "w": 604_800}
_TASK_NAME: Final = re.compile(r"option\s+task\s*=\s*\{[^}]*?\bname\s*:\s*\"([^\"]+)\"", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket; `keeps_s` 0: no expiry."""

    name: str
    keeps_s: int
    shard_group_s: int


@dataclass(frozen=True, slots=True)
class Token:
    """A scoped token, and its file below the folder of secrets."""

    file: str
    description: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A Flux script that InfluxDB runs on a schedule; its name is the declared one."""

    name: str
    file: str
    flux: str


@dataclass(frozen=True, slots=True)
class Declaration:
    organization: str
    buckets: tuple[Bucket, ...]
    tokens: tuple[Token, ...]
    tasks: tuple[Task, ...]


def read_declaration(folder: Path) -> Declaration:
    """Read `provision.toml` and the tasks of a folder.

    Raises:
        SettingsError: a file is missing or wrong.
    """
    path = folder / "provision.toml"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return Declaration(
            organization=found["organization"],
            buckets=tuple(_bucket(entry) for entry in found["buckets"]),
            tokens=tuple(_token(entry) for entry in found["tokens"]),
            tasks=read_tasks(folder / "tasks"),
        )
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); name its folder") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}; see the comments in the file") from None


def read_tasks(folder: Path) -> tuple[Task, ...]:
    """The tasks of a folder's `*.flux`, by file name. Raises SettingsError if a name is missing or taken."""
    tasks: dict[str, Task] = {}
    for path in sorted(folder.glob("*.flux")):
        flux = path.read_text(encoding="utf-8")
        name = _TASK_NAME.search(flux)
        if name is None:
            raise SettingsError(f'{path}: declares no task; begin with option task = {{name: "…", every: …}}')
        if name[1] in tasks:
            raise SettingsError(f'{path}: task "{name[1]}" is also in {tasks[name[1]].file}; rename one')
        tasks[name[1]] = Task(name[1], path.name, flux)
    return tuple(tasks.values())


def _bucket(entry: dict[str, Any]) -> Bucket:
    return Bucket(entry["name"], _seconds(entry["keeps"]), _seconds(entry["shard_group"]))


def _token(entry: dict[str, Any]) -> Token:
    return Token(
        entry["file"], entry["description"], tuple(entry.get("reads", ())), tuple(entry.get("writes", ()))
    )


def _seconds(text: str) -> int:
    if text == "forever":
        return 0
    if text[-1:] not in _UNIT_S or not text[:-1].isdecimal():
        raise ValueError(f'"{text}" is not a duration like 7d, 4w, 24h or forever')
    return int(text[:-1]) * _UNIT_S[text[-1]]
