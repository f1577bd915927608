"""Every compose file: what is open, who runs with which rights, on which images, with which secrets."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.image_lock import LOCK, read_lock
from tests.conftest import ROOT
from tests.unit.compose.stack import OVERLAYS, WHOLE, at_defaults, ours, services, text

DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def every() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in sorted(ROOT.glob("*compose*.yml")):
        for name, service in services(path.name).items():
            if "image" in service:
                yield path.name, name, service


EVERY = [pytest.param(file, name, service, id=f"{file}:{name}") for file, name, service in every()]


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: at_defaults(str(value)) for name, value in service.get("environment", {}).items()}


def test_no_compose_file_is_left_out() -> None:
    assert {path.name for path in ROOT.glob("*compose*.yml")} == {*WHOLE, *OVERLAYS}
    assert len(EVERY) > 60


@pytest.mark.parametrize(("file", "name", "service"), EVERY)
def test_ports_are_of_this_machine_alone(file: str, name: str, service: dict[str, Any]) -> None:
    assert service.get("network_mode") in (None, "none")
    assert not service.get("pid") and not service.get("ipc")
    for port in service.get("ports", ()):
        assert at_defaults(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize(("file", "name", "service"), EVERY)
def test_rights_are_dropped(file: str, name: str, service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged") and not service.get("devices")
    # Both start as root to give their volume to their user, and become that user.
    kept = set(service.get("cap_add", ()))
    assert kept == (
        {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"} if name in ("influxdb", "postgres") else set()
    )
    mounts = [str(volume).partition(":")[0] for volume in service.get("volumes", ())]
    assert not [mount for mount in mounts if at_defaults(mount).startswith(("/", "~", ".."))], mounts
    assert not any("docker.sock" in mount for mount in mounts)


def test_our_images_run_as_a_user_without_a_shell() -> None:
    stages = re.split(r"^FROM ", text("Dockerfile"), flags=re.MULTILINE)[1:]
    final = {stage.split(" AS ")[1].split()[0]: stage for stage in stages}
    for name in ("services", "snapshots"):
        assert re.findall(r"^USER (.+)$", final[name], re.MULTILINE) == ["1000:1000"]
        assert "--shell /usr/sbin/nologin" in final[name]


@pytest.mark.parametrize(("file", "name", "service"), EVERY)
def test_no_user_is_named_over_the_images_own(file: str, name: str, service: dict[str, Any]) -> None:
    assert "user" not in service
    if ours(service):
        assert service["read_only"] is True


@pytest.mark.parametrize(("file", "name", "service"), EVERY)
def test_images_of_others_are_named_by_digest(file: str, name: str, service: dict[str, Any]) -> None:
    image = at_defaults(service["image"])
    if ours(service):
        assert service["pull_policy"] == "never"
        build = service.get("build")
        assert build is None or DIGEST.fullmatch(at_defaults(build["args"]["PYTHON_IMAGE"]))
    else:
        locked = {f"{one.name}:{one.tag}": one.digest for one in read_lock(LOCK.read_text(encoding="utf-8"))}
        digest = locked[image.partition("@")[0]]
        assert image.partition("@")[2] == (digest or "")
        assert digest or image.startswith("confluentinc/"), (
            "no digest is known: docs/security.md, What is left"
        )


def test_images_without_a_digest_are_said_to_be_left() -> None:
    unknown = {one.name for one in read_lock(LOCK.read_text(encoding="utf-8")) if one.digest is None}
    page = text("docs/security.md")
    assert {name for name in unknown if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("file", WHOLE)
def test_influxdb_is_hardened_and_has_no_file_for_flux(file: str) -> None:
    settings = environment(services(file)["influxdb"])
    assert settings["INFLUXD_HARDENING_ENABLED"] == "true"
    assert settings["INFLUXD_PPROF_DISABLED"] == "true"
    assert settings["INFLUXD_SQLITE_PATH"] == ":memory:"
    assert not [name for name in settings if name.startswith("DOCKER_INFLUXDB_INIT")]


def test_every_other_start_of_influxd_is_hardened_too() -> None:
    """The embedded server, which is that of tests, faults and benchmarks as well, and the oracle's."""
    names = {
        str(path.relative_to(ROOT))
        for folder in ("bench", "cryptostream", "docs", "oracle", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "test_compose_files.py" and "--http-bind-address" in path.read_text(encoding="utf-8")
    }
    assert names == {"cryptostream/engines/influxdb.py", "oracle/influxdb.py"}
    for name in names:
        assert '"--hardening-enabled"' in text(name), name
        assert '"--pprof-disabled"' in text(name), name


@pytest.mark.parametrize("file", WHOLE)
def test_prefect_is_closed_and_apart(file: str) -> None:
    found = services(file)
    settings = environment(found["prefect-server"])
    assert settings["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    origins = settings["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"].split(",")
    assert origins == ["http://localhost:4200", "http://127.0.0.1:4200"]
    assert "PREFECT_SERVER_API_AUTH_STRING=$(cat" in text("docker/bin/prefect-server")
    for name in ("postgres", "prefect-server", "prefect-worker"):
        assert found[name]["networks"] == ["snapshot_network"]
    outside = [name for name in found if "snapshot_network" in found[name].get("networks", ())]
    assert sorted(outside) == ["postgres", "prefect-server", "prefect-worker"]


@pytest.mark.parametrize(("file", "name", "service"), EVERY)
def test_no_secret_is_in_what_docker_inspect_shows(file: str, name: str, service: dict[str, Any]) -> None:
    shown = {**environment(service), "command": " ".join(map(str, service.get("command", ())))}
    for key, value in shown.items():
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", value), key
        if re.search(r"PASSWORD|TOKEN|SECRET|AUTH_STRING|PRIVATE_KEY|WEBHOOK|CONNECTION_STRING|API_KEY", key):
            # A file's name, the user's own choice of one, or the word that Confluent's exporter wants.
            named = key.endswith("_FILE") and (not value or value.startswith("/run/"))
            assert named or value == "none", key
    # Nor can it be: no variable of the user's that holds one is handed on.
    variables = set(re.findall(r"\$\{(\w+)", str(service)))
    assert not [one for one in variables if re.search(r"WEBHOOK_URL$|PASSWORD$|TOKEN$", one)], variables


def test_grafana_reads_the_webhook_from_its_file() -> None:
    contact = text("grafana/provisioning/alerting/contact-point.yaml")
    assert "url: $__file{/run/cryptostream-secrets/alert-webhook-url}" in contact
    assert "ALERT_WEBHOOK_URL" not in "".join(text(file) for file in (*WHOLE, *OVERLAYS))


def test_a_webhook_left_in_the_environment_stops_the_start() -> None:
    """Nothing reads it there any more: alerts would go nowhere, and nobody would know."""

    def made(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "--no-print-directory", "no-webhook-in-env"],
            cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    found = made(ALERT_WEBHOOK_URL="https://hooks.example/secret")
    assert found.returncode == 2
    assert found.stdout.startswith("ALERT_WEBHOOK_URL: is a secret; put it into influxdb/secrets/")
    assert "hooks.example" not in found.stdout + found.stderr
    assert made(ALERT_WEBHOOK_URL="").returncode == 0
    up = subprocess.run(
        ["make", "-n", "up"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "ALERT_WEBHOOK_URL" in up.stdout
