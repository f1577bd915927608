"""The pitfalls that others fell into (STACK.md §5 and §7), held against our files."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.unit.compose.stack import OVERLAYS, WHOLE, at_defaults, model, ours, services, text

FILES = (*WHOLE, *OVERLAYS)
# Known to docker-compose 1.29.2 and to docker compose v2 to v5 alike.
TOP_LEVEL = {"services", "networks", "volumes"}
SERVICE_KEYS = {
    "image", "build", "pull_policy", "command", "entrypoint", "environment", "depends_on", "healthcheck",
    "volumes", "networks", "network_mode", "ports", "profiles", "restart", "init", "logging", "read_only",
    "tmpfs", "cap_add", "cap_drop", "security_opt", "mem_limit", "cpus", "stop_grace_period", "hostname",
}  # fmt: skip
BUILD_KEYS = {"context", "network", "target", "args"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in scalars(item)]
    if isinstance(value, list):
        return [found for item in value for found in scalars(item)]
    return [value]


@pytest.mark.parametrize("file", FILES)
def test_only_what_both_composers_know_is_used(file: str) -> None:
    assert {key for key in model(file) if not key.startswith("x-")} <= TOP_LEVEL
    for name, service in services(file).items():
        assert service.keys() <= SERVICE_KEYS, name
        if "build" in service:
            assert service["build"].keys() <= BUILD_KEYS
        for wanted in service.get("depends_on", {}).values():
            assert wanted.keys() == {"condition"}
            assert wanted["condition"] in CONDITIONS
        for port in service.get("ports", ()):
            assert isinstance(port, str)


@pytest.mark.parametrize("file", FILES)
def test_variables_are_of_the_forms_that_both_read_alike(file: str) -> None:
    for found in re.findall(r"\$\{[^}]*\}", text(file)):
        assert re.fullmatch(r"\$\{\w+:-[^$}]*\}", found), found
    # Nested defaults are taken literally by 1.29, and it knows no ${V:+x}.
    assert "${" not in at_defaults(text(file))


@pytest.mark.parametrize("file", FILES)
def test_environments_are_texts(file: str) -> None:
    """A bare yes, 0123 or 22:22 is something else in YAML 1.1."""
    for name, service in services(file).items():
        for key, value in service.get("environment", {}).items():
            assert isinstance(value, str), (name, key)


@pytest.mark.parametrize("file", WHOLE)
def test_images_are_pinned(file: str) -> None:
    for name, service in services(file).items():
        image = at_defaults(service["image"])
        if not ours(service):
            # influxdb:latest has become InfluxDB 3. All of one major version of PostgreSQL share their data.
            assert re.fullmatch(r"([\w./-]+:\d+\.\d+\.\d+|postgres:\d+)(@sha256:[0-9a-f]{64})?", image), name


def test_control_center_and_its_servers_are_of_one_version() -> None:
    tags = {
        at_defaults(service["image"]).split(":")[1].partition("@")[0]
        for service in services("docker-compose.yml").values()
        if "cp-enterprise-" in service["image"]
    }
    assert len(tags) == 1


def test_control_centers_files_can_be_written_by_it_and_are_all_there() -> None:
    found = services("docker-compose.yml")
    for name in ("control-center", "prometheus", "alertmanager"):
        assert "c3-config:/mnt/config" in found[name]["volumes"]
        assert {path for path in found[name]["volumes"] if path.endswith(":ro")} == set()
    assert {path.name for path in (ROOT / "kafka" / "c3").iterdir()} == {
        "prometheus-generated.yml",
        "recording_rules-generated.yml",
        "trigger_rules-generated.yml",
        "alertmanager-generated.yml",
        "web-config-prom.yml",
        "web-config-am.yml",
    }


@pytest.mark.parametrize("file", WHOLE)
def test_kafkas_data_outlive_their_container(file: str) -> None:
    for name, service in services(file).items():
        if name.startswith("broker"):
            log_dirs = service["environment"]["KAFKA_LOG_DIRS"]
            assert not log_dirs.startswith("/tmp")
            assert [volume.split(":")[1] for volume in service["volumes"]] == [log_dirs]


def test_confluents_server_stays_alone() -> None:
    """A second one would begin a trial without a way back."""
    for file in WHOLE:
        brokers = [found["image"] for name, found in services(file).items() if name.startswith("broker")]
        assert len(brokers) == 1 or not any("cp-server" in image for image in brokers)


@pytest.mark.parametrize("file", WHOLE)
def test_a_brokers_check_has_a_heap_of_its_own_and_asks_inside(file: str) -> None:
    for name, service in services(file).items():
        if name.startswith("broker"):
            (_, check) = service["healthcheck"]["test"]
            assert "KAFKA_HEAP_OPTS=-Xmx128m" in check
            assert "KAFKA_OPTS= " in check
            assert ":29092" in check
            assert int(service["healthcheck"]["interval"].removesuffix("s")) >= 15


@pytest.mark.parametrize("file", WHOLE)
def test_checks_use_what_the_images_have(file: str) -> None:
    for name, service in services(file).items():
        check = " ".join(service.get("healthcheck", {}).get("test", ()))
        if "curl" in check:
            assert service["image"].startswith("influxdb:"), name  # Confluent's 8.3 images have none
        if "wget" in check:
            assert service["image"].startswith("grafana/"), name
        assert not re.search(r"\b(cub|dub|nc)\b", check)


def test_the_broker_grants_what_its_replicas_can_keep() -> None:
    for file in WHOLE:
        brokers = {name: found for name, found in services(file).items() if name.startswith("broker")}
        for service in brokers.values():
            factors = {
                key: int(value)
                for key, value in service["environment"].items()
                if key.endswith(("REPLICATION_FACTOR", "_REPLICAS")) and "INSYNC" not in key
            }
            assert len(factors) >= 3
            assert set(factors.values()) == {len(brokers)}
            assert service["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    three = services("compose.three-brokers.yml")["broker-1"]["environment"]
    assert three["KAFKA_MIN_INSYNC_REPLICAS"] == "2"


def test_grafana_shows_live_data() -> None:
    grafana = services("docker-compose.yml")["grafana"]["environment"]
    assert grafana["GF_DASHBOARDS_MIN_REFRESH_INTERVAL"] == "1s"  # 5 s by default


@pytest.mark.parametrize("file", WHOLE)
def test_grafana_starts_after_its_token_is_there(file: str) -> None:
    """`$__file{}` of a missing file ends Grafana's start."""
    assert "influx-init" in services(file)["grafana"]["depends_on"]


