"""The init service on a real InfluxDB, from an empty one on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptostream.engines.fetch import EngineUnavailable
from cryptostream.engines.influxdb import start_influxd
from cryptostream.engines.server import ServerProcess, free_port
from cryptostream.provision import secrets as secret_files
from cryptostream.provision.backup import back_up, restore
from cryptostream.provision.declaration import Declaration, Task, read_declaration
from cryptostream.provision.influxdb import Provisioning
from cryptostream.provision.secrets import Given, prepare, read_secret, write_secret
from shared.errors import StoreMisconfigured
from tests.conftest import ROOT

TASK = """option task = {name: "hourly", every: 1h}
from(bucket: "market") |> range(start: -1h) |> to(bucket: "market")
"""
WRITER, READER = "writer/influx-writer-token", "grafana/influx-reader-token"


class Deployment:
    """An InfluxDB without a user, and the volumes of secrets beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secrets = directory / "secrets"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        declared = read_declaration(ROOT / "influxdb")
        self.declared = Declaration(
            declared.organization, declared.buckets, declared.tokens, (Task("hourly", "hourly.flux", TASK),)
        )
        self.given = Given(None, None)
        self.server = self.start("data")
        self.new_secrets()

    def start(self, data: str) -> ServerProcess:
        return start_influxd(self.directory / data, self.port)

    def lose_data(self, data: str) -> None:
        """Another volume in the place of the old one."""
        self.server.stop()
        self.server = self.start(data)

    def new_secrets(self) -> None:
        """An empty volume of secrets."""
        for name in ("operator", "writer", "grafana", "prefect"):
            (self.secrets / name).mkdir(parents=True, exist_ok=True)
            for path in (self.secrets / name).iterdir():
                path.unlink()

    def init(self) -> list[str]:
        """A start of the stack: secrets-init, then influx-init; what the second one says."""
        said: list[str] = []
        prepare(self.secrets, self.given)
        Provisioning(self.url, self.declared, self.secrets, self.given, said.append).run()
        return said

    def token(self, name: str) -> str:
        value = read_secret(self.secrets, name)
        assert value
        return value

    def call(
        self, method: str, path: str, token: str, body: str = "", kind: str = "text/plain"
    ) -> tuple[int, str]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=body.encode() or None,
            headers={"Authorization": f"Token {token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def write(self, token: str, bucket: str, line: str = "probe value=1") -> int:
        return self.call("POST", f"/api/v2/write?org=crypto&bucket={bucket}", token, line)[0]

    def query(self, token: str, bucket: str) -> tuple[int, str]:
        flux = f'from(bucket: "{bucket}") |> range(start: 0) |> keep(columns: ["_value"])'
        return self.call("POST", "/api/v2/query?org=crypto", token, flux, "application/vnd.flux")

    def listed(self, what: str) -> list[dict[str, Any]]:
        _, text = self.call("GET", f"/api/v2/{what}", self.token(secret_files.OPERATOR_TOKEN))
        found: list[dict[str, Any]] = json.loads(text)[what]
        return found


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    try:
        found = Deployment(tmp_path)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    yield found
    found.server.stop()


def test_a_second_start_changes_nothing(deployment: Deployment) -> None:
    first = deployment.init()
    assert "bucket ticks: created" in first
    assert "task hourly: created" in first
    tokens = [deployment.token(name) for name in (WRITER, READER, secret_files.OPERATOR_TOKEN)]
    assert deployment.init() == []
    assert [deployment.token(name) for name in (WRITER, READER, secret_files.OPERATOR_TOKEN)] == tokens
    assert len(deployment.listed("authorizations")) == 3
    assert [task["name"] for task in deployment.listed("tasks")] == ["hourly"]


def test_buckets_keep_what_is_declared_and_are_mended(deployment: Deployment) -> None:
    deployment.init()

    def rules() -> dict[str, tuple[int, int]]:
        return {
            bucket["name"]: (
                sum(rule["everySeconds"] for rule in bucket["retentionRules"]),
                sum(rule["shardGroupDurationSeconds"] for rule in bucket["retentionRules"]),
            )
            for bucket in deployment.listed("buckets")
            if bucket["type"] == "user"
        }

    declared = {"market": (0, 28 * 86_400), "ticks": (7 * 86_400, 86_400)}
    assert rules() == declared
    ticks = next(bucket["id"] for bucket in deployment.listed("buckets") if bucket["name"] == "ticks")
    changed = json.dumps({"retentionRules": [{"type": "expire", "everySeconds": 86_400}]})
    deployment.call(
        "PATCH",
        f"/api/v2/buckets/{ticks}",
        deployment.token(secret_files.OPERATOR_TOKEN),
        changed,
        "application/json",
    )
    assert rules() != declared
    assert deployment.init() == ["bucket ticks: retention and shard groups set as declared"]
    assert rules() == declared


def test_the_consumers_token_cannot_read_and_grafanas_cannot_write(deployment: Deployment) -> None:
    deployment.init()
    writer, reader = deployment.token(WRITER), deployment.token(READER)
    for bucket in ("market", "ticks"):
        assert deployment.write(writer, bucket) == 204
        assert deployment.query(writer, bucket)[0] != 200
        assert deployment.write(reader, bucket) == 403
        assert deployment.query(reader, bucket)[0] == 200
    for token in (writer, reader):
        status, text = deployment.call("GET", "/api/v2/authorizations", token)
        assert status != 200 or not json.loads(text)["authorizations"]
        assert deployment.call("GET", "/api/v2/backup/metadata", token)[0] in (401, 403)
        assert deployment.call("POST", "/api/v2/buckets", token, "{}", "application/json")[0] != 201


def test_tasks_follow_their_files(deployment: Deployment) -> None:
    deployment.init()
    operator = deployment.token(secret_files.OPERATOR_TOKEN)
    organization = deployment.listed("orgs")[0]["id"]
    for description in ("", "somebody's own"):  # a copy of ours, and another's
        flux = TASK if not description else TASK.replace("hourly", "theirs")
        body = json.dumps({"orgID": organization, "flux": flux, "description": description})
        assert deployment.call("POST", "/api/v2/tasks", operator, body, "application/json")[0] == 201
    changed = TASK.replace("-1h", "-2h")
    declared = deployment.declared
    deployment.declared = Declaration(
        declared.organization, declared.buckets, declared.tokens, (Task("hourly", "hourly.flux", changed),)
    )
    assert "task hourly: a second one removed" in deployment.init()
    assert sorted((task["name"], task["flux"]) for task in deployment.listed("tasks")) == [
        ("hourly", changed),
        ("theirs", TASK.replace("hourly", "theirs")),
    ]
    deployment.declared = Declaration(declared.organization, declared.buckets, declared.tokens, ())
    assert deployment.init() == ["task hourly: removed, its file is gone"]
    assert [task["name"] for task in deployment.listed("tasks")] == ["theirs"]


def test_every_task_of_ours_is_accepted_by_the_server(deployment: Deployment) -> None:
    deployment.declared = read_declaration(ROOT / "influxdb")
    deployment.init()
    assert sorted(task["name"] for task in deployment.listed("tasks")) == sorted(
        task.name for task in deployment.declared.tasks
    )
    assert all(task["status"] == "active" for task in deployment.listed("tasks"))


def test_a_lost_volume_of_data_is_set_up_anew_with_the_same_secrets(deployment: Deployment) -> None:
    deployment.init()
    writer = deployment.token(WRITER)
    deployment.lose_data("other")
    said = deployment.init()
    assert said[0] == "InfluxDB: set up for crypto"
    assert "token influx-writer-token: made" in said
    assert deployment.token(WRITER) != writer
    assert deployment.write(deployment.token(WRITER), "ticks") == 204


def test_a_lost_volume_of_secrets_is_made_anew_if_the_user_gives_the_password(deployment: Deployment) -> None:
    deployment.given = Given("ops", "correct horse battery")
    deployment.init()
    deployment.new_secrets()
    said = deployment.init()
    assert said[0].startswith("operator token: made anew")
    assert deployment.write(deployment.token(WRITER), "market") == 204
    assert deployment.init() == []


def test_a_lost_volume_of_secrets_without_a_password_is_one_line_with_the_way_out(
    deployment: Deployment,
) -> None:
    deployment.init()
    deployment.new_secrets()
    with pytest.raises(StoreMisconfigured, match=r"influxdb/secrets/, or begin anew by `make clean`"):
        deployment.init()


def test_a_name_and_password_changed_by_the_user_are_changed_in_influxdb(deployment: Deployment) -> None:
    deployment.given = Given("ops", "correct horse battery")
    deployment.init()
    deployment.given = Given("boss", "another password")
    assert deployment.init() == [
        "administrator: renamed as in influxdb/secrets",
        "administrator: password changed as in influxdb/secrets",
    ]
    assert deployment.init() == []


def test_a_password_changed_in_influxdb_stays(deployment: Deployment) -> None:
    deployment.init()
    write_secret(deployment.secrets, secret_files.ADMIN_PASSWORD, "not the one it was", mode=0o400)
    assert deployment.init() == [
        "administrator: name or password were changed in InfluxDB; nothing here needs them"
    ]


def test_a_backup_is_restored_on_a_new_server(deployment: Deployment, tmp_path: Path) -> None:
    deployment.init()
    for number, bucket in ((1, "market"), (2, "ticks")):
        assert deployment.write(deployment.token(WRITER), bucket, f"probe value={number}") == 204
    assert (
        back_up(deployment.url, deployment.token(secret_files.OPERATOR_TOKEN), tmp_path / "backups")
        .split(": ")[1]
        .startswith("2 shards")
    )
    (folder,) = (tmp_path / "backups").iterdir()

    deployment.lose_data("other")
    deployment.init()
    assert deployment.query(deployment.token(READER), "market")[1].strip() == ""
    restore(deployment.url, deployment.token(secret_files.OPERATOR_TOKEN), folder)
    deployment.init()
    for number, bucket in ((1, "market"), (2, "ticks")):
        status, rows = deployment.query(deployment.token(READER), bucket)
        assert (status, rows.split()[-1].split(",")[-1]) == (200, str(number))
    assert deployment.init() == []
