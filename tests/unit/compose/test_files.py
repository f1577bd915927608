"""What our compose files promise of every service."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.make_compose import MADE, made
from shared.intervals import INTERVAL_MS
from shared.settings import Settings, split_names
from tests.conftest import ROOT
from tests.unit.compose.stack import (
    OVERLAYS,
    WHOLE,
    at_defaults,
    mebibytes,
    model,
    once,
    ours,
    services,
    text,
)

INITS = {"secrets-init", "influx-init", "topic-init", "c3-init"}
SIMULATORS = ("simulator", "simulator-kraken", "simulator-coinbase")
CORE_LIMIT_MIB = 6_000_000_000 / 2**20


def every(*, overlays: bool = False) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file in (*WHOLE, *OVERLAYS) if overlays else WHOLE:
        for name, service in services(file).items():
            if "image" in service:
                yield file, name, service


SERVICES = [pytest.param(service, id=f"{file}:{name}") for file, name, service in every(overlays=True)]
LASTING = [
    pytest.param(service, id=f"{file}:{name}")
    for file, name, service in every(overlays=True)
    if not once(service)
]
OURS = [
    pytest.param(service, id=f"{file}:{name}")
    for file, name, service in every(overlays=True)
    if ours(service)
]


@pytest.mark.parametrize("name", MADE)
def test_a_made_file_is_that_of_its_parts(name: str) -> None:
    assert text(name) == made(MADE[name]), "run: make compose"


def test_the_other_whole_files_differ_in_the_broker_alone() -> None:
    def others(file: str) -> dict[str, Any]:
        return {
            name: service
            for name, service in services(file).items()
            if not name.startswith("broker")
            and name != "topic-init"
            and "c3" not in service.get("profiles", ())
        }

    base = others("docker-compose.yml")
    assert others("compose.light.yml") == base
    three = others("compose.three-brokers.yml")
    assert three.keys() == base.keys()
    assert three["consumer-1m"]["command"] == base["consumer-1m"]["command"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_bounded_in_memory_cpu_and_logs(service: dict[str, Any]) -> None:
    assert mebibytes(service["mem_limit"]) >= 96
    # More than one would be refused by an engine on one core.
    assert 0 < service["cpus"] <= 1
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("service", LASTING)
def test_every_lasting_service_comes_back_and_is_given_time_to_stop(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) >= 10


@pytest.mark.parametrize("service", LASTING)
def test_every_lasting_service_is_checked(service: dict[str, Any]) -> None:
    if "cp-enterprise-" in service["image"] and "control-center" not in service["image"]:
        return  # no shell in those images: looked at from outside
    check = service["healthcheck"]
    assert check.keys() == {"test", "interval", "timeout", "retries", "start_period"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_more_rights_than_it_needs(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("network_mode") in (None, "none")
    assert set(service.get("cap_add", ())) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}


@pytest.mark.parametrize("service", OURS)
def test_our_services_run_on_a_root_that_cannot_be_written(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["init"] is True
    assert not service.get("cap_add")
    assert service.get("user") is None  # the image's own


@pytest.mark.parametrize("file", WHOLE)
def test_limits_of_the_core_are_within_six_gigabytes(file: str) -> None:
    lasting = [
        mebibytes(service["mem_limit"])
        for service in services(file).values()
        if not once(service) and "profiles" not in service
    ]
    bound = CORE_LIMIT_MIB if file != "compose.three-brokers.yml" else CORE_LIMIT_MIB + 2 * 1024
    assert sum(lasting) <= bound


@pytest.mark.parametrize("file", WHOLE)
def test_the_order_of_the_start_is_by_health(file: str) -> None:
    for name, service in services(file).items():
        for other, wanted in service.get("depends_on", {}).items():
            if other in INITS:
                assert wanted == {"condition": "service_completed_successfully"}, name
            elif "healthcheck" in services(file)[other]:
                assert wanted == {"condition": "service_healthy"}, name


@pytest.mark.parametrize("file", WHOLE)
def test_no_service_of_the_core_needs_one_of_a_profile(file: str) -> None:
    for name, service in services(file).items():
        for other in service.get("depends_on", {}):
            needed = services(file)[other].get("profiles", [])
            assert set(needed) <= set(service.get("profiles", [])), (name, other)


@pytest.mark.parametrize(("file", "name", "service"), list(every(overlays=True)))
def test_ports_are_open_to_this_machine_alone(file: str, name: str, service: dict[str, Any]) -> None:
    for port in service.get("ports", ()):
        assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:")
        assert at_defaults(port).startswith("127.0.0.1:")


@pytest.mark.parametrize("file", WHOLE)
def test_each_container_has_the_secrets_it_needs_and_no_others(file: str) -> None:
    holders: dict[str, set[str]] = {}
    for name, service in services(file).items():
        for volume in service.get("volumes", ()):
            source, _, target = volume.partition(":")
            if source.startswith("secrets-"):
                mode = "" if target.endswith(":ro") else " (writes)"
                holders.setdefault(source, set()).add(name + mode)
    consumers = {name for name in services(file) if name.startswith("consumer-")}
    inits = {"secrets-init (writes)", "influx-init (writes)"}
    assert holders == {
        "secrets-operator": inits | {"backup"},
        "secrets-writer": inits | consumers,
        "secrets-grafana": inits | {"grafana", "cli"},
        "secrets-api": inits | {"api"},
        "secrets-prefect": {"secrets-init (writes)", "postgres", "prefect-server"},
        "secrets-prefect-api": {"secrets-init (writes)", "prefect-server", "prefect-worker"},
    }


@pytest.mark.parametrize(("file", "name", "service"), list(every(overlays=True)))
def test_no_secret_stands_in_an_environment(file: str, name: str, service: dict[str, Any]) -> None:
    for key, value in service.get("environment", {}).items():
        if any(word in key for word in ("PASSWORD", "TOKEN", "SECRET", "API_KEY")):
            # Of a file: one of ours, or the user's own, whose name alone `.env` may say.
            path = at_defaults(str(value))
            is_path = key.endswith("_FILE") and (not path or path.startswith("/run/cryptostream-secrets/"))
            assert is_path or value == "none", (name, key)


@pytest.mark.parametrize("file", WHOLE)
def test_every_symbol_has_a_producer_and_every_interval_a_consumer(file: str) -> None:
    defaults = Settings.model_fields
    producers = {
        service["command"][-1]: service["environment"]
        for name, service in services(file).items()
        if name.startswith("producer-") and "profiles" not in service
    }
    assert tuple(producers) == defaults["symbols"].default
    # Each reports its figures under a name of its own.
    assert [environment["INSTANCE"] for environment in producers.values()] == list(producers)
    consumed = [
        service["command"][3:] for name, service in services(file).items() if name.startswith("consumer-")
    ]
    intervals = [command[3] for command in consumed if "--intervals" in command]
    assert tuple(intervals) == defaults["intervals"].default
    assert set(intervals) <= INTERVAL_MS.keys()
    assert [command[1] for command in consumed[-4:]] == ["trades", "book", "quotes", "ledger"]


@pytest.mark.parametrize("file", WHOLE)
def test_replicas_of_a_consumer_share_its_partitions(file: str) -> None:
    """A fixed slot would be one member's alone: the second replica would be fenced."""
    for name, service in services(file).items():
        if name.startswith("consumer-"):
            assert "INSTANCE" not in service["environment"]
            assert "container_name" not in service
            assert "ports" not in service


