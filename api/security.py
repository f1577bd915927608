"""Around every request: who may ask, safe headers, and errors that say one line."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.guard import allowed_host, bearer_of, same_origin, token_matches
from api.problems import Problem, busy
from shared.settings import Settings
from shared.shortened import OF_MESSAGE

log: Final = logging.getLogger(__name__)

LONGEST_URL: Final = 4_096
# Of a request. The server bounds by it what is not whole; a head that comes in one packet it takes as it is.
HEAD_BYTES: Final = 16_384
# Set in the scope of a HEAD request: what would be streamed need not be read.
HEAD: Final = "cryptostream.head"
_API: Final = "/api/"
OURS: Final = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the service's log names it")
_POLICY: Final = (
    "default-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none';"
    " object-src 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy(scripts: list[str], styles: list[str]) -> str:
    """The Content-Security-Policy of a page.

    Args:
        scripts, styles: hashes of the page's inline ones, like `sha256-…`.
    """
    parts = [_POLICY]
    for directive, hashes in (("script-src", scripts), ("style-src", styles)):
        if hashes:
            parts.append(f"{directive} 'self' " + " ".join(f"'{each}'" for each in hashes))
    return "; ".join(parts)


class Guarded:
    """The application behind its rules."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._token = settings.api_token.get_secret_value()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._refusal(scope)
        if scope["type"] == "websocket":
            if problem is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": str(problem)[:100]})
            return
        answer = _Answer(send)
        if problem is None:
            problem = await self._answered(scope, receive, answer)
        if problem is not None:
            await problem.response()(scope, receive, answer.send)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> Problem | None:
        """Let the application answer; the problem if it has failed."""
        if scope["method"] == "HEAD":
            # The server drops the body.
            scope = {**scope, "method": "GET", HEAD: True}
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - no traceback reaches a user
            if answer.begun and not answer.ended:
                # The connection is cut, so that what came is not taken for the whole.
                log.warning("%s: an answer broke off: %s", scope["path"], error)
                raise _BrokenOff from None
            log.error("%s: %s: %s", scope["path"], type(error).__name__, error)
            return None if answer.ended else OURS
        return None

    def _refusal(self, scope: Scope) -> Problem | None:
        if (problem := _too_long(scope)) is not None:
            return problem
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not allowed_host(host, self._settings):
            why = (
                "is no name of a host; use localhost or the address"
                if self._token
                else "is not answered without a token; use localhost or the address, or set API_TOKEN"
            )
            return Problem(HTTPStatus.FORBIDDEN, f"Host {host!r} {why}")
        if not same_origin(origin, host):
            return Problem(HTTPStatus.FORBIDDEN, f"Origin {origin!r}: pages of other sites may not ask")
        if scope["type"] == "websocket":
            return None  # its token is in a sub-protocol
        if scope["path"].startswith(_API) and not token_matches(
            bearer_of(headers.get("authorization")), self._token
        ):
            return Problem(
                HTTPStatus.UNAUTHORIZED,
                "Authorization: needs the token of API_TOKEN, as `Bearer …`",
                {"WWW-Authenticate": "Bearer"},
            )
        return None


def _too_long(scope: Scope) -> Problem | None:
    if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > HEAD_BYTES:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return Problem(status, f"headers: longer than {HEAD_BYTES:,} bytes; send less")
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_URL:
        return Problem(HTTPStatus.REQUEST_URI_TOO_LONG, f"URL: longer than {LONGEST_URL:,} characters")
    return None


async def no_place(scope: Scope, receive: Receive, send: Send) -> None:
    """The application while too many are connected."""
    log.warning("all places for connections are taken")
    await busy("all places are taken; ask again").response()(scope, receive, _Answer(send).send)


class _BrokenOff(Exception):
    """An answer that had begun cannot be finished."""


class _Answer:
    """Adds the headers of every answer; a library's error in plain text becomes a problem."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._plain: Message | None = None
        self._words = b""
        self.begun = False
        self.ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            plain = headers.get("content-type", "").startswith("text/plain")
            if plain and message["status"] >= HTTPStatus.BAD_REQUEST:
                self._plain = message
                return
            self.begun = True
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        elif message["type"] == "http.response.body":
            if self._plain is not None:
                await self._replace(self._plain, message)
                return
            self.ended = not message.get("more_body", False)
        await self._send(message)

    async def _replace(self, plain: Message, message: Message) -> None:
        """Send the problem once the text is whole."""
        self._words = (self._words + message.get("body", b""))[:OF_MESSAGE]
        if message.get("more_body", False):
            return
        self._plain = None
        response = _problem_of(plain, self._words.decode(errors="replace")).response()
        start = {"type": "http.response.start", "status": plain["status"], "headers": response.raw_headers}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": response.body})


def _problem_of(plain: Message, words: str) -> Problem:
    """Of an answer in plain text: those of files, whose `Range` alone can be wrong."""
    status, given = plain["status"], Headers(raw=plain["headers"])
    kept = {name: value for name, value in given.items() if name not in ("content-type", "content-length")}
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        words = "Range: is not within the file; leave the header out"
    elif status == HTTPStatus.BAD_REQUEST:
        words = "Range: cannot be read; write it like bytes=0-99, or leave the header out"
    return Problem(status, words or HTTPStatus(status).phrase, kept)
