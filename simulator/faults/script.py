"""Fault scripts: flags, JSON files and bodies of requests to checked faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from shared.errors import UsageError
from shared.files import read_named_file
from simulator.faults.kinds import (
    AT_A_MOMENT,
    CLIENT_ERRORS,
    GARBAGE_SHAPES,
    KINDS,
    OF_THE_MARKET,
    SERVER_ERRORS,
    Kind,
    Scope,
)
from simulator.world.calendar import INTERVALS

_MOST_FAULTS: Final = 1_000
_MOST_BYTES: Final = 2**20
_POSTED_FORM: Final = 'the body is not of the form {"faults": [{"kind": "skip", "at": 5}]}'


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of a script. Times are world seconds since the clock began.

    Attributes:
        index: its position in the script; part of every draw.
        from_s, to_s: when it may fire; `to_s` is infinite by default.
        once: it fires once, at the first occasion from `from_s` on.
        every_s: it fires once in each such span; None: at any occasion.
        probability: of each occasion.
        count: greatest number of firings; None: no bound.
        duration_s: how long one firing lasts, in seconds of the clock given by kind in docs/simulator.md.
        streams, symbols, intervals, paths: what it strikes; empty: all.
        options: the kind's own keys.
    """

    index: int
    kind: str
    from_s: float = 0.0
    to_s: float = math.inf
    once: bool = False
    every_s: float | None = None
    probability: float = 1.0
    count: int | None = None
    duration_s: float = 0.0
    streams: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    intervals: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def declared(self) -> Kind:
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class Script:
    """All faults of a run, and the file's seed."""

    faults: tuple[Fault, ...] = ()
    seed: int | None = None


def parse_script(path: Path | None, flags: Sequence[str], scope: Scope) -> Script:
    """The faults of a file, then those of the flags.

    Args:
        scope: of the exchange.

    Raises:
        UsageError: names the kind, the key and what is allowed.
    """
    entries, seed = _read_file(path) if path else ([], None)
    entries += [_of_flag(flag) for flag in flags]
    return Script(parse_entries(entries, scope), seed)