@pytest.mark.parametrize("file", WHOLE)
def test_every_service_counts_its_starts_on_a_volume(file: str) -> None:
    for name, service in services(file).items():
        if name.startswith(("producer-", "consumer-")):
            assert f"slots:{service['environment']['INSTANCE_SLOTS']}" in service["volumes"], name


@pytest.mark.parametrize("file", WHOLE)
def test_settings_of_the_files_are_settings_of_ours_at_their_defaults(file: str) -> None:
    fields = Settings.model_fields
    given = {
        key: at_defaults(str(value))
        for name, service in services(file).items()
        if name.startswith(("producer-", "consumer-"))
        for key, value in service["environment"].items()
    }
    own = {
        "INSTANCE",
        "INSTANCE_SLOTS",
        "INFLUX_TOKEN_FILE",
        "KAFKA_BOOTSTRAP_SERVERS",
        "METRICS_PORT",
        "METRICS_ADDRESS",
        "STORE",
        "INFLUX_URL",
    }
    for key in given.keys() - own - {"LOG_FORMAT", "BINANCE_HISTORY_URL"}:
        default = fields[key.lower()].default
        shown = split_names(given[key]) if isinstance(default, tuple) else given[key]
        assert shown == (default if isinstance(default, tuple) else str(default)), key


def needs(file: str, name: str) -> set[str]:
    """What must be there before a service of a file, over any number of steps."""
    found = {**services(file), **(services("compose.simulator.yml") if name in SIMULATORS else {})}
    direct = set(found[name].get("depends_on", {}))
    return direct.union(*(needs(file, other) for other in direct))


@pytest.mark.parametrize("file", WHOLE)
def test_our_image_is_built_once_before_anything_needs_it(file: str) -> None:
    """docker-compose 1.29 would look for it in a registry; each further build copies the context again."""
    for name, service in (
        *services(file).items(),
        *((name, services("compose.simulator.yml")[name]) for name in SIMULATORS),
    ):
        if ours(service):
            assert service["pull_policy"] == "never"
            if name in ("secrets-init", "prefect-server"):
                target = "services" if name == "secrets-init" else "snapshots"
                assert service["build"]["target"] == target
            elif "tools" not in service.get("profiles", ()):
                assert "build" not in service
                assert "secrets-init" in needs(file, name), name


def test_the_network_belongs_to_the_project() -> None:
    for file in WHOLE:
        assert model(file)["networks"] == {"crypto_network": {}, "snapshot_network": {}}
    assert "external" not in text("compose.simulator.yml")


