"""`docker/images.lock`: third-party images and their digests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "docker" / "images.lock"
_UNKNOWN: Final = "-"
_LINE: Final = re.compile(
    r"(?P<variable>\w+) (?P<name>[\w./-]+):(?P<tag>[\w.-]+) (?P<digest>sha256:[0-9a-f]{64}|-)"
)


@dataclass(frozen=True, slots=True)
class Image:
    """A third-party image.

    Attributes:
        variable: of the compose files; a user's value replaces tag and digest.
        digest: `sha256:…` of the index of all platforms; None if not looked up yet.
    """

    variable: str
    name: str
    tag: str
    digest: str | None

    @property
    def pinned(self) -> str:
        """Tag and digest, or the tag alone."""
        return f"{self.tag}@{self.digest}" if self.digest else self.tag


def read_lock(text: str) -> list[Image]:
    """The images of a lock, in order. Raises ValueError at an invalid line."""
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            parts = _LINE.fullmatch(line)
            if parts is None:
                raise ValueError(f"docker/images.lock: {line!r} is not a variable, an image and a digest")
            digest = None if parts["digest"] == _UNKNOWN else parts["digest"]
            found.append(Image(parts["variable"], parts["name"], parts["tag"], digest))
    return found


def with_digests(text: str, digests: dict[str, str]) -> str:
    """A lock with the digests of these images, by name and tag; other lines stay."""
    lines = []
    for line in text.splitlines():
        parts = _LINE.fullmatch(line)
        digest = None if parts is None else digests.get(f"{parts['name']}:{parts['tag']}")
        lines.append(line if parts is None or digest is None else line.rpartition(" ")[0] + f" {digest}")
    return "\n".join(lines) + "\n"


def pinned(text: str, images: list[Image]) -> str:
    """A compose file or Dockerfile with every image as in the lock."""
    for image in images:
        whole = image.variable.endswith("_IMAGE")
        tag = re.escape(f"{image.name}:{image.tag}" if whole else image.tag)
        value = f"{image.name}:{image.pinned}" if whole else image.pinned
        digest = r"(?:@sha256:[0-9a-f]{64})?"
        before = "" if whole else f"{re.escape(image.name)}:"
        forms = (
            (rf"({before}\$\{{{image.variable}:-){tag}{digest}(\}})", rf"\g<1>{value}\g<2>"),
            (rf"^(ARG {image.variable}=){tag}{digest}()$", rf"\g<1>{value}\g<2>"),
        )
        for pattern, put in forms:
            text = re.sub(pattern, put, text, flags=re.MULTILINE)
    return text
