"""Strict reading of `.env`: unreadable lines and unknown names are faults with file and line.

Compose reads the same file. Forms that compose and python-dotenv read differently are rejected too: `NAME:
value`, a name without a value, `$NAME` in a setting of ours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dotenv.parser import Binding, parse_stream

from shared.errors import SettingsError
from shared.files import read_small_file
from shared.setting_names import MOVED, PROXIES, SETTINGS, is_known, nearest

_SHOWN: Final = 60
_MOST_BYTES: Final = 2**20
_MOST_FAULTS: Final = 100


class Fault(NamedTuple):
    """What is wrong with a setting.

    Attributes:
        setting: which one is meant; "" if that cannot be told, "…" behind all others.
        text: one line, with the way out.
    """

    setting: str
    text: str


class EnvFile(NamedTuple):
    """
    Attributes:
        values: by name, as written.
        faults: of its lines, in their order.
    """

    values: Mapping[str, str]
    faults: Sequence[Fault]


def read_env_file(path: Path) -> EnvFile:
    """Names and values of a file; empty if there is no file.

    A virtual environment named `.env` is ignored. Any other folder is an error: a container makes one where a
    file to mount is missing, and its settings would silently not be read.

    Raises:
        SettingsError: the file as a whole cannot be read.
    """
    content = _content(path)
    if content is None:
        return EnvFile({}, ())
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[Fault] = []
    for binding in parse_stream(io.StringIO(_text(path, content))):
        if len(faults) == _MOST_FAULTS:
            faults.append(Fault("…", f"{path}: has more faults; check that it is the right file"))
            break
        if binding.key is None and not binding.error:
            continue  # a comment, or nothing
        line = _first_line(binding)
        where = f"{path} line {line}"
        name, value = binding.key, binding.value
        if binding.error or name is None or value is None:
            name, fault = _named_of(binding), _unreadable(binding)
        elif not is_known(name):
            fault = _unknown(name)
        elif name in lines:
            fault = f"{name} is in line {lines[name]} too; keep one of them"
        elif "$" in value and name in SETTINGS and not _in_single_quotes(binding):
            fault = f"{name} has a $, where composers put a variable; put it in single quotes"
        else:
            values[name], lines[name] = value, line
            continue
        setting = name if name in SETTINGS else nearest(name) or ""
        faults.append(Fault(setting, f"{where}: {fault}"))
    return EnvFile(values, faults)


def _named_of(binding: Binding) -> str:
    """The name that an unreadable line seems to have."""
    words = re.split(r"[=:\s]", binding.original.string.strip().removeprefix("export "), maxsplit=1)
    return words[0][:_SHOWN]


def _content(path: Path) -> bytes | None:
    try:
        return read_small_file(path, _MOST_BYTES)
    except IsADirectoryError:
        if (path / "pyvenv.cfg").exists():
            return None
        raise SettingsError(f"{path}: is a folder; put a file there, or remove it") from None
    except FileNotFoundError:
        if not path.is_symlink():
            return None
        raise SettingsError(f"{path}: is a link to a missing file; fix it or remove it") from None
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); make it a readable file, or remove it"
        ) from None


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{path} line {line}: is not UTF-8 (byte {content[error.start]:#04x}); save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SettingsError(f"{path} line {line}: has a zero byte; save the file as UTF-8")
    return text


def _first_line(binding: Binding) -> int:
    """Line of the text itself: a binding includes the blank lines before it."""
    text = binding.original.string
    return int(binding.original.line) + text[: len(text) - len(text.lstrip())].count("\n")


def _in_single_quotes(binding: Binding) -> bool:
    return binding.original.string.partition("=")[2].lstrip().startswith("'")


def _unreadable(binding: Binding) -> str:
    # Values may be secrets: only the name of an unreadable line is shown.
    line = binding.original.string.strip().partition("\n")[0]
    name, equals, value = line.removeprefix("export ").partition("=")
    name = name.strip()
    if equals and value.strip()[:1] in ('"', "'"):
        return f"{name[:_SHOWN]}: its quote is not closed, or something follows it; close it"
    if not equals and ":" in name:
        name = name.partition(":")[0].strip()
        return f"{name[:_SHOWN]}: has a colon; write {name[:_SHOWN]}=value"
    if not equals and len(name.split()) == 1:
        return f"{name[:_SHOWN]}: has no value; write {name[:_SHOWN]}=value, or take the line out"
    return "is not NAME=value; write it so, or begin it with #"


def _unknown(name: str) -> str:
    shown = name[:_SHOWN]
    if name.lower() in PROXIES:
        return f"{shown} is read from the environment only; export it there"
    if name in MOVED:
        return f"{shown} {MOVED[name]}"
    if name.endswith(":"):
        return f"{shown[:-1]}: has a colon; write {shown[:-1]}=value"
    near = nearest(name)
    hint = f"did you mean {near}?" if near else "docs/settings.md has them all"
    return f"{shown} is not a setting; {hint}"