def parse_posted(body: bytes, known: int, symbols: Sequence[str], scope: Scope) -> tuple[Fault, ...]:
    """The faults of a request.

    Args:
        known: number of earlier faults.
        symbols: those served.
        scope: of the exchange.

    Raises:
        UsageError: names the kind, the key and the allowed values; also for halts, listings and new
            numberings, since the market is made before it begins.
    """
    try:
        posted: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{_POSTED_FORM}: {error}") from None
    if not isinstance(posted, dict) or posted.keys() != {"faults"}:
        raise UsageError(_POSTED_FORM)
    entries = posted["faults"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(_POSTED_FORM)
    faults = parse_entries(entries, scope, known)
    for fault in faults:
        if fault.kind in OF_THE_MARKET:
            raise UsageError(
                f"fault {fault.kind} belongs to the market that has begun; name it by --fault at the start"
            )
    check_symbols(faults, symbols)
    return faults


def parse_entries(entries: Sequence[Mapping[str, Any]], scope: Scope, known: int = 0) -> tuple[Fault, ...]:
    """Faults from their keys, as in a script's file, after `known` others.

    Raises:
        UsageError: names the kind, the key and what is allowed.
    """
    if known + len(entries) > _MOST_FAULTS:
        raise UsageError(f"{known + len(entries)} faults are too many; the most are {_MOST_FAULTS}")
    return tuple(_fault(index, entry, scope) for index, entry in enumerate(entries, known))


def check_symbols(faults: Sequence[Fault], symbols: Sequence[str]) -> None:
    """Refuse faults of symbols that are not served.

    Raises:
        UsageError: naming them.
    """
    for fault in faults:
        unknown = sorted(fault.symbols.difference(symbols))
        if unknown:
            raise UsageError(
                f"fault {fault.kind}: symbols={'+'.join(unknown)} is not served; choose from {_list(symbols)}"
            )


def _read_file(path: Path) -> tuple[list[dict[str, Any]], int | None]:
    try:
        script = orjson.loads(read_named_file(path, _MOST_BYTES))
    except OSError as error:
        raise UsageError(
            f"--faults {path} cannot be read ({error.strerror}); name a JSON file of faults"
        ) from None
    except orjson.JSONDecodeError as error:
        raise UsageError(f"--faults {path} is not JSON: {error}") from None
    if not isinstance(script, dict) or script.keys() - {"seed", "faults"}:
        raise UsageError(f'--faults {path} is not of the form {{"seed": 7, "faults": [{{"kind": …}}]}}')
    faults, seed = script.get("faults", []), script.get("seed")
    if not isinstance(faults, list) or not all(isinstance(entry, dict) for entry in faults):
        raise UsageError(
            f'--faults {path}: "faults" is not a list of objects like {{"kind": "drop", "at": 5}}'
        )
    if seed is not None and type(seed) is not int:
        raise UsageError(f'--faults {path}: "seed" {seed!r} is not a whole number')
    return faults, seed


def _of_flag(flag: str) -> dict[str, Any]:
    kind, _, rest = flag.partition(":")
    entry: dict[str, Any] = {"kind": kind}
    for pair in rest.split(",") if rest else ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--fault {flag}: {pair!r} is not of the form key=value")
        entry[key] = value
    return entry


def _fault(index: int, entry: Mapping[str, Any], scope: Scope) -> Fault:
    kind = str(entry.get("kind"))
    if kind not in KINDS:
        raise UsageError(f'fault "{kind}" is not known; choose from {_list(scope.kinds)}')
    if kind not in scope.kinds:
        raise UsageError(f"fault {kind} cannot happen on {scope.exchange}; choose from {_list(scope.kinds)}")
    declared = KINDS[kind]
    allowed = [
        *("at", "from", "to", "every", "probability", "count"),
        *(("duration",) if declared.duration_s is not None else ()),
        *declared.targets,
        *declared.options,
    ]
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "kind":
            continue
        if key not in allowed:
            raise UsageError(f"fault {kind}: {key!r} is not a key of it; choose from {_list(allowed)}")
        read = _names(getattr(scope, key)) if key in ("streams", "paths") else _READERS[key]
        try:
            values[key] = read(value)
        except ValueError as error:
            raise UsageError(f"fault {kind}: {key}={value} is not {error}") from None
    _check_times(kind, declared, values)
    if values.get("status") is not None and values["status"] not in declared.statuses:
        raise UsageError(
            f"fault {kind}: status={values['status']} is not one of {_list(map(str, declared.statuses))}"
        )
    return Fault(
        index=index,
        kind=kind,
        from_s=values.get("at", values.get("from", _first_s(declared, values))),
        to_s=values.get("to", math.inf),
        once="at" in values,
        every_s=values.get("every"),
        probability=values.get("probability", 1.0),
        count=1 if "at" in values else values.get("count"),
        duration_s=values.get("duration", declared.duration_s or 0.0),
        **{target: values.get(target, frozenset()) for target in declared.targets},
        options={key: values.get(key, default) for key, default in declared.options.items()},
    )


def _first_s(declared: Kind, values: Mapping[str, Any]) -> float:
    """Default of the first firing: not before there are connections."""
    return float(values.get("every", 1.0)) if declared.moments else 0.0


def _check_times(kind: str, declared: Kind, values: Mapping[str, Any]) -> None:
    others = sorted({"from", "to", "every", "probability", "count"} & values.keys())
    if "at" in values and others:
        raise UsageError(f"fault {kind}: at fires once; leave out {_list(others)}, or at")
    if values.get("to", math.inf) <= values.get("from", 0.0):
        raise UsageError(f"fault {kind}: to={values['to']:g} is not after from={values.get('from', 0.0):g}")
    if kind in AT_A_MOMENT and "at" not in values:
        raise UsageError(f"fault {kind}: say when, with at=S")
    spans = kind == "halt" and {"from", "to"} <= values.keys()
    if declared.moments and not spans and not {"at", "every", "probability"} & values.keys():
        raise UsageError(
            f"fault {kind}: say when, with at=S, or every=S or probability=P between from and to"
        )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _number(low: float, what: str, *, above: bool = False, high: float = math.inf) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise ValueError(what) from None
        if not (low < number if above else low <= number) or number > high or math.isinf(number):
            raise ValueError(what)
        return number

    return read


def _whole(value: Any) -> int:
    number = _number(1, "a whole number from 1 on")(value)
    if number != int(number):
        raise ValueError("a whole number from 1 on")
    return int(number)


def _names(allowed: Sequence[str] | None) -> Callable[[Any], frozenset[str]]:
    def read(value: Any) -> frozenset[str]:
        names = value.split("+") if isinstance(value, str) else value
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name, str) and name and (not allowed or name in allowed) for name in names)
        ):
            raise ValueError(f"one or more of {_list(allowed)}" if allowed else "a list of names")
        return frozenset(names)

    return read


def _symbols(value: Any) -> frozenset[str]:
    return frozenset(name.upper() for name in _names(None)(value))


def _status(value: Any) -> int:
    known = (*CLIENT_ERRORS, *SERVER_ERRORS)
    expected = f"one of {_list(map(str, known))}"
    number = _number(400, expected, high=599)(value)
    if number not in known:
        raise ValueError(expected)
    return int(number)


def _id(value: Any) -> int:
    # Not through a double, which cannot hold the interesting ids.
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError("a whole number") from None


def _shape(value: Any) -> str:
    if value not in GARBAGE_SHAPES:
        raise ValueError(f"one of {_list(GARBAGE_SHAPES)}")
    return str(value)


_SECONDS: Final = _number(0, "seconds from 0 on")
_SOME_SECONDS: Final = _number(0, "seconds above 0", above=True)
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "at": _SECONDS,
    "from": _SECONDS,
    "to": _SOME_SECONDS,
    "every": _number(0.001, "seconds from 0.001 on"),
    "probability": _number(0, "above 0, up to 1", above=True, high=1),
    "count": _whole,
    "duration": _SOME_SECONDS,
    "symbols": _symbols,
    "intervals": _names(INTERVALS),
    "bytes_per_s": _number(1, "bytes from 1 on"),
    "delay_ms": _number(0, "milliseconds from 0 on"),
    "lead": _SECONDS,
    "delay": _SECONDS,
    "distance": _whole,
    "retry_after": _whole,
    "status": _status,
    "shape": _shape,
    "age": _number(0.1, "seconds from 0.1 on"),
    "offset_ms": _number(-31 * 86_400_000, "milliseconds, 31 days at most", high=31 * 86_400_000),
    "ahead": _SOME_SECONDS,
    "trade_id": _id,
}
