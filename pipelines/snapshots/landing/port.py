"""The port of a landing place: named blobs that are replaced as a whole, or not at all."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from shared.errors import CryptoStreamError


class LandingUnavailable(CryptoStreamError):
    """Transient: what was to be written waits in the spool, and is written by a later run."""


class LandingMisconfigured(CryptoStreamError):
    """No try will help; the message names the setting to blame."""

    exit_code = 2


class Conflict(CryptoStreamError):
    """The blob is no longer what the writer had read: read it again, merge again, write again."""


class Blob(NamedTuple):
    """Content, and the version that a replacement has to name."""

    content: bytes
    version: str


class LandingPlace(Protocol):
    """Names are relative, with slashes. Every method raises LandingUnavailable or LandingMisconfigured."""

    def names(self, folder: str) -> list[str]:
        """Names of the blobs directly in a folder, sorted; none where there is no such folder."""

    def read(self, name: str) -> Blob | None:
        """A whole blob; None where there is none."""

    def write(self, name: str, content: bytes, version: str | None) -> None:
        """Put a blob; readers see the old one or the new one, whole.

        Args:
            version: of the blob that is replaced; None: there must be none.

        Raises:
            Conflict: it is another one by now.
        """

    def delete(self, name: str, version: str | None = None) -> None:
        """Remove a blob; one that is not there is removed already.

        Args:
            version: only if it is still that one.

        Raises:
            Conflict: it is another one by now.
        """
