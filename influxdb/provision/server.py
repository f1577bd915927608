"""Calls to an InfluxDB's API for provisioning, through influxdb-client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.onboarding_request import OnboardingRequest
from influxdb_client.rest import ApiException
from influxdb_client.service.setup_service import SetupService
from urllib3.exceptions import HTTPError

from shared.errors import StoreMisconfigured, StoreUnavailable

_TIMEOUT_MS: Final = 10_000
_RETRY_S: Final = 1.0
# The client has no types.
_untyped_client: Final[Any] = InfluxDBClient
_untyped_setup: Final[Any] = SetupService
_untyped_onboarding: Final[Any] = OnboardingRequest

Answer = TypeVar("Answer")


@contextlib.contextmanager
def connected(url: str, organization: str, **who: str) -> Iterator[Any]:
    """An influxdb-client with this `token`, or `username` and `password`.

    Raises:
        StoreUnavailable: the server does not answer.
        StoreMisconfigured: it refuses a request.
    """
    try:
        with _untyped_client(url, org=organization, timeout=_TIMEOUT_MS, **who) as client:
            yield client
    except ApiException as error:
        if not error.status:  # the client itself failed: TLS
            raise StoreUnavailable(
                f"INFLUX_URL: no TLS with {url} ({_message(error)}); see its log"
            ) from None
        raise StoreMisconfigured(f"INFLUX_URL: {url} refuses the request: {_message(error)}") from None
    except (HTTPError, OSError):
        raise StoreUnavailable(f"INFLUX_URL: no InfluxDB answers at {url}; see its log") from None


def patiently(ask: Callable[[], Answer], seconds: float) -> Answer:
    """Retry until the server answers. Raises StoreUnavailable after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)


def is_set_up(url: str, organization: str) -> bool:
    """Whether the server has its first user."""
    with connected(url, organization, token="") as client:
        return not _untyped_setup(client.api_client).get_setup().allowed


def set_up(url: str, organization: str, bucket: str, *, username: str, password: str, token: str) -> None:
    """Give a new server its administrator, organisation, first bucket and operator token."""
    request = _untyped_onboarding(
        username=username, password=password, org=organization, bucket=bucket, token=token
    )
    with connected(url, organization, token="") as client:
        _untyped_setup(client.api_client).post_setup(request)


def accepts(url: str, organization: str, **who: str) -> bool:
    """Whether the server accepts this `token`, or `username` and `password`, with whatever permissions."""
    with connected(url, organization, **who) as client:
        try:
            client.buckets_api().find_buckets(limit=1)
        except ApiException as error:
            if error.status == 401:
                return False
            if error.status != 403:
                raise
    return True


def _message(error: ApiException) -> str:
    return " ".join(str(getattr(error, "message", None) or error.reason or error.status).split())
