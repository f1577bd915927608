"""Requests to InfluxDB through influxdb-client's connections, with answers instead of its exceptions."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, Final

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from consumers.stores.compression import compression_to
from consumers.stores.influxdb_answers import Answer, answer_of, unanswered, unreachable
from shared.errors import StoreMisconfigured, StoreUnavailable
from shared.settings import Settings

# Milliseconds to connect, and between two reads of an answer.
_TIMEOUTS_MS: Final = (5_000, 30_000)
# The client has no types.
_untyped_client: Final[Any] = InfluxDBClient
_untyped_write_service: Final[Any] = WriteService
_untyped_dialect: Final[Any] = Dialect


class InfluxSession:
    """Connections to one InfluxDB; none is opened before the first request.

    Attributes:
        compression: of the bodies to be written.

    Raises:
        StoreMisconfigured: the token is missing or cannot be sent.
    """

    def __init__(self, settings: Settings) -> None:
        token = settings.influx_token.get_secret_value()
        if not token:
            raise StoreMisconfigured("INFLUX_TOKEN: not set; give a token, or its file as INFLUX_TOKEN_FILE")
        if not (token.isascii() and token.isprintable()):
            raise StoreMisconfigured("INFLUX_TOKEN: has characters that no token has; copy it again")
        self._settings = settings
        self.compression = compression_to(settings.influx_url)
        self._client = _untyped_client(
            settings.influx_url, token=token, org=settings.influx_org, timeout=_TIMEOUTS_MS
        )
        self._write_service = _untyped_write_service(self._client.api_client)
        self._dialect = _untyped_dialect(annotations=[], date_time_format="RFC3339")

    def write(self, bucket: str, body: bytes) -> Answer:
        """Write line protocol, in nanoseconds and compressed; the server's answer, 204 for success.

        Raises:
            StoreUnavailable, StoreMisconfigured: there was no complete answer.
        """
        try:
            response = self._write_service.post_write(
                org=self._settings.influx_org,
                bucket=bucket,
                body=body,
                precision="ns",
                content_encoding=self.compression.encoding,
                _preload_content=False,
            )
            response.read()  # to the end, so that the connection can be used again
        except ApiException as error:
            if not error.status:
                raise unanswered(error, self._settings) from None
            return answer_of(error)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self._settings) from None
        return Answer(int(response.status), None, None)

    def query(self, flux: str) -> Iterator[dict[str, str] | Answer]:
        """Rows of a query's answer, as column → text (empty: no value); an `Answer` if the query failed.

        Raises:
            StoreUnavailable, StoreMisconfigured: there was no complete answer.
        """
        try:
            header: list[str] = []
            for cells in self._client.query_api().query_csv(flux, dialect=self._dialect):
                # Each table of the answer, also a late error, begins with a row of names.
                if cells[1:3] == ["result", "table"] or "error" in cells[:2]:
                    header = cells
                elif "error" in header[:2]:
                    reason = " ".join(filter(None, cells))
                    raise StoreUnavailable(f"INFLUX_URL: the query broke off ({reason}); try again")
                else:
                    yield dict(zip(header, cells, strict=True))
        except ApiException as error:
            if not error.status:
                raise unanswered(error, self._settings) from None
            yield answer_of(error)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self._settings) from None
        except (csv.Error, ValueError) as error:
            raise StoreUnavailable(
                f"INFLUX_URL: {self._settings.influx_url} sends no CSV of InfluxDB ({error}); try again"
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
