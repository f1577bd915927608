"""Writes rows of values as CSV and Parquet; output files appear atomically."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from math import isinf
from pathlib import Path
from typing import IO, Final

import orjson

from cryptostream.indicator_files.compute import Row
from shared.errors import CryptoStreamError, UsageError

# 8,192 bars of all columns are 6 MB in a file and some 20 MB in memory.
_ROW_GROUP: Final = 8_192


def write_csv(columns: Sequence[str], rows: Iterable[Row], out: IO[bytes]) -> None:
    """A header, then a line per bar; NaN is empty, infinity `inf` or `-inf`. Streams."""
    out.write(",".join(("open_time_ms", *columns)).encode() + b"\n")
    for bar, values in rows:
        # orjson writes a row six times as fast as `repr` per value, but writes infinity as null too.
        line = orjson.dumps((bar.open_time_ms, *values))[1:-1]
        if b"null" in line:
            line = line.replace(b"null", b"")
            if any(map(isinf, values)):
                line = b",".join((b"%d" % bar.open_time_ms, *map(_text, values)))
        out.write(line + b"\n")


def _text(value: float) -> bytes:
    if isinf(value):
        return b"inf" if value > 0.0 else b"-inf"
    return orjson.dumps(value).replace(b"null", b"")


def write_parquet(columns: Sequence[str], rows: Iterable[Row], out: IO[bytes]) -> None:
    """`open_time_ms` as int64, columns as float64, NaN as null; memory holds one row group.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        # Optional package.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        raise UsageError(
            "--format parquet: the package pyarrow is not installed;"
            " run: pip install 'cryptostream[parquet]' (or write --format csv)"
        ) from None
    schema = pa.schema(
        [pa.field("open_time_ms", pa.int64(), nullable=False), *((name, pa.float64()) for name in columns)]
    )
    left = iter(rows)
    with parquet.ParquetWriter(out, schema) as writer:
        while group := list(islice(left, _ROW_GROUP)):
            times = pa.array([bar.open_time_ms for bar, _ in group], pa.int64())
            by_column = zip(*(values for _, values in group), strict=True)
            arrays = [pa.array([None if v != v else v for v in column], pa.float64()) for column in by_column]  # noqa: PLR0124
            writer.write_batch(pa.record_batch([times, *arrays], schema=schema))


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which replaces `path` only if the block succeeds.

    Raises:
        CryptoStreamError: it cannot be written.
    """
    path = path.resolve()  # replaces the target of a symbolic link, not the link
    # A pipe or a device cannot be replaced.
    replaceable = path.is_file() or not path.exists()
    written = path.with_name(f"{path.name}.unfinished") if replaceable else path
    try:
        with written.open("wb") as file:
            try:
                yield file
            except BaseException:
                if replaceable:
                    written.unlink()
                raise
        if replaceable:
            written.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CryptoStreamError(f"--output: {path} cannot be written ({reason}); name another file") from None
