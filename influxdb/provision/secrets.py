"""The secrets of a deployment: made once, kept in volumes, shown only on demand."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import SettingsError
from shared.files import read_small_file
from shared.settings import LONGEST_SECRET

ADMIN_USERNAME: Final = "operator/influx-admin-username"
ADMIN_PASSWORD: Final = "operator/influx-admin-password"
OPERATOR_TOKEN: Final = "operator/influx-operator-token"
GRAFANA_PASSWORD: Final = "grafana/grafana-admin-password"
ALERT_WEBHOOK: Final = "grafana/alert-webhook-url"
API_TOKEN: Final = "api/api-token"
PREFECT_DB_PASSWORD: Final = "prefect/prefect-db-password"
PREFECT_LOGIN: Final = "prefect-api/prefect-login"
GIVEN_USERNAME: Final = ".env.influxdb2-admin-username"
GIVEN_PASSWORD: Final = ".env.influxdb2-admin-password"
GIVEN_WEBHOOK: Final = ".env.alert-webhook-url"

_DEFAULT_USERNAME: Final = "admin"
# Grafana requires a URL; this host never resolves, so nothing is sent.
_NO_WEBHOOK: Final = "http://alerts.invalid/"
# InfluxDB refuses shorter ones; bcrypt ignores the rest of longer ones.
_PASSWORD_BYTES: Final = range(8, 73)
# For our own user, or readable for Grafana's and PostgreSQL's users too; each in a volume that no other
# container mounts.
_OWN, _SHARED = 0o400, 0o444


@dataclass(frozen=True, slots=True)
class Given:
    """The user's files in `influxdb/secrets/`; None without a file."""

    username: str | None
    password: str | None
    webhook: str | None = None


def read_given(folder: Path) -> Given:
    """The user's name, password and webhook.

    Raises:
        SettingsError: a file is unreadable or empty, or its password or webhook is invalid.
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
    # Grafana would expand a variable at a dollar sign.
    if url is not None and (not url.startswith(("http://", "https://")) or re.search(r"[\s$]", url)):
        raise SettingsError(
            f"influxdb/secrets/{GIVEN_WEBHOOK}: is not a URL; write one line like https://host/path, "
            "with %24 for a dollar sign"
        )
    return url


def prepare(folder: Path, given: Given) -> list[str]:
    """Make missing secrets; keep others, unless the user has given another.

    Returns:
        One line for each change, without the secret.

    Raises:
        SettingsError: the volume cannot be written.
    """
    wanted = (
        (ADMIN_USERNAME, given.username, _DEFAULT_USERNAME, _OWN),
        (ADMIN_PASSWORD, given.password, secrets.token_urlsafe(24), _OWN),
        (OPERATOR_TOKEN, None, secrets.token_urlsafe(48), _OWN),
        (GRAFANA_PASSWORD, None, secrets.token_urlsafe(18), _SHARED),
        # Asked for where the API's port is published beyond this machine.
        (API_TOKEN, None, secrets.token_urlsafe(24), _OWN),
        # Part of a URL.
        (PREFECT_DB_PASSWORD, None, secrets.token_urlsafe(24), _SHARED),
        # Name and password of pages and API, in Prefect's form.
        (PREFECT_LOGIN, None, f"admin:{secrets.token_urlsafe(24)}", _OWN),
        # Always as given: without the file there is none.
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
    """A secret, or None without one. Raises SettingsError if it cannot be read."""
    return _text(folder / name)


def write_secret(folder: Path, name: str, value: str, *, mode: int) -> None:
    """Write a secret atomically. Raises SettingsError if the file cannot be written."""
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
