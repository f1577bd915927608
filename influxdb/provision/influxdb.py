"""Brings an InfluxDB to what is declared: administrator, buckets, tokens, tasks; twice is once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from influxdb_client.domain.authorization import Authorization
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.permission import Permission
from influxdb_client.domain.permission_resource import PermissionResource
from influxdb_client.domain.task_create_request import TaskCreateRequest
from influxdb_client.domain.task_update_request import TaskUpdateRequest

from influxdb.provision.declaration import Bucket, Declaration, Task, Token
from influxdb.provision.secrets import (
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    OPERATOR_TOKEN,
    Given,
    read_secret,
    write_secret,
)
from influxdb.provision.server import accepts, connected, is_set_up, patiently, set_up
from shared.errors import SettingsError, StoreMisconfigured

Say = Callable[[str], None]
_START_S: Final = 60.0
_OPERATOR_DESCRIPTION: Final = "cryptostream: operator"
_TASK_MARK: Final = "cryptostream: influxdb/tasks/"
# The client has no types.
_authorization: Final[Any] = Authorization
_rules: Final[Any] = BucketRetentionRules
_permission: Final[Any] = Permission
_resource: Final[Any] = PermissionResource
_new_task: Final[Any] = TaskCreateRequest
_task_change: Final[Any] = TaskUpdateRequest


class Provisioning:
    """Brings one server to its declared state.

    Args:
        folder: of the secrets that `prepare` makes.
        given: the user's files in `influxdb/secrets/`.
        say: receives a line for each change.
    """

    def __init__(self, url: str, declared: Declaration, folder: Path, given: Given, say: Say) -> None:
        self._url = url
        self._declared = declared
        self._organization = declared.organization
        self._folder = folder
        self._given = given
        self._say = say

    def run(self) -> None:
        """Apply the declaration.

        Raises:
            StoreUnavailable, StoreMisconfigured, SettingsError: one line for the user.
        """
        # 1. An administrator, and an operator token that the server accepts.
        if not patiently(lambda: is_set_up(self._url, self._organization), _START_S):
            self._set_up()
        token = self._operator_token()
        with connected(self._url, self._organization, token=token) as client:
            self._follow_given(client)
            # 2. Buckets, tokens and tasks of the organisation.
            organization_id = self._organization_id(client)
            ids = {bucket.name: self._bucket(client, bucket) for bucket in self._declared.buckets}
            for wanted in self._declared.tokens:
                self._token(client, organization_id, ids, wanted)
            self._tasks(client, organization_id)

    def _secret(self, name: str) -> str:
        value = read_secret(self._folder, name)
        if not value:
            raise SettingsError(f"{self._folder / name}: is missing; run secrets-init first")
        return value

    def _credentials(self) -> dict[str, str]:
        return {"username": self._secret(ADMIN_USERNAME), "password": self._secret(ADMIN_PASSWORD)}

    # -- the administrator -----------------------------------------------------------------------------

    def _set_up(self) -> None:
        set_up(
            self._url,
            self._organization,
            self._declared.buckets[0].name,
            token=self._secret(OPERATOR_TOKEN),
            **self._credentials(),
        )
        self._say(f"InfluxDB: set up for {self._organization}")

    def _operator_token(self) -> str:
        token = self._secret(OPERATOR_TOKEN)
        if accepts(self._url, self._organization, token=token):
            return token
        if not accepts(self._url, self._organization, **self._credentials()):
            raise StoreMisconfigured(
                f"{self._url} knows neither our operator token nor the administrator's password: its data "
                "and the secrets are of different installations (a volume was lost, or a backup restored); "
                "put the old name and password into influxdb/secrets/, or begin anew by `make clean`"
            )
        with connected(self._url, self._organization, **self._credentials()) as client:
            fresh = client.authorizations_api().create_authorization(
                authorization=_authorization(
                    org_id=self._organization_id(client),
                    description=_OPERATOR_DESCRIPTION,
                    permissions=_all_permissions(client),
                )
            )
        write_secret(self._folder, OPERATOR_TOKEN, fresh.token, mode=0o400)
        self._say("operator token: made anew by the administrator's password, the server refused the old one")
        return str(fresh.token)

    def _follow_given(self, client: Any) -> None:
        """Apply the user's changes in `influxdb/secrets/`; changes made in InfluxDB stay."""
        credentials = self._credentials()
        if accepts(self._url, self._organization, **credentials):
            return
        if self._given.password is None and self._given.username is None:
            self._say("administrator: name or password were changed in InfluxDB; no service needs them")
            return
        users = client.users_api()
        user = users.me()
        if user.name != credentials["username"]:
            user.name = credentials["username"]
            users.update_user(user)
            self._say("administrator: renamed as in influxdb/secrets")
        if not accepts(self._url, self._organization, **credentials):
            users.update_password(user, credentials["password"])
            self._say("administrator: password changed as in influxdb/secrets")

    def _organization_id(self, client: Any) -> str:
        found = client.organizations_api().find_organizations(org=self._organization)
        return str(found[0].id)

    # -- buckets, tokens, tasks ------------------------------------------------------------------------

    def _bucket(self, client: Any, wanted: Bucket) -> str:
        buckets = client.buckets_api()
        found = buckets.find_bucket_by_name(wanted.name)
        rule = _rules(
            type="expire",
            every_seconds=wanted.keeps_s,
            shard_group_duration_seconds=wanted.shard_group_s,
        )
        if found is None:
            found = buckets.create_bucket(
                bucket_name=wanted.name, retention_rules=rule, org=self._organization
            )
            self._say(f"bucket {wanted.name}: created")
        elif _retention(found) != (wanted.keeps_s, wanted.shard_group_s):
            found.retention_rules = [rule]
            buckets.update_bucket(found)
            self._say(f"bucket {wanted.name}: retention and shard groups set as declared")
        return str(found.id)

    def _token(self, client: Any, organization_id: str, ids: dict[str, str], wanted: Token) -> None:
        """Keep a valid token, else make one. Since 2.9 a token is shown only when it is made."""
        authorizations = client.authorizations_api()
        scopes = {("read", ids[name]) for name in wanted.reads} | {
            ("write", ids[name]) for name in wanted.writes
        }
        old = [
            found for found in authorizations.find_authorizations() if found.description == wanted.description
        ]
        present = read_secret(self._folder, wanted.file)
        if (
            len(old) == 1
            and old[0].status == "active"
            and _scopes(old[0]) == scopes
            and present
            and accepts(self._url, self._organization, token=present)
        ):
            return
        permissions = [
            _permission(action=action, resource=_resource(type="buckets", id=id_, org_id=organization_id))
            for action, id_ in sorted(scopes)
        ]
        fresh = authorizations.create_authorization(
            authorization=_authorization(
                org_id=organization_id, description=wanted.description, permissions=permissions
            )
        )
        # Grafana runs as another user.
        write_secret(self._folder, wanted.file, fresh.token, mode=0o444)
        for found in old:
            authorizations.delete_authorization(found)
        self._say(f"token {Path(wanted.file).name}: {'made anew' if old else 'made'}")

    def _tasks(self, client: Any, organization_id: str) -> None:
        tasks = client.tasks_api()
        present = tasks.find_tasks(limit=500, org_id=organization_id)
        names = {task.name for task in self._declared.tasks}
        for found in present:
            ours = (found.description or "").startswith(_TASK_MARK)
            if ours and found.name not in names:
                tasks.delete_task(found.id)
                self._say(f"task {found.name}: removed, its file is gone")
        for wanted in self._declared.tasks:
            self._task(tasks, organization_id, wanted, [task for task in present if task.name == wanted.name])

    def _task(self, tasks: Any, organization_id: str, wanted: Task, present: list[Any]) -> None:
        description = _TASK_MARK + wanted.file
        for extra in present[1:]:  # names need not be unique in InfluxDB
            tasks.delete_task(extra.id)
            self._say(f"task {wanted.name}: a second one removed")
        if not present:
            tasks.create_task(
                task_create_request=_new_task(
                    org_id=organization_id, flux=wanted.flux, status="active", description=description
                )
            )
            self._say(f"task {wanted.name}: created")
        elif (present[0].flux, present[0].status, present[0].description) != (
            wanted.flux,
            "active",
            description,
        ):
            tasks.update_task_request(
                present[0].id,
                _task_change(flux=wanted.flux, status="active", description=description),
            )
            self._say(f"task {wanted.name}: changed as declared")


def _retention(bucket: Any) -> tuple[int, int]:
    """Expiry (0: none) and length of a shard group, in seconds."""
    rules = bucket.retention_rules or []
    if not rules:
        return 0, 0
    return int(rules[0].every_seconds or 0), int(rules[0].shard_group_duration_seconds or 0)


def _scopes(authorization: Any) -> set[tuple[str, str]]:
    return {(permission.action, permission.resource.id) for permission in authorization.permissions}


def _all_permissions(client: Any) -> list[Any]:
    """The permissions of the operator: those of the token with the most."""
    every = client.authorizations_api().find_authorizations()
    return list(max(every, key=lambda found: len(found.permissions)).permissions)
