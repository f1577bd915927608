"""Backup and restore of a whole InfluxDB through the server's backup API.

One folder a backup: `kv` (users, tokens, buckets, tasks), `sql` (notebooks), `buckets.json` (the list of
shards), `shards/ID.tar`, and `complete`, written last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import urllib3

from shared.errors import StoreMisconfigured, StoreUnavailable, UsageError
from shared.redirects import is_redirect, target
from shared.shown import shown

# Between two reads: the server copies a large shard before it sends the first byte.
_TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=600.0)
_CHUNK_BYTES: Final = 1 << 20
_PARTS: Final = {"kv": "kv", "sql": "sql", "buckets": "buckets.json"}
_COMPLETE: Final = "complete"


def back_up(url: str, operator_token: str, directory: Path) -> str:
    """Copy everything into a new folder below `directory`; returns a line about it.

    Raises:
        StoreUnavailable, StoreMisconfigured: the server does not answer or refuses the token.
    """
    folder = directory / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    partial = folder.with_name(f"{folder.name}.partial")
    (partial / "shards").mkdir(parents=True)
    server = _Server(url, operator_token)
    # 1. Metadata, and the shards that they list.
    for name, content in server.metadata().items():
        (partial / _PARTS[name]).write_bytes(content)
    shards = shard_ids(orjson.loads((partial / "buckets.json").read_bytes()))
    # 2. The shards, with the points.
    kept = sum(server.fetch_shard(shard, partial / "shards" / f"{shard}.tar") for shard in shards)
    # 3. Only now the backup is complete.
    (partial / _COMPLETE).touch()
    partial.rename(folder)
    return f"{folder}: {kept} shards, {_megabytes(folder)}"


def restore(url: str, operator_token: str, folder: Path) -> str:
    """Replace everything on the server by a backup, users and tokens included; returns a line about it.

    Raises:
        UsageError: the folder is not a complete backup.
        StoreUnavailable, StoreMisconfigured: as `back_up`.
    """
    if not (folder / _COMPLETE).is_file():
        raise UsageError(f"{folder}: is not a complete backup; name a folder that `backup` has made")
    shards = sorted((folder / "shards").iterdir(), key=lambda path: int(path.stem))
    server = _Server(url, operator_token)
    server.put("/api/v2/restore/kv", folder / "kv")
    # From here on the server accepts the backup's tokens alone.
    if not server.accepts():
        raise StoreMisconfigured(
            f"{folder}: is of an installation with other secrets; users are restored, points are not: "
            "put its volume of the operator's secrets in place of ours and restore again"
        )
    server.put("/api/v2/restore/sql", folder / "sql")
    for path in shards:
        server.put(f"/api/v2/restore/shards/{path.stem}", path)
    return (
        f"{folder}: {len(shards)} shards restored; users and tokens are those of the backup, run influx-init"
    )


def shard_ids(buckets: list[dict[str, Any]]) -> list[int]:
    """The shards of a manifest that are not deleted, in order."""
    return sorted(
        int(shard["id"])
        for bucket in buckets
        for policy in bucket["retentionPolicies"] or ()
        for group in policy["shardGroups"] or ()
        if not group.get("deletedAt")
        for shard in group["shards"] or ()
    )


class _Server:
    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def metadata(self) -> dict[str, bytes]:
        with self._answer("GET", "/api/v2/backup/metadata") as answer:
            boundary = re.search(r'boundary="?([^";]+)', answer.headers.get("Content-Type", ""))
            if boundary is None:
                raise StoreUnavailable(f"INFLUX_URL: {self._url} sends no backup; see its log")
            parts = answer.read(decode_content=True).split(b"--" + boundary[1].encode())[1:-1]
        found = {}
        for part in parts:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="(\w+)"', head)
            if name is not None and name[1].decode() in _PARTS:
                found[name[1].decode()] = content.removesuffix(b"\r\n")
        if found.keys() != _PARTS.keys():
            raise StoreUnavailable(f"INFLUX_URL: {self._url} sends half a backup; see its log")
        return found

    def accepts(self) -> bool:
        """Whether the server accepts the token."""
        with self._answer("GET", "/api/v2/buckets?limit=1", excused=401) as answer:
            return bool(answer.status == 200)

    def fetch_shard(self, shard: int, path: Path) -> bool:
        """False if the shard has expired."""
        with self._answer("GET", f"/api/v2/backup/shards/{shard}", excused=404) as answer:
            if answer.status == 404:
                return False
            with path.open("wb") as file:
                for chunk in answer.stream(_CHUNK_BYTES, decode_content=True):
                    file.write(chunk)
        return True

    def put(self, path: str, source: Path) -> None:
        with (
            source.open("rb") as file,
            self._answer("POST", path, body=file, headers={"Content-Type": "application/octet-stream"}),
        ):
            return

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        excused: int = 0,
        headers: dict[str, str] | None = None,
        body: Any = None,
    ) -> Iterator[Any]:
        try:
            answer = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers={"Authorization": f"Token {self._token}", **(headers or {})},
                preload_content=False,
            )
            try:
                if answer.status >= 300 and answer.status != excused:
                    reason = shown(answer.read(1_000).decode(errors="replace").strip())
                    if is_redirect(answer.status):
                        reason = f"it sends on to {target(answer.headers.get('Location'))}"
                    raise StoreMisconfigured(
                        f"INFLUX_URL: {method} {path} is refused ({answer.status}): {reason}"
                    )
                yield answer
            finally:
                answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreUnavailable(
                f"INFLUX_URL: {self._url} broke off at {method} {path} ({error}); try again"
            ) from None


def _megabytes(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 10**6:,.1f} MB"
