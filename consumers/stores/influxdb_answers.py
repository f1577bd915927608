"""Errors of InfluxDB's answers, with the setting to blame (STACK.md §2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson
import urllib3
from influxdb_client.rest import ApiException

from shared.errors import StoreError, StoreMisconfigured, StoreUnavailable
from shared.redirects import is_redirect, target
from shared.settings import Settings
from shared.shown import shown

# Bound of the server's Retry-After.
_LONGEST_RETRY_AFTER_S: Final = 300.0
# Flux errors about fields with other types or names than ours.
_FOREIGN: Final = ("pivot: ", "schema collision", "type conflict", "cannot group")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer other than success.

    Attributes:
        message: InfluxDB's message; None if the answer is not InfluxDB's (a proxy, another server).
        sent_to: target of a redirect, which is not followed.
    """

    status: int
    message: str | None
    retry_after: float | None
    sent_to: str | None = None

    def described(self) -> str:
        if self.sent_to is not None:
            return f"{self.status}: a redirect to {self.sent_to}, which is not followed"
        return f"{self.status} {self.message or 'without a message of InfluxDB'}"


def answer_of(error: ApiException) -> Answer:
    """The answer inside the client's exception."""
    headers: Any = error.headers or {}
    status = int(error.status or 0)
    sent_to = target(headers.get("Location")) if is_redirect(status) else None
    return Answer(status, _message(error.body), _seconds(headers.get("Retry-After")), sent_to)


def _message(body: Any) -> str | None:
    try:
        parsed = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parsed, dict) or "code" not in parsed or not isinstance(parsed.get("message"), str):
        return None
    return shown(" ".join(parsed["message"].split()))


def _seconds(retry_after: str | None) -> float | None:
    try:
        seconds = float(retry_after) if retry_after is not None else None
    except ValueError:  # the header's other form, a date, is not sent by InfluxDB
        return None
    if seconds is None or not seconds >= 0:
        return None
    return min(seconds, _LONGEST_RETRY_AFTER_S)


def misconfigured(answer: Answer, settings: Settings, bucket_setting: str, may: str) -> StoreMisconfigured:
    """The error for 401, 403 and 404, naming the setting to blame.

    Args:
        bucket_setting: name of the setting that holds the bucket asked for.
        may: the missing permission, "write" or "read".
    """
    bucket = getattr(settings, bucket_setting.lower())
    url, message = settings.influx_url, answer.message
    if message is None:
        blame = f"INFLUX_URL: {url} answers {answer.status}, but not as InfluxDB does; name an InfluxDB 2"
    elif answer.status == 401:
        blame = f"INFLUX_TOKEN: refused by {url} ({message}); give one that may {may} bucket {bucket}"
    elif answer.status == 404 and "organization" in message:
        blame = (
            f"INFLUX_ORG: {settings.influx_org} is not an organisation that the token belongs to ({message})"
        )
    elif answer.status == 404 and "bucket" in message:
        blame = f"{bucket_setting}: the token sees no bucket {bucket} ({message}); create it or name another"
    else:
        blame = f"INFLUX_TOKEN: may not {may} bucket {bucket} ({message}); give one that may"
    return StoreMisconfigured(blame)


def is_foreign(answer: Answer) -> bool:
    """Whether a query failed because another program wrote to our measurements."""
    return answer.message is not None and any(words in answer.message for words in _FOREIGN)


def foreign(answer: Answer, settings: Settings, bucket_setting: str) -> StoreMisconfigured:
    """The error of a query that `is_foreign`."""
    bucket = getattr(settings, bucket_setting.lower())
    return StoreMisconfigured(
        f"{bucket_setting}: bucket {bucket} holds data of another program in our measurements "
        f"({answer.message}); delete it, or name a bucket of its own"
    )


def unavailable(answer: Answer, settings: Settings) -> StoreUnavailable:
    """The error for every answer that may be temporary, and for unknown ones."""
    return StoreUnavailable(
        f"INFLUX_URL: {settings.influx_url} answers {answer.described()}; nothing is lost, try again later",
        answer.retry_after,
    )


def unanswered(error: ApiException, settings: Settings) -> StoreError:
    """The error where the client itself gave up ("status 0"), for example on TLS."""
    return unreachable(urllib3.exceptions.HTTPError(error.reason), settings)


def unreachable(error: urllib3.exceptions.HTTPError | OSError, settings: Settings) -> StoreError:
    """The error where there was no complete answer: refused, timed out, interrupted, or an invalid URL."""
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return StoreMisconfigured(
            f"INFLUX_URL: {settings.influx_url} is not a URL that can be used ({error})"
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    if "SSL" in reason:
        return StoreUnavailable(
            f"INFLUX_URL: no TLS with {settings.influx_url} ({_tls_reason(reason)}); name the host that its "
            "certificate is for, trust its authority by SSL_CERT_FILE, or see whether it is http://"
        )
    return StoreUnavailable(
        f"INFLUX_URL: no answer from {settings.influx_url} ({reason}); is InfluxDB running there?"
    )


def _tls_reason(reason: str) -> str:
    """OpenSSL's own message, without the text that libraries add."""
    said = re.search(r"\[SSL[^\]]*\] ?([^()]+)", reason)
    return said[1].strip() if said else reason