@pytest.mark.parametrize("file", WHOLE)
def test_snapshots_share_no_network_with_the_stream(file: str) -> None:
    """A run of theirs is what somebody has told the server to run."""
    for name, service in services(file).items():
        of_snapshots = "snapshots" in service.get("profiles", ())
        assert service.get("networks", []) in (
            [["snapshot_network"]] if of_snapshots else [["crypto_network"], []]
        ), name


def test_simulated_data_never_go_into_the_volumes_of_real_ones() -> None:
    renamed = model("compose.simulator.yml")["volumes"]
    for file in WHOLE:
        of_data = {name for name in model(file)["volumes"] if name.startswith(_OF_MARKET)}
        assert of_data <= renamed.keys()
    assert all("simulated" in volume["name"] for volume in renamed.values())


_OF_MARKET = ("kafka-", "influx-data", "prefect-db", "snapshots")


def test_the_simulated_exchange_is_what_producers_and_commands_ask() -> None:
    overlay = dict(services("compose.simulator.yml"))
    assert overlay.pop("prefect-worker")["environment"]["BINANCE_REST_URL"] == "http://simulator:9000"
    for file in WHOLE:
        producers = {name for name in services(file) if name.startswith("producer-")}
        # `repair` and `doctor` ask the exchange as well; the page says that it is none.
        assert producers | {"cli", "api"} == overlay.keys() - set(SIMULATORS)
    for name in overlay.keys() - set(SIMULATORS):
        assert {key: value.split("://")[1] for key, value in overlay[name]["environment"].items()} == {
            **dict.fromkeys(("BINANCE_REST_URL", "BINANCE_WS_URL", "BINANCE_HISTORY_URL"), "simulator:9000"),
            **dict.fromkeys(("KRAKEN_REST_URL", "KRAKEN_WS_URL"), "simulator-kraken:9000"),
            **dict.fromkeys(
                ("COINBASE_REST_URL", "COINBASE_WS_URL", "COINBASE_EXCHANGE_URL"), "simulator-coinbase:9000"
            ),
        }


def test_the_example_of_settings_names_what_the_files_read() -> None:
    example = set(re.findall(r"^#?([A-Z0-9_]+)=", text(".env.example"), re.MULTILINE))
    read = {name for file in (*WHOLE, *OVERLAYS) for name in re.findall(r"\$\{(\w+)", text(file))}
    unnamed = read - example
    # What is set on the command line or in tests alone.
    assert all(name.endswith("_URL") or name in _NOT_FOR_USERS for name in unnamed), unnamed
    assert example - read == {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
    assert "$" not in re.sub(r"^# No \$ in values.*$", "", text(".env.example"), flags=re.MULTILINE)


def test_the_example_of_settings_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", text(".env.example"), re.MULTILINE))
    for file in (*WHOLE, *OVERLAYS):
        for name, default in re.findall(r"\$\{(\w+):-([^}]+)\}", text(file)):
            # Of several images, with a digest each.
            if name in shown.keys() - _SAMPLES - {"C3_TAG"}:
                assert shown[name] == default, f"{file}: {name}"


# Shown by a value of the kind that one may want.
_SAMPLES = {"BACKUPS", "SNAPSHOT_SECRETS"}


@pytest.mark.parametrize("file", WHOLE)
def test_queries_together_leave_the_store_its_memory(file: str) -> None:
    """Writes must go on while someone looks at weeks: a query is refused sooner than the server is killed."""
    store = services(file)["influxdb"]
    settings = store["environment"]
    of_all, of_one, at_first, count, cache = (
        int(settings[f"INFLUXD_{name}"])
        for name in (
            "QUERY_MAX_MEMORY_BYTES",
            "QUERY_MEMORY_BYTES",
            "QUERY_INITIAL_MEMORY_BYTES",
            "QUERY_CONCURRENCY",
            "STORAGE_CACHE_MAX_MEMORY_SIZE",
        )
    )
    # influxd refuses to start otherwise.
    assert count * at_first <= of_all
    assert of_one <= of_all
    # A third is for everything else.
    assert of_all + cache <= mebibytes(store["mem_limit"]) * 2**20 * 2 / 3


def test_after_a_restore_grafana_is_told_its_token() -> None:
    """The restored tokens may be others, and Grafana reads its own only when it starts."""
    recipe = subprocess.run(
        ["make", "-n", "restore", "FROM=20261122T031500Z"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=True,
    ).stdout
    put_back, provisioned, told = (
        recipe.index(step)
        for step in (
            "backup restore /backup/20261122T031500Z",
            "run --rm --no-deps -T influx-init",
            "restart grafana",
        )
    )
    # In this order, each after the end of the one before: `up -d` would not wait.
    assert put_back < provisioned < told


_NOT_FOR_USERS = {"EXCHANGE", "SIMULATED_DATA", "SIMULATOR_START_MS", "SIMULATOR_SEED"}


def test_the_context_of_the_build_holds_no_secret() -> None:
    lines = text(".dockerignore").splitlines()
    assert next(line for line in lines if line and not line.startswith("#")) == "*"
    admitted = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / path).exists() for path in admitted)
    assert not any("secrets" in path or "env" in path for path in admitted)
