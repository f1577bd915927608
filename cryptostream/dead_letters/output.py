"""Prints dead letters: as a table, CSV or JSON; a single one with its bytes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any, Final, TextIO

import orjson

from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Replayed, was_replayed
from cryptostream.dead_letters.outcomes import Obsolete, Outcome, Republish, StillBroken, StorePoint
from cryptostream.dead_letters.stored_versions import never_changes
from cryptostream.output import write_columns
from shared.shown import shown, shown_output
from shared.times import iso

# A frame is up to 900 kB; a person reads the beginning.
_JSON_SHOWN: Final = 20_000
_BYTES_SHOWN: Final = 1_024
_BYTES_A_LINE: Final = 16

_COLUMNS: Final = (
    *("partition", "offset", "time_ms", "source", "source_partition", "source_offset"),
    *("service", "key", "bytes", "replayed", "reason"),
)


def write_table(letters: Sequence[DeadLetter], replayed: Replayed, out: TextIO) -> None:
    """One line per dead letter; the reason last, since it may be long."""
    rows = [
        (
            str(letter.position),
            iso(letter.time_ms),
            letter.origin.source,
            letter.key_text,
            f"{len(letter.value or b''):,}",
            "replayed" if was_replayed(letter, replayed) else "",
            letter.origin.reason,
        )
        for letter in letters
    ]
    headings = ("letter", "time", "source", "key", "bytes", "", "reason")
    write_columns(headings, rows, out, right=("bytes",), leaving=("bytes", "key"))


def write_csv(letters: Sequence[DeadLetter], replayed: Replayed, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for letter in letters:
        record = _record(letter, replayed)
        record["replayed"] = str(record["replayed"]).lower()
        writer.writerow([shown(str(value)) for value in record.values()])


def write_json(letters: Sequence[DeadLetter], replayed: Replayed, out: TextIO) -> None:
    """One array, one object per line."""
    lines = ",\n".join(shown_output(orjson.dumps(_record(letter, replayed)).decode()) for letter in letters)
    out.write(f"[\n{lines}\n]\n")


def show_letter(letter: DeadLetter, out: TextIO) -> None:
    """Its headers, and its bytes: indented if they are JSON, else in hexadecimal."""
    origin = letter.origin
    at = f" {origin.partition}@{origin.offset}" if origin.offset >= 0 else ""
    headings = (
        ("letter", str(letter.position)),
        ("time", iso(letter.time_ms)),
        ("reason", origin.reason),
        ("source", f"{origin.source}{at}"),
        ("service", origin.service),
        ("key", letter.key_text),
        ("bytes", "none" if letter.value is None else f"{len(letter.value):,}"),
    )
    write_columns(("", ""), headings, out)
    out.write("\n" + _content(letter.value or b"") + "\n")


def outcome_text(outcome: Outcome) -> str:
    """An outcome in words."""
    match outcome:
        case Republish(topic, _, _, _):
            return f"to {shown(topic)}"
        case StorePoint(point, _):
            unless = "" if never_changes(point) else ", unless it has a newer one"
            return f"to the store, as a point of {point.series.measurement.name}{unless}"
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


def _record(letter: DeadLetter, replayed: Replayed) -> dict[str, Any]:
    origin = letter.origin
    values = (
        *(*letter.position, letter.time_ms, origin.source, origin.partition, origin.offset),
        *(origin.service, letter.key_text, len(letter.value or b""), was_replayed(letter, replayed)),
        origin.reason,
    )
    return dict(zip(_COLUMNS, values, strict=True))
