"""Alerts: each problem is told once, again after a while, and once more when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import aiohttp
import orjson

from pipelines.snapshots.landing.port import Conflict, LandingPlace
from shared.errors import CryptoStreamError, SettingsError
from shared.proxies import proxy_for
from shared.redirects import is_redirect, target
from shared.shown import shown

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_STATE: Final = "alerts.json"
_MOST_NAMED: Final = 20


class AlertNotSent(CryptoStreamError):
    """The webhook did not take it; the next run tries again."""


class Problem(NamedTuple):
    """Something that is wrong now; `key` stays the same while it lasts."""

    key: str
    text: str


class Open(NamedTuple):
    """A problem that has been told: since when, when last, and in what words."""

    since_ms: int
    told_ms: int
    text: str


class Message(NamedTuple):
    """What is sent: `kind` is "problem", "still" or "recovered"."""

    kind: str
    key: str
    text: str
    since_ms: int


def decide(
    known: Mapping[str, Open],
    problems: Sequence[Problem],
    now_ms: int,
    repeat_ms: int,
    judged: Callable[[str], bool] = lambda _key: True,
) -> tuple[dict[str, Open], list[Message]]:
    """What is to be told now, and what will be known once it has been.

    Args:
        repeat_ms: after which a problem that lasts is told again.
        judged: by key: that a problem is not among them means that it is over. Others stay as they are known.
    """
    state: dict[str, Open] = {}
    messages: list[Message] = []
    for problem in problems:
        before = known.get(problem.key)
        if before is None:
            state[problem.key] = Open(now_ms, now_ms, problem.text)
            messages.append(Message("problem", problem.key, problem.text, now_ms))
        elif now_ms - before.told_ms >= repeat_ms:
            state[problem.key] = Open(before.since_ms, now_ms, problem.text)
            messages.append(Message("still", problem.key, problem.text, before.since_ms))
        else:
            state[problem.key] = before
    for key, before in known.items():
        if key in state:
            continue
        if not judged(key):
            state[key] = before
        else:
            messages.append(Message("recovered", key, before.text, before.since_ms))
    return state, messages


def load_state(place: LandingPlace) -> dict[str, Open]:
    """What has been told so far; nothing if the file cannot be read as such: then it is told again."""
    blob = place.read(_STATE)
    try:
        entries = orjson.loads(blob.content) if blob else {}
        return {str(key): Open(int(value[0]), int(value[1]), str(value[2])) for key, value in entries.items()}
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError, IndexError, KeyError):
        return {}


def save_state(place: LandingPlace, state: Mapping[str, Open]) -> None:
    """Keep what has been told. Of two runs that overlap the first to write wins: an alert more, none less."""
    before = place.read(_STATE)
    try:
        place.write(
            _STATE,
            orjson.dumps({key: list(told) for key, told in state.items()}),
            before.version if before else None,
        )
    except Conflict:
        return


async def send(url: str, messages: Sequence[Message]) -> None:
    """Post messages to a webhook, one request: `{"text": …, "alerts": […]}`, as chat systems take it.

    Raises:
        AlertNotSent: no answer, or a refusal.
    """
    try:
        proxy = proxy_for(url)
    except SettingsError as error:
        raise AlertNotSent(f"SNAPSHOT_WEBHOOK_URL: {error}") from None
    body = {"text": text_of(messages), "alerts": [message._asdict() for message in messages]}
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(
                url,
                data=orjson.dumps(body),
                headers={"Content-Type": "application/json"},
                proxy=proxy,
                allow_redirects=False,
            ) as answer,
        ):
            if is_redirect(answer.status):
                sent_to = target(answer.headers.get("Location"), host_only=True)
                raise AlertNotSent(
                    f"SNAPSHOT_WEBHOOK_URL: the webhook sends on to {sent_to} ({answer.status}), which is not"
                    " followed; give its own address"
                )
            if answer.status >= 300:
                raise AlertNotSent(
                    f"SNAPSHOT_WEBHOOK_URL: the webhook answered {answer.status}; check its address"
                )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # The address may hold a secret: it is not shown.
        raise AlertNotSent(f"SNAPSHOT_WEBHOOK_URL: no answer ({type(error).__name__})") from None


def text_of(messages: Sequence[Message]) -> str:
    """The lines that people read."""
    lines = [f"{message.kind}: {shown(message.text)}" for message in messages[:_MOST_NAMED]]
    if len(messages) > _MOST_NAMED:
        lines.append(f"… and {len(messages) - _MOST_NAMED} more")
    return "\n".join(lines)
