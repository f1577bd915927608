"""A container of Azure Blob Storage as a landing.

Queries read through fsspec and adlfs. Blobs are put by the SDK below adlfs: only there a replacement can
depend on the ETag that was read, and adlfs' `open(…, "wb")` publishes half a blob on an error
(docs/decisions/snapshot-landing.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import adlfs
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient, ContainerClient

from pipelines.snapshots.landing.port import Blob, Conflict, LandingMisconfigured, LandingUnavailable

Result = TypeVar("Result")

_SETTING: Final = "AZURE_STORAGE_CONNECTION_STRING"
# Without a listener: 20 s until the error, instead of 81 s with the SDK's defaults.
_PATIENCE: Final = {"retry_total": 1, "connection_timeout": 5, "read_timeout": 30}
_FORBIDDEN: Final = (401, 403)
# It logs every request with all headers, ten lines each.
logging.getLogger("azure").setLevel(logging.WARNING)


def open_filesystem(connection_string: str) -> Any:
    """The fsspec filesystem, for readers by address.

    Raises:
        LandingMisconfigured: the connection string is invalid.
    """
    _check(connection_string)
    try:
        return adlfs.AzureBlobFileSystem(connection_string=connection_string, skip_instance_cache=True)
    except ValueError:
        raise _unreadable() from None


class AzureLanding:
    """Blobs below `abfs://container/prefix`; the container is made on demand."""

    def __init__(self, address: str, connection_string: str) -> None:
        """Raises:
        LandingMisconfigured: the connection string is invalid.
        """
        _check(connection_string)
        container, _, prefix = address.removeprefix("abfs://").partition("/")
        self._address = address
        self._prefix = f"{prefix}/" if prefix else ""
        try:
            service = BlobServiceClient.from_connection_string(connection_string, **_PATIENCE)
        except ValueError:
            raise _unreadable() from None
        self._container: ContainerClient = service.get_container_client(container)

    def names(self, folder: str) -> list[str]:
        start = f"{self._prefix}{folder}/"
        with self._explained():
            try:
                found = [str(blob.name) for blob in self._container.walk_blobs(start)]
            except ResourceNotFoundError:
                return []  # no container yet
        return sorted(name.removeprefix(start) for name in found if not name.endswith("/"))

    def has(self, folder: str) -> bool:
        """Whether there is any blob below a folder, however deep."""
        with self._explained():
            try:
                pages = self._container.list_blob_names(name_starts_with=f"{self._prefix}{folder}/")
                return next(iter(pages), None) is not None
            except ResourceNotFoundError:
                return False

    def read(self, name: str) -> Blob | None:
        with self._explained():
            try:
                blob = self._container.download_blob(self._prefix + name)
                return Blob(blob.readall(), str(blob.properties.etag))
            except ResourceNotFoundError:
                return None

    def write(self, name: str, content: bytes, version: str | None) -> None:
        condition: dict[str, Any] = {"overwrite": False}
        if version is not None:
            condition = {"overwrite": True, "etag": version, "match_condition": MatchConditions.IfNotModified}
        with self._explained():
            try:
                self._in_container(
                    lambda: self._container.upload_blob(self._prefix + name, content, **condition)
                )
            except (ResourceExistsError, ResourceModifiedError):
                raise Conflict(f"{name}: written by another run meanwhile") from None

    def delete(self, name: str, version: str | None = None) -> None:
        condition: dict[str, Any] = {}
        if version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        with self._explained():
            try:
                self._container.delete_blob(self._prefix + name, **condition)
            except ResourceNotFoundError:
                return
            except ResourceModifiedError:
                raise Conflict(f"{name}: written by another run meanwhile") from None

    def _in_container(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except ResourceNotFoundError:
            try:
                self._container.create_container()
            except ResourceExistsError:
                return work()  # another run made it
            return work()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The SDK's errors as those of the port."""
        try:
            yield
        except ClientAuthenticationError:
            raise self._refused() from None
        except HttpResponseError as error:
            if error.status_code in _FORBIDDEN:
                raise self._refused() from None
            raise self._away(f"answered {error.status_code} ({error.reason})") from None
        except AzureError as error:
            raise self._away(f"cannot be reached ({type(error).__name__})") from None

    def _refused(self) -> LandingMisconfigured:
        return LandingMisconfigured(f"{_SETTING}: its key may not write to {self._address}; renew it")

    def _away(self, why: str) -> LandingUnavailable:
        return LandingUnavailable(f"{self._address}: {why}; snapshots wait in the spool until it works again")


def _check(connection_string: str) -> None:
    if not connection_string:
        raise LandingMisconfigured(f"{_SETTING}: not set; SNAPSHOT_LANDING=abfs://… needs it")


def _unreadable() -> LandingMisconfigured:
    return LandingMisconfigured(
        f"{_SETTING}: not a connection string; copy it from the storage account's keys"
    )
