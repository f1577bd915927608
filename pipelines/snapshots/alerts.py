"""Alerts: each problem is sent once, again while it lasts, and once more when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import aiohttp
import orjson

from pipelines.snapshots.landing.port import Conflict, Landing
from shared.errors import CryptoStreamError, SettingsError
from shared.proxies import proxy_for
from shared.redirects import is_redirect, target
from shared.shown import shown

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_STATE: Final = "alerts.json"
_MOST_NAMED: Final = 20


class AlertNotSent(CryptoStreamError):
    """The webhook did not accept it; the next run tries again."""


class Problem(NamedTuple):
    """A current problem; `key` stays the same while it lasts."""

    key: str
    text: str


class Open(NamedTuple):
    """A problem that was sent: since when, when last, and its text."""

    since_ms: int
    sent_ms: int
    text: str


class Message(NamedTuple):
    """One alert; `kind` is "problem", "still" or "recovered"."""

    kind: str
    key: str
    text: str
    since_ms: int


def decide(
    known: Mapping[str, Open],
    problems: Sequence[Problem],
    now_ms: int,
    repeat_ms: int,
    covered: Callable[[str], bool] = lambda _key: True,
) -> tuple[dict[str, Open], list[Message]]:
    """The open problems once the messages are sent, and the messages.

    Args:
        repeat_ms: a lasting problem is sent again after this.
        covered: whether the run looked at a problem's key; open problems of other keys stay as they are.
    """
    state: dict[str, Open] = {}
    messages: list[Message] = []
    for problem in problems:
        before = known.get(problem.key)
        if before is None:
            state[problem.key] = Open(now_ms, now_ms, problem.text)
            messages.append(Message("problem", problem.key, problem.text, now_ms))
        elif now_ms - before.sent_ms >= repeat_ms:
            state[problem.key] = Open(before.since_ms, now_ms, problem.text)
            messages.append(Message("still", problem.key, problem.text, before.since_ms))
        else:
            state[problem.key] = before
    for key, before in known.items():
        if key in state:
            continue
        if not covered(key):
            state[key] = before
        else:
            messages.append(Message("recovered", key, before.text, before.since_ms))
    return state, messages


def load_state(landing: Landing) -> dict[str, Open]:
    """The open problems; none if the file is unreadable, so they are sent again."""
    blob = landing.read(_STATE)
    try:
        entries = orjson.loads(blob.content) if blob else {}
        return {str(key): Open(int(value[0]), int(value[1]), str(value[2])) for key, value in entries.items()}
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError, IndexError, KeyError):
        return {}


def save_state(landing: Landing, state: Mapping[str, Open]) -> None:
    """Keep the open problems. Of overlapping runs the first wins: an alert may repeat, none is lost."""
    before = landing.read(_STATE)
    try:
        landing.write(
            _STATE,
            orjson.dumps({key: list(problem) for key, problem in state.items()}),
            before.version if before else None,
        )
    except Conflict:
        return


async def send(url: str, messages: Sequence[Message]) -> None:
    """Post messages to a webhook in one request: `{"text": …, "alerts": […]}`, as chat systems expect it.

    Raises:
        AlertNotSent: no answer, or an error status.
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
        # The address may hold a secret, so it is not shown.
        raise AlertNotSent(f"SNAPSHOT_WEBHOOK_URL: no answer ({type(error).__name__})") from None


def text_of(messages: Sequence[Message]) -> str:
    """The messages as lines of text."""
    lines = [f"{message.kind}: {shown(message.text)}" for message in messages[:_MOST_NAMED]]
    if len(messages) > _MOST_NAMED:
        lines.append(f"… and {len(messages) - _MOST_NAMED} more")
    return "\n".join(lines)
