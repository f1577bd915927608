"""The init service on a real InfluxDB, from an empty one on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptostream.processes.server import EngineUnavailable
from influxdb.provision import secrets as secret_files
from influxdb.provision.backup import back_up, restore
from influxdb.provision.declaration import Declaration, Task, read_declaration
from influxdb.provision.secrets import Given, write_secret
from shared.errors import StoreMisconfigured
from tests.conftest import ROOT
from tests.deployment import READER, TASK, WRITER, Deployment


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
    # The operator's, the writer's, and those of Grafana and the API, which may read.
    assert len(deployment.listed("authorizations")) == 4
    assert [task["name"] for task in deployment.listed("tasks")] == ["hourly"]


def test_buckets_keep_what_is_declared_and_are_repaired(deployment: Deployment) -> None:
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
        "administrator: name or password were changed in InfluxDB; no service needs them"
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
