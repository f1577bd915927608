from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pipelines.snapshots.alerts import (
    AlertNotSent,
    Message,
    Open,
    Problem,
    decide,
    load_state,
    save_state,
    send,
    text_of,
)
from pipelines.snapshots.landing.local import LocalLanding

HOUR = 3_600_000
DOWN = Problem("landing", "landing: away")


def test_a_problem_is_told_once_then_after_a_while_then_when_it_is_over() -> None:
    state, told = decide({}, [DOWN], 0, HOUR)
    assert [message.kind for message in told] == ["problem"]
    state, told = decide(state, [DOWN], HOUR - 1, HOUR)
    assert told == []
    state, told = decide(state, [DOWN], HOUR, HOUR)
    assert told == [Message("still", "landing", "landing: away", 0)]
    state, told = decide(state, [], HOUR + 1, HOUR)
    assert told == [Message("recovered", "landing", "landing: away", 0)]
    assert decide(state, [], HOUR + 2, HOUR) == ({}, [])


def test_what_a_run_cannot_judge_is_neither_over_nor_told_again() -> None:
    state, _ = decide({}, [DOWN], 0, HOUR)
    assert decide(state, [], 2 * HOUR, HOUR, lambda key: key != "landing") == (state, [])


@given(st.lists(st.sets(st.sampled_from("abc")), max_size=20))
def test_every_problem_told_is_also_told_to_be_over(history: list[set[str]]) -> None:
    state: dict[str, Open] = {}
    open_keys: set[str] = set()
    for minute, keys in enumerate([*history, set()]):
        state, told = decide(state, [Problem(key, key) for key in sorted(keys)], minute * 60_000, HOUR)
        for message in told:
            assert (message.key in open_keys) == (message.kind != "problem")
            (open_keys.discard if message.kind == "recovered" else open_keys.add)(message.key)
        assert open_keys == keys


def test_what_was_told_survives_the_process(tmp_path: Path) -> None:
    place = LocalLanding(tmp_path)
    assert load_state(place) == {}
    save_state(place, {"landing": Open(1, 2, "away")})
    save_state(place, {"landing": Open(1, 3, "away")})
    assert load_state(place) == {"landing": Open(1, 3, "away")}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b'{"a": ["x", 1, 2]}', b"{"])
def test_a_damaged_state_tells_everything_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "alerts.json").write_bytes(content)
    assert load_state(LocalLanding(tmp_path)) == {}


def test_the_webhook_gets_one_request_with_all_messages() -> None:
    received: list[Any] = []
    messages = [Message("problem", "a", "a is down", 0), Message("recovered", "b", "b was down", 0)]
    asyncio.run(_sent(received, 200, messages))
    assert [one["text"] for one in received] == ["problem: a is down\nrecovered: b was down"]
    assert received[0]["alerts"][1]["kind"] == "recovered"


def test_a_webhook_that_refuses_or_is_away_is_an_error_without_its_address() -> None:
    with pytest.raises(AlertNotSent, match="SNAPSHOT_WEBHOOK_URL: the webhook answered 500"):
        asyncio.run(_sent([], 500, [Message("problem", "a", "a", 0)]))
    with pytest.raises(AlertNotSent) as raised:
        asyncio.run(send("http://127.0.0.1:9/secret", [Message("problem", "a", "a", 0)]))
    assert "secret" not in str(raised.value)


def test_of_very_many_messages_the_first_are_named() -> None:
    text = text_of([Message("problem", str(n), f"number {n}", 0) for n in range(50)])
    assert text.endswith("… and 30 more") and len(text.splitlines()) == 21


async def _sent(received: list[Any], status: int, messages: list[Message]) -> None:
    async def hook(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=status)

    application = web.Application()
    application.router.add_post("/", hook)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await send(f"http://127.0.0.1:{runner.addresses[0][1]}/", messages)
    finally:
        await runner.cleanup()
