"""A run's data directory: one run at a time, always the same kind of source."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import orjson

from cryptostream.data_dir import LOCK_FILE, SOURCE_FILE, STORE_FILE, default_data_dir
from shared.errors import UsageError
from shared.files import narrow

LOW_DISK_BYTES: Final = 10**9
DEFAULT_SEED: Final = 1
_BASES_FILE: Final = "trade-bases.json"


class DataDirectory:
    """The data directory of a run, locked against a second one.

    Attributes:
        root: absolute path.
    """

    def __init__(self, data_dir: Path | None, source_kind: str) -> None:
        """Create the directory if need be, and lock it.

        Args:
            source_kind: "live", "simulator" or "replay".

        Raises:
            UsageError: it cannot be written, another run uses it, or it holds data of another kind of source.
        """
        self.root = (data_dir or default_data_dir(source_kind)).resolve()
        if self.root.is_file():
            raise UsageError(f"--data-dir {self.root}: is a file; name a directory")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.kafka_dir, self.influx_dir, self.root / "logs"):
                narrow(folder)  # of an older version; the root may be a folder of the user's own
            self._lock = (self.root / LOCK_FILE).open("a+", encoding="ascii", errors="replace")
        except OSError as error:
            raise UsageError(
                f"--data-dir {self.root}: cannot be written ({error.strerror}); name another directory"
            ) from None
        self._take(self._lock)
        self._keep_kind(source_kind)

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    @property
    def store_path(self) -> Path:
        return self.root / STORE_FILE

    @property
    def kafka_dir(self) -> Path:
        return self.root / "kafka"

    @property
    def influx_dir(self) -> Path:
        return self.root / "influxdb"

    @property
    def start_positions_path(self) -> Path:
        return self.root / "bearings.json"

    def fresh_slots(self) -> Path:
        """An empty folder where the services of this run claim their instance numbers."""
        folder = self.root / "slots"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def log_path(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    @property
    def low_disk(self) -> str | None:
        """A warning while the disk is nearly full."""
        free = shutil.disk_usage(self.root).free
        if free >= LOW_DISK_BYTES:
            return None
        return (
            f"disk: only {free // 10**6} MB free at {self.root}; make room, or the store will have to pause"
        )

    def world(self, seed: int | None) -> tuple[int, int]:
        """Seed and start (ms since the epoch) of the simulated world, which the next run continues.

        Raises:
            UsageError: the world in this directory has another seed.
        """
        path = self.root / "simulator.json"
        kept = _read(path)
        if not kept:
            kept = {"seed": DEFAULT_SEED if seed is None else seed, "start_ms": time.time_ns() // 1_000_000}
            _write(path, kept)
        if seed is not None and seed != kept["seed"]:
            raise UsageError(
                f"--seed {seed}: {self.root} holds the world of seed {kept['seed']}; "
                "name another directory by --data-dir, or leave --seed out"
            )
        return int(kept["seed"]), int(kept["start_ms"])

    @property
    def last_broker(self) -> str | None:
        """Kind of the broker of the last run here: "kafka", "memory" or "external"."""
        return self._kept.get("broker")

    def remember_broker(self, kind: str, address: str) -> None:
        """Keep the broker of this run, beside those of earlier runs."""
        used = {*self._kept.get("brokers", ()), _broker_name(kind, address)}
        self._keep(broker=kind, brokers=sorted(used))

    def broker_mismatch(self, kind: str, address: str) -> str | None:
        """Why a broker, not started yet, does not match the data stored here; None if it does.

        The memory broker takes its start positions from the store. Any other has progress, states and a
        ledger of its own, which lack what runs with another broker have stored.

        Args:
            kind: "kafka", "memory" or "external".
        """
        kept = self._kept
        last = kept.get("broker")
        if last is None or kind == "memory":
            return None
        # Directories of older versions have no list.
        known = _broker_name(kind, address) in kept.get("brokers", ()) or (
            "brokers" not in kept and kind == last
        )
        if known and (kind != "kafka" or self.kafka_dir.exists()):
            return None
        name = "a new Kafka" if kind == "kafka" else f"the broker {address}"
        return (
            f"{self.root} holds what runs with another broker ({last}) have stored, and {name} knows nothing "
            "of it: its ledger would disagree with the store; go on with --broker memory, which takes its "
            "start positions from the store, or name a new directory by --data-dir DIR"
        )

    @property
    def trade_bases(self) -> dict[str, int]:
        """By symbol, the newest trade when a run first listened to it."""
        bases = _read(self.root / _BASES_FILE)
        return {symbol: base for symbol, base in bases.items() if type(base) is int}

    def keep_trade_bases(self, bases: Mapping[str, int]) -> None:
        """Keep them for the next run, which fetches what is missing after them."""
        _write(self.root / _BASES_FILE, dict(bases))

    def remember_influx(self, where: dict[str, str] | None) -> None:
        """Keep the InfluxDB of the run for `query` and `ledger`; None for another store."""
        self._keep(influx=where)

    @property
    def _kept(self) -> dict[str, Any]:
        return _read(self.root / SOURCE_FILE)

    def _keep(self, **changes: Any) -> None:
        _write(self.root / SOURCE_FILE, {**self._kept, **changes})

    def _take(self, lock: IO[str]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read(20).strip() or "unknown"
            lock.close()
            raise UsageError(
                f"{self.root} is in use by another run (process {owner}); stop that one, "
                "or name another directory by --data-dir DIR"
            ) from None
        except OSError as error:
            lock.close()
            raise UsageError(
                f"--data-dir {self.root}: cannot be locked ({error.strerror}): its file system has no locks, "
                "as NFS without its lock service; name a directory on a disk of this machine"
            ) from None
        try:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        except OSError as error:
            raise UsageError(
                f"--data-dir {self.root}: cannot be written ({error.strerror}); make room, or name another"
            ) from None

    def _keep_kind(self, source_kind: str) -> None:
        kind = self._kept.get("kind", source_kind)
        if kind != source_kind:
            self.close()
            raise UsageError(
                f"{self.root} holds data of the source {kind}, which {source_kind} data would mix with; "
                f"name another directory by --data-dir DIR, or take --source {kind}"
            )
        self._keep(kind=source_kind)


def _broker_name(kind: str, address: str) -> str:
    return f"{kind} {address}" if kind == "external" else kind


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        kept = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        kept = None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the right to read it") from None
    if not isinstance(kept, dict):
        raise UsageError(
            f"{path}: is damaged; delete it if the directory's data may be mixed, else name another"
        )
    return kept


def _write(path: Path, content: dict[str, Any]) -> None:
    # Renamed into place: a killed run leaves the old file or the new one, never a half one.
    new = path.with_suffix(".new")
    try:
        new.write_bytes(orjson.dumps(content))
        new.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}); make room, or name another by --data-dir DIR"
        ) from None
