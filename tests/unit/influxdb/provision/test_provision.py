from __future__ import annotations

import os
from pathlib import Path

import pytest

from influxdb.provision import __main__ as command
from influxdb.provision.backup import shard_ids
from influxdb.provision.declaration import read_declaration, read_tasks
from influxdb.provision.secrets import (
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    ALERT_WEBHOOK,
    API_TOKEN,
    GIVEN_PASSWORD,
    GIVEN_USERNAME,
    GIVEN_WEBHOOK,
    GRAFANA_PASSWORD,
    OPERATOR_TOKEN,
    PREFECT_DB_PASSWORD,
    PREFECT_LOGIN,
    Given,
    prepare,
    read_given,
    read_secret,
)
from shared.errors import SettingsError
from shared.settings import Settings
from tests.conftest import ROOT

NAMES = (
    ADMIN_USERNAME,
    API_TOKEN,
    ADMIN_PASSWORD,
    OPERATOR_TOKEN,
    GRAFANA_PASSWORD,
    PREFECT_DB_PASSWORD,
    PREFECT_LOGIN,
)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    for name in ("operator", "writer", "grafana", "prefect", "prefect-api"):
        (tmp_path / "volumes" / name).mkdir(parents=True)
    return tmp_path / "volumes"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


def test_the_first_start_makes_every_secret_and_the_second_keeps_them(volumes: Path) -> None:
    said = prepare(volumes, Given(None, None))
    made = {name: read_secret(volumes, name) for name in NAMES}
    assert made[ADMIN_USERNAME] == "admin"
    secret = [value for name, value in made.items() if name != ADMIN_USERNAME]
    assert len(set(secret)) == len(NAMES) - 1
    assert all(value and len(value) >= 24 for value in secret)
    assert len(said) == 8
    assert not any(value and value in line for value in secret for line in said)
    assert prepare(volumes, Given(None, None)) == []
    assert {name: read_secret(volumes, name) for name in NAMES} == made


def test_secrets_of_the_operator_are_readable_by_their_owner_alone(volumes: Path) -> None:
    prepare(volumes, Given(None, None))
    modes = {name: (volumes / name).stat().st_mode & 0o777 for name in NAMES}
    assert modes == {
        ADMIN_USERNAME: 0o400,
        ADMIN_PASSWORD: 0o400,
        OPERATOR_TOKEN: 0o400,
        GRAFANA_PASSWORD: 0o444,
        PREFECT_DB_PASSWORD: 0o444,
        PREFECT_LOGIN: 0o400,
        API_TOKEN: 0o400,
    }


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    found = []
    for one in ("a", "b"):
        for name in ("operator", "grafana", "prefect"):
            (tmp_path / one / name).mkdir(parents=True)
        prepare(tmp_path / one, Given(None, None))
        found.append({read_secret(tmp_path / one, name) for name in NAMES[1:]})
    assert found[0].isdisjoint(found[1])


def test_what_the_user_gives_wins_now_and_later(volumes: Path, given: Path) -> None:
    prepare(volumes, Given(None, None))
    (given / GIVEN_USERNAME).write_text("ops\n")
    (given / GIVEN_PASSWORD).write_text("correct horse\r\n")
    assert prepare(volumes, read_given(given)) == [
        "influx-admin-username: taken from influxdb/secrets",
        "influx-admin-password: taken from influxdb/secrets",
    ]
    assert read_secret(volumes, ADMIN_USERNAME) == "ops"
    assert read_secret(volumes, ADMIN_PASSWORD) == "correct horse"
    assert prepare(volumes, Given(None, None)) == []


def test_alerts_go_where_the_users_file_says_and_nowhere_without_it(volumes: Path, given: Path) -> None:
    """Grafana starts with no empty URL, so there is always one."""
    prepare(volumes, read_given(given))
    assert read_secret(volumes, ALERT_WEBHOOK) == "http://alerts.invalid/"
    (given / GIVEN_WEBHOOK).write_text("https://hooks.example/T0/secret\n")
    assert prepare(volumes, read_given(given)) == ["alert-webhook-url: taken from influxdb/secrets"]
    assert read_secret(volumes, ALERT_WEBHOOK) == "https://hooks.example/T0/secret"
    assert (volumes / ALERT_WEBHOOK).stat().st_mode & 0o777 == 0o444  # Grafana's user is not ours
    (given / GIVEN_WEBHOOK).unlink()
    prepare(volumes, read_given(given))
    assert read_secret(volumes, ALERT_WEBHOOK) == "http://alerts.invalid/"


@pytest.mark.parametrize("url", ["hooks.example/secret", "https://h/secret\nhttps://i", "https://h/secret$X"])
def test_a_webhook_that_grafana_would_not_read_as_it_is_written_is_refused(given: Path, url: str) -> None:
    (given / GIVEN_WEBHOOK).write_text(url)
    with pytest.raises(SettingsError, match="is not a URL; write one line") as refused:
        read_given(given)
    assert "secret" not in str(refused.value).partition(":")[2]


