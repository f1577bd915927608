"""Letters as a table for people, as CSV and JSON for programs; one letter with its bytes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

import orjson

from cryptostream.arguments import iso
from cryptostream.dead_letters.judge import Obsolete, Republish, StillBroken, StorePoint, Verdict
from cryptostream.dead_letters.letter import Letter
from cryptostream.output import write_columns
from shared.id_ranges import IdRanges
from shared.shown import shown, shown_output

# A frame is up to 900 kB; a person reads the beginning.
_JSON_SHOWN: Final = 20_000
_BYTES_SHOWN: Final = 1_024
_BYTES_A_LINE: Final = 16

Replayed = Mapping[int, IdRanges]


def write_table(letters: Sequence[Letter], replayed: Replayed, out: TextIO) -> None:
    """One line a letter; the reason last, since it may be long."""
    rows = [
        (
            str(letter.place),
            iso(letter.time_ms),
            letter.origin.source,
            _text(letter.key),
            f"{len(letter.value or b''):,}",
            "replayed" if _is_replayed(letter, replayed) else "",
            letter.origin.reason,
        )
        for letter in letters
    ]
    write_columns(("letter", "time", "source", "key", "bytes", "", "reason"), rows, out, right=("bytes",))


def write_csv(letters: Sequence[Letter], replayed: Replayed, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    names = (
        *("partition", "offset", "time_ms", "source", "source_partition", "source_offset"),
        *("service", "key", "bytes", "replayed", "reason"),
    )
    writer.writerow(names)
    for letter in letters:
        record = _record(letter, replayed)
        record["replayed"] = str(record["replayed"]).lower()
        writer.writerow([shown(str(record[name])) for name in names])


def write_json(letters: Sequence[Letter], replayed: Replayed, out: TextIO) -> None:
    """One array of objects, one a line."""
    lines = ",\n".join(shown_output(orjson.dumps(_record(letter, replayed)).decode()) for letter in letters)
    out.write(f"[\n{lines}\n]\n")


def show_letter(letter: Letter, out: TextIO) -> None:
    """Where it came from, and its bytes: as JSON if they are, else as hexadecimal numbers."""
    origin = letter.origin
    at = f" {origin.partition}@{origin.offset}" if origin.offset >= 0 else ""
    headings = (
        ("letter", str(letter.place)),
        ("time", iso(letter.time_ms)),
        ("reason", origin.reason),
        ("source", f"{origin.source}{at}"),
        ("service", origin.service),
        ("key", _text(letter.key)),
        ("bytes", "none" if letter.value is None else f"{len(letter.value):,}"),
    )
    write_columns(("", ""), headings, out)
    out.write("\n" + _content(letter.value or b"") + "\n")


def verdict_text(verdict: Verdict) -> str:
    """What is done with a letter, in words."""
    match verdict:
        case Republish(topic, _, _, _):
            return f"to {shown(topic)}"
        case StorePoint(point, _):
            return f"to the store, as a point of {point.series.measurement.name}"
        case Obsolete(reason):
            return f"nothing: {shown(reason)}"
        case StillBroken(reason):
            return shown(reason)


def _content(value: bytes) -> str:
    try:
        text = shown_output(orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode())
    except orjson.JSONDecodeError:
        return _hexadecimal(value)
    more = len(text) - _JSON_SHOWN
    return text if more <= 0 else f"{text[:_JSON_SHOWN]}\n… and {more:,} characters more"


def _hexadecimal(value: bytes) -> str:
    lines = []
    for start in range(0, min(len(value), _BYTES_SHOWN), _BYTES_A_LINE):
        some = value[start : start + _BYTES_A_LINE]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
        lines.append(f"{start:06x}  {some.hex(' '):<{_BYTES_A_LINE * 3 - 1}}  {plain}")
    if len(value) > _BYTES_SHOWN:
        lines.append(f"… and {len(value) - _BYTES_SHOWN:,} bytes more")
    return "\n".join(lines)


def _record(letter: Letter, replayed: Replayed) -> dict[str, Any]:
    origin = letter.origin
    return {
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "time_ms": letter.time_ms,
        "source": origin.source,
        "source_partition": origin.partition,
        "source_offset": origin.offset,
        "service": origin.service,
        "key": (letter.key or b"").decode(errors="replace"),
        "bytes": len(letter.value or b""),
        "replayed": _is_replayed(letter, replayed),
        "reason": origin.reason,
    }


def _is_replayed(letter: Letter, replayed: Replayed) -> bool:
    return letter.place.offset in replayed.get(letter.place.partition, IdRanges())


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
