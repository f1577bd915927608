"""The application of the API: its routes on the parts given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from api.exact import ExactRows
from api.history import History
from api.page import Page
from api.problems import Problem
from api.routes.book import book_router
from api.routes.health import health_router
from api.routes.instruments import instruments_router
from api.routes.rows import rows_router
from api.schema import Schema, described
from api.security import OURS, Guarded
from api.topics import Searches
from consumers.tap.series import LiveKind
from shared.settings import Settings

PREFIX: Final = "/api/v1"
VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of.

    Attributes:
        kinds: of series, by name (`consumers.tap.series.live_kinds`).
        searches: of topics; None without a broker.
        stream: the WebSocket's route (`api.socket`); None without a broker.
    """

    settings: Settings
    kinds: Mapping[str, LiveKind]
    history: History
    page: Page
    searches: Searches | None = None
    stream: APIRouter | None = None


def build_app(parts: Parts) -> ASGIApp:
    """The application, behind its rules."""
    return Guarded(_routed(parts), parts.settings)


def make_openapi(parts: Parts) -> Schema:
    """The OpenAPI description of the application."""
    return described(_routed(parts).openapi(), parts.kinds)


def _routed(parts: Parts) -> FastAPI:
    app = FastAPI(
        title="CryptoStream",
        version=VERSION,
        description="Stored and live rows of the market; all names come from one table of measurements.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    kinds = dict(parts.kinds)
    exact = ExactRows(parts.searches) if parts.searches is not None else None
    router = APIRouter(prefix=PREFIX)
    for each in (
        instruments_router(parts.settings, parts.history),
        rows_router(kinds, parts.history, exact),
        book_router(parts.searches),
        health_router(kinds, parts.history, parts.settings),
    ):
        router.include_router(each)
    app.include_router(router)
    if parts.stream is not None:
        app.include_router(parts.stream)
    _add_schema(app, kinds)
    app.add_route(PREFIX.rpartition("/")[0] + "/{rest:path}", _no_endpoint, include_in_schema=False)
    app.add_route("/{path:path}", parts.page.serve, include_in_schema=False)
    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _problem_of)
    return app


def _add_schema(app: FastAPI, kinds: Mapping[str, LiveKind]) -> None:
    """`/openapi.json`, made at its first request."""
    made: list[bytes] = []

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    async def schema() -> Response:
        if not made:
            made.append(orjson.dumps(described(app.openapi(), kinds)))
        return Response(made[0], media_type="application/json", headers={"Cache-Control": "no-cache"})


async def _no_endpoint(request: Request) -> Response:
    raise Problem(
        HTTPStatus.NOT_FOUND, f"{request.url.path[:200]}: no such endpoint; {PREFIX}/openapi.json lists all"
    )


async def _problem_of(_request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, HTTPException):
        detail = str(error.detail)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return Problem(error.status_code, "this is read only; use GET", {"Allow": "GET, HEAD"}).response()
        return Problem(error.status_code, detail, error.headers).response()
    if not isinstance(error, RequestValidationError):
        return OURS.response()
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"request: {error.errors()[0].get('msg')}").response()
