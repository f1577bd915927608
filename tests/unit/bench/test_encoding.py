"""The other sides compress as our store does, which is seen at a server."""

from __future__ import annotations

from typing import Any

import pytest

from bench import encoding
from consumers.stores.port import Store


class Posting:
    """A store that posts with a header of its own."""

    def __init__(self, url: str, header: dict[str, str]) -> None:
        self._url, self._header = url, header

    def write(self, _points: Any) -> None:
        import urllib3

        urllib3.PoolManager().request("POST", self._url, body=b"line", headers=self._header)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("header", "seen"), [({"Content-Encoding": "gzip"}, "gzip"), ({}, "identity")], ids=["gzip", "plain"]
)
def test_what_the_store_s_request_says_is_what_is_found(
    header: dict[str, str], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(settings: Any) -> Store:
        store: Any = Posting(settings.influx_url, header)
        return store  # type: ignore[no-any-return]

    monkeypatch.setattr(encoding, "open_store", opened)
    assert encoding.encoding_to_this_machine() == seen


def test_our_store_says_one_of_the_two() -> None:
    assert encoding.encoding_to_this_machine() in {"gzip", "identity"}