@pytest.mark.parametrize("password", ["seven77", "x" * 73])
def test_a_password_that_influxdb_refuses_is_one_line(given: Path, password: str) -> None:
    (given / GIVEN_PASSWORD).write_text(password + "\n")
    with pytest.raises(SettingsError, match="InfluxDB takes 8 to 72, choose another password") as refused:
        read_given(given)
    assert password not in str(refused.value)


def test_an_empty_file_is_refused_by_its_name(given: Path) -> None:
    (given / GIVEN_USERNAME).write_text("\n")
    with pytest.raises(SettingsError, match=r"influxdb/secrets/\.env\.influxdb2-admin-username: is empty"):
        read_given(given)


def test_a_folder_in_the_place_of_a_file_is_refused(given: Path) -> None:
    """What an engine makes of a mounted file that is not there."""
    (given / GIVEN_PASSWORD).mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        read_given(given)


def test_a_volume_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        prepare(tmp_path / "nothing", Given(None, None))


def test_passwords_for_people_are_shown_and_tokens_are_not(
    volumes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(volumes, Given(None, None))
    assert command.main(["--secrets", str(volumes), "show"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines() == [
        f"Grafana: admin / {read_secret(volumes, GRAFANA_PASSWORD)}",
        f"InfluxDB: admin / {read_secret(volumes, ADMIN_PASSWORD)}",
        f"API and its page (where BIND_ADDRESS is not this machine alone): {read_secret(volumes, API_TOKEN)}",
        f"Prefect (its page asks for all of it at once): {read_secret(volumes, PREFECT_LOGIN)}",
    ]
    assert str(read_secret(volumes, OPERATOR_TOKEN)) not in shown


def test_passwords_are_not_there_before_the_first_start(
    volumes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--secrets", str(volumes), "show"]) == 2
    assert "start the stack first: make up" in capsys.readouterr().err


def test_the_declaration_is_the_designs() -> None:
    declared = read_declaration(ROOT / "influxdb")
    fields = Settings.model_fields
    assert declared.organization == fields["influx_org"].default
    assert {bucket.name: bucket.keeps_s for bucket in declared.buckets} == {
        fields["influx_bucket_market"].default: 0,
        fields["influx_bucket_ticks"].default: 7 * 86_400,
    }
    assert {bucket.name: bucket.shard_group_s for bucket in declared.buckets}["market"] == 28 * 86_400
    writer, *readers = declared.tokens
    assert writer.reads == ()
    assert set(writer.writes) == {"market", "ticks"}
    # Each reader's token in a volume of its own, so that one can be withdrawn without the others.
    assert [reader.file.split("/")[0] for reader in readers] == ["grafana", "api"]
    for reader in readers:
        assert reader.writes == ()
        assert set(reader.reads) == {"market", "ticks"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("organization = 3 3", "at line 1"),
        ('organization = "x"', "buckets"),
        (
            'organization = "x"\ntokens = []\nbuckets = [{name = "b", keeps = "week", shard_group = "1d"}]',
            '"week" is not a duration',
        ),
    ],
)
def test_a_wrong_declaration_is_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "provision.toml").write_text(text)
    with pytest.raises(SettingsError, match=why):
        read_declaration(tmp_path)


def test_a_task_is_known_by_the_name_that_it_declares(tmp_path: Path) -> None:
    (tmp_path / "b.flux").write_text(
        'import "date"\n\noption task = {\n  every: 1m,\n  name: "summary 1m",\n}\n'
    )
    (task,) = read_tasks(tmp_path)
    assert (task.name, task.file) == ("summary 1m", "b.flux")
    (tmp_path / "a.flux").write_text('option task = {name: "summary 1m", every: 1s}')
    with pytest.raises(SettingsError, match=r'b\.flux: task "summary 1m" is also in a\.flux'):
        read_tasks(tmp_path)
    (tmp_path / "a.flux").write_text("buckets()")
    with pytest.raises(SettingsError, match=r"a\.flux: declares no task"):
        read_tasks(tmp_path)


def test_shards_of_deleted_groups_are_not_copied() -> None:
    groups = [
        {"deletedAt": None, "shards": [{"id": 7}, {"id": 2}]},
        {"deletedAt": "2026-01-01T00:00:00Z", "shards": [{"id": 3}]},
    ]
    assert shard_ids([{"retentionPolicies": [{"shardGroups": groups}]}, {"retentionPolicies": None}]) == [
        2,
        7,
    ]


def test_a_secrets_file_is_neither_waited_for_nor_read_without_end(volumes: Path, given: Path) -> None:
    os.mkfifo(given / GIVEN_PASSWORD)
    with pytest.raises(SettingsError, match=r"cannot be read \(it is a pipe or a device"):
        read_given(given)
    (given / GIVEN_PASSWORD).unlink()
    (given / GIVEN_PASSWORD).symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match=r"cannot be read \(it is a pipe or a device"):
        read_given(given)