@pytest.mark.parametrize("file", FILES)
def test_no_secret_of_compose_is_used(file: str) -> None:
    """A file that is missing would become a folder; modes of the host would apply."""
    assert "secrets" not in model(file)
    assert not any("secrets" in service for service in services(file).values())


def test_the_dockerfile_is_one_for_the_old_builder() -> None:
    found = re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.MULTILINE)
    assert not re.search(r"RUN --mount|<<[A-Z'\"]|--chmod|--link", found)
    assert "ARG PYTHON_IMAGE" in found
    assert found.count("pip install") == found.count("--require-hashes") == 2
    stages = {stage.split(" AS ")[1].split("\n")[0]: stage for stage in found.split("\nFROM ")[1:]}
    assert list(stages) == ["build", "page", "services", "build-snapshots", "snapshots"]
    for final in (stages["services"], stages["snapshots"]):
        assert not re.search(r"apt-get|\bgcc\b|\bpip\b", final)
        assert "USER 1000:1000" in final
        # Not a shell, which would keep SIGTERM to itself.
        assert re.search(r'^CMD \["', final, re.MULTILINE)


def test_scripts_of_the_image_hand_signals_on() -> None:
    for path in (ROOT / "docker" / "bin").iterdir():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert path.stat().st_mode & 0o111 == 0o111, path.name
        if path.name != "ready":
            assert lines[-1].startswith("exec "), path.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COMPOSE_PROJECT_NAME=mine # my project\n", "mine"),
        ("COMPOSE_PROJECT_NAME = mine\r\n", "mine"),
        ('COMPOSE_PROJECT_NAME="mine" # my project\n', "mine"),
        ("export COMPOSE_PROJECT_NAME='mine'\n", "mine"),
        ("#COMPOSE_PROJECT_NAME=mine\n", "crypto_stream-2"),
        ("COMPOSE_PROJECT_NAME=\n", "crypto_stream-2"),
        ("", "crypto_stream-2"),
    ],
)
def test_make_clean_knows_the_project_as_composers_do(tmp_path: Path, text: str, expected: str) -> None:
    """Its volumes are found by that name."""
    folder = tmp_path / "_Crypto_Stream-2!"
    folder.mkdir()
    (folder / ".env").write_text(text, encoding="utf-8", newline="")
    environment = {name: value for name, value in os.environ.items() if name != "COMPOSE_PROJECT_NAME"}
    script = str(ROOT / "docker" / "project-name")
    for given, name in (({}, expected), ({"COMPOSE_PROJECT_NAME": "other"}, "other")):
        done = subprocess.run(
            [script], cwd=folder, env=environment | given, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{name}\n"
