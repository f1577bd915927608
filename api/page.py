"""The built page: the files of a static export, each with its headers."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from api.problems import Problem
from api.security import policy
from shared.shortened import quoted

# Files named after their content.
_NAMED_BY_CONTENT: Final = "_next/static/"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
# Of an export: the page for what is not there. Asked for by its own name, it is not there either.
_NOT_FOUND: Final = "404.html"
_NOT_FOUND_TOO: Final = ("404/index.html", "_not-found.html", "_not-found/index.html")
_INDEX: Final = "index.html"
_INLINE: Final = {
    name: re.compile(rf"<{name}(?![^>]*\ssrc=)[^>]*>(.*?)</{name}>", re.DOTALL | re.IGNORECASE)
    for name in ("script", "style")
}
NOT_BUILT: Final = "The page is not built: run `make web` (it needs Node), then start this again.\n"


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    media_type: str
    headers: dict[str, str]


class Page:
    """The files of a folder, found once: nothing else is ever served.

    Args:
        folder: of the export; None, or without index.html, if the page is not built.
    """

    def __init__(self, folder: Path | None) -> None:
        self._files = _files_of(folder) if folder is not None and (folder / _INDEX).is_file() else {}

    @property
    def built(self) -> bool:
        return bool(self._files)

    async def serve(self, request: Request) -> Response:
        """A file by its path; pages also without `.html`.

        Raises:
            Problem: there is no such file.
        """
        name = request.url.path.lstrip("/")
        if not self.built and name in ("", _INDEX):
            return PlainTextResponse(NOT_BUILT, headers={"Cache-Control": _ASK_AGAIN})
        for candidate in (name, f"{name.rstrip('/')}.html", f"{name.rstrip('/')}/{_INDEX}".lstrip("/")):
            file = self._files.get(candidate)
            if file is not None and candidate not in (_NOT_FOUND, *_NOT_FOUND_TOO):
                return FileResponse(file.path, media_type=file.media_type, headers=file.headers)
        missing = self._files.get(_NOT_FOUND)
        if missing is not None and "text/html" in request.headers.get("accept", ""):
            return FileResponse(
                missing.path, HTTPStatus.NOT_FOUND, missing.headers, media_type=missing.media_type
            )
        raise Problem(HTTPStatus.NOT_FOUND, f"{quoted(request.url.path)}: no such page; begin at /")


def _files_of(folder: Path) -> dict[str, _File]:
    root = folder.resolve()
    return {
        str(path.relative_to(root)): _file(path, str(path.relative_to(root)))
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.resolve().is_relative_to(root)
    }


def _file(path: Path, name: str) -> _File:
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"Cache-Control": _FOR_EVER if name.startswith(_NAMED_BY_CONTENT) else _ASK_AGAIN}
    if media_type == "text/html":
        text = path.read_text(encoding="utf-8")
        headers["Content-Security-Policy"] = policy(*(_hashes(text, tag) for tag in ("script", "style")))
    return _File(path, media_type, headers)


def _hashes(text: str, tag: str) -> list[str]:
    """Hashes of the inline scripts or styles of a page, as a Content-Security-Policy names them."""
    found = dict.fromkeys(inline for inline in _INLINE[tag].findall(text) if inline)
    return [
        "sha256-" + base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() for inline in found
    ]
