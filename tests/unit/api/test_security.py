"""Who may ask, and the headers of every answer."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import SecretStr
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.unit.api.api_parts import ORIGIN, client

PATH = "/api/v1/instruments"


def echo() -> APIRouter:
    """A stream of one text."""
    router = APIRouter()

    @router.websocket("/api/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("live")
        await websocket.close()

    return router


@pytest.mark.parametrize("path", [PATH, "/", "/api/v1/nothing", "/nothing", "/api/v1/rows/kline?x=1"])
def test_every_answer_has_the_headers_that_make_it_safe(path: str) -> None:
    headers = client().get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; connect-src 'self'; frame-ancestors 'none'; ")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "api:8000", "localhost.evil.example", "127.0.0.1@evil", "", "a b"]
)
def test_a_name_that_another_site_may_point_here_is_not_answered(host: str) -> None:
    answer = client().get(PATH, headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("Host ")


@pytest.mark.parametrize("host", ["", "127.0.0.1@evil", "a:b:c"])
def test_with_a_token_a_host_must_only_be_one(host: str) -> None:
    api = client(api_token=SecretStr("secret"))
    asked = {"Host": host, "Authorization": "Bearer secret"}
    answer = api.get(PATH, headers=asked)
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        f"Host {host!r} is no name of a host; use localhost or the address",
    )
    assert api.get(PATH, headers=asked | {"Host": "market.example"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:9999", "[::1]:8000", "192.168.1.7"])
def test_names_that_only_mean_this_machine_are_answered(host: str) -> None:
    assert client().get(PATH, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8001", "file://"])
def test_pages_of_other_sites_may_not_ask(origin: str) -> None:
    assert client().get(PATH, headers={"Origin": origin}).status_code == 403
    with pytest.raises(WebSocketDisconnect):
        client(stream=echo()).websocket_connect("/api/v1/stream", headers={"Origin": origin}).__enter__()


def test_our_own_page_may_ask() -> None:
    assert client().get(PATH, headers={"Origin": ORIGIN}).status_code == 200
    # The client's WebSocket names `testserver` as its host, whatever its base URL.
    headers = {"Origin": ORIGIN, "Host": ORIGIN.removeprefix("http://")}
    with client(stream=echo()).websocket_connect("/api/v1/stream", headers=headers) as stream:
        assert stream.receive_text() == "live"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Basic c2VjcmV0", "Bearer ", "Bearer sécret", "secret"]
)
def test_a_token_is_asked_for_where_there_is_one(given: Any) -> None:
    api = client(api_token=SecretStr("secret"))
    headers = {} if given is None else {"Authorization": given.encode()}
    answer = api.get(PATH, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "secret" not in answer.text
    assert api.get(PATH, headers={"Authorization": "Bearer secret"}).status_code == 200
    # The page has no secret: it asks for the token itself.
    assert api.get("/").status_code == 200


def test_a_url_is_bounded() -> None:
    answer = client().get(f"{PATH}?x={'a' * 5_000}")
    assert answer.status_code == 414
    assert answer.headers["content-type"] == "application/problem+json"
