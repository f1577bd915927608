"""The secrets of a deployment: made once, kept in volumes, never shown but on demand."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import SettingsError
from shared.settings import LONGEST_SECRET
from shared.small_files import read_small_file

ADMIN_USERNAME: Final = "operator/influx-admin-username"
ADMIN_PASSWORD: Final = "operator/influx-admin-password"
OPERATOR_TOKEN: Final = "operator/influx-operator-token"
GRAFANA_PASSWORD: Final = "grafana/grafana-admin-password"
ALERT_WEBHOOK: Final = "grafana/alert-webhook-url"
PREFECT_DB_PASSWORD: Final = "prefect/prefect-db-password"
PREFECT_LOGIN: Final = "prefect-api/prefect-login"
GIVEN_USERNAME: Final = ".env.influxdb2-admin-username"
GIVEN_PASSWORD: Final = ".env.influxdb2-admin-password"
GIVEN_WEBHOOK: Final = ".env.alert-webhook-url"

_DEFAULT_USERNAME: Final = "admin"
# Grafana takes no empty one; of a name that no host has nothing leaves unasked.
_NO_WEBHOOK: Final = "http://alerts.invalid/"
# InfluxDB refuses shorter ones; of longer ones bcrypt would see no more.
_PASSWORD_BYTES: Final = range(8, 73)
# Our own user alone, and what Grafana's or PostgreSQL's user reads too; each lies in a volume that no other
# container has.
_OWN, _SHARED = 0o400, 0o444


@dataclass(frozen=True, slots=True)
class Given:
    """What the user has put into `influxdb/secrets/`; None where there is no file."""

    username: str | None
    password: str | None
    webhook: str | None = None


def read_given(folder: Path) -> Given:
    """The user's own name and password, and where alerts go.

    Raises:
        SettingsError: a file cannot be read, is empty, the password is one that InfluxDB refuses, or the
            webhook is no URL that Grafana can be given.
    """
    username, password = _given(folder / GIVEN_USERNAME), _given(folder / GIVEN_PASSWORD)
    if password is not None and len(password.encode()) not in _PASSWORD_BYTES:
        raise SettingsError(
            f"influxdb/secrets/{GIVEN_PASSWORD}: {len(password.encode())} characters; InfluxDB takes "
            f"{_PASSWORD_BYTES.start} to {_PASSWORD_BYTES.stop - 1}, choose another password"
        )
    return Given(username, password, _given_webhook(folder))


def _given_webhook(folder: Path) -> str | None:
    url = _given(folder / GIVEN_WEBHOOK)
    # Grafana would put a variable in place of a dollar sign.
    if url is not None and (not url.startswith(("http://", "https://")) or re.search(r"[\s$]", url)):
        raise SettingsError(
            f"influxdb/secrets/{GIVEN_WEBHOOK}: is not a URL; write one line like https://host/path, "
            "with %24 for a dollar sign"
        )
    return url


def prepare(folder: Path, given: Given) -> list[str]:
    """See that every secret is there; what there is stays, unless the user has given another.

    Returns:
        One line for each that was made or changed; no secret stands in it.

    Raises:
        SettingsError: the volume cannot be written.
    """
    wanted = (
        (ADMIN_USERNAME, given.username, _DEFAULT_USERNAME, _OWN),
        (ADMIN_PASSWORD, given.password, secrets.token_urlsafe(24), _OWN),
        (OPERATOR_TOKEN, None, secrets.token_urlsafe(48), _OWN),
        (GRAFANA_PASSWORD, None, secrets.token_urlsafe(18), _SHARED),
        # It becomes part of a URL.
        (PREFECT_DB_PASSWORD, None, secrets.token_urlsafe(24), _SHARED),
        # Name and password of its pages and API, in the form in which Prefect takes them.
        (PREFECT_LOGIN, None, f"admin:{secrets.token_urlsafe(24)}", _OWN),
        # Always as it is given: without its file there is none.
        (ALERT_WEBHOOK, given.webhook or _NO_WEBHOOK, "", _SHARED),
    )
    said = []
    for name, own, fresh, mode in wanted:
        present = read_secret(folder, name)
        value = own or present or fresh
        if value == present:
            continue
        write_secret(folder, name, value, mode=mode)
        origin = "made" if not own or value == _NO_WEBHOOK else "taken from influxdb/secrets"
        said.append(f"{Path(name).name}: {origin}")
    return said


def read_secret(folder: Path, name: str) -> str | None:
    """A secret, or None if there is none yet. Raises SettingsError if it cannot be read."""
    return _text(folder / name)


def write_secret(folder: Path, name: str, value: str, *, mode: int) -> None:
    """Put a secret into its file, whole or not at all. Raises SettingsError if that is not possible."""
    path = folder / name
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(value)
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written ({error.strerror}); the volume belongs to another user, "
            "remove it by `make clean` or give it to uid 1000"
        ) from None


def _given(path: Path) -> str | None:
    value = _text(path)
    if value == "":
        raise SettingsError(f"influxdb/secrets/{path.name}: is empty; write one line, or remove the file")
    return value


def _text(path: Path) -> str | None:
    try:
        return read_small_file(path, LONGEST_SECRET).decode().rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(f"{path}: cannot be read ({why}); give uid {os.getuid()} the right to") from None
