"""The port of a landing: named blobs, replaced as a whole or not at all."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from shared.errors import CryptoStreamError


class LandingUnavailable(CryptoStreamError):
    """Transient: rows wait in the spool for a later run."""


class LandingMisconfigured(CryptoStreamError):
    """Permanent; the message names the setting to fix."""

    exit_code = 2


class Conflict(CryptoStreamError):
    """The blob has changed since it was read: read, merge and write again."""


class Blob(NamedTuple):
    """Content, and the version that a replacement must name."""

    content: bytes
    version: str


class Landing(Protocol):
    """Names are relative, with slashes. Every method raises LandingUnavailable or LandingMisconfigured."""

    def names(self, folder: str) -> list[str]:
        """Names of the blobs directly in a folder, sorted; none where there is no such folder."""

    def read(self, name: str) -> Blob | None:
        """A whole blob; None where there is none."""

    def write(self, name: str, content: bytes, version: str | None) -> None:
        """Put a blob; readers see the whole old or the whole new one.

        Args:
            version: of the blob that is replaced; None: there must be none.

        Raises:
            Conflict: the version has changed.
        """

    def delete(self, name: str, version: str | None = None) -> None:
        """Remove a blob, if it exists.

        Args:
            version: only this one.

        Raises:
            Conflict: the version has changed.
        """
