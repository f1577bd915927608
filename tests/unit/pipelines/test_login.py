from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.snapshots.login import closed_server, take_login
from shared.errors import SettingsError


def test_the_login_is_read_from_the_file_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "login"
    path.write_text("admin:secret\n")
    environment = {"PREFECT_API_AUTH_STRING_FILE": str(path)}
    take_login(environment)
    assert environment["PREFECT_API_AUTH_STRING"] == "admin:secret"
    given = {"PREFECT_API_AUTH_STRING": "admin:own"}
    take_login(given)
    assert given == {"PREFECT_API_AUTH_STRING": "admin:own"}


def test_a_login_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PREFECT_API_AUTH_STRING_FILE: .* cannot be read"):
        take_login({"PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "missing")})
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"not UTF-8"):
        take_login({"PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "bytes")})
    (tmp_path / "nothing").write_text("\n")
    with pytest.raises(SettingsError, match=r"is empty; put the secret into it"):
        take_login({"PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "nothing")})


def test_a_closed_server_has_a_login_tokens_and_its_own_pages_alone() -> None:
    assert closed_server("admin:secret", ["http://localhost:1", "http://127.0.0.1:1"]) == {
        "PREFECT_SERVER_API_AUTH_STRING": "admin:secret",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "http://localhost:1,http://127.0.0.1:1",
    }
