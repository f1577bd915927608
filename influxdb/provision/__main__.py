"""`python -m influxdb.provision`: the one-shot services of the compose files."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from influxdb.provision.backup import back_up, restore
from influxdb.provision.declaration import read_declaration
from influxdb.provision.influxdb import Provisioning
from influxdb.provision.secrets import (
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    API_TOKEN,
    GRAFANA_PASSWORD,
    OPERATOR_TOKEN,
    PREFECT_LOGIN,
    prepare,
    read_given,
    read_secret,
)
from shared.arguments import Parser
from shared.command import run_command
from shared.errors import SettingsError
from shared.settings import load_settings

_SHARED = Path("/usr/share/cryptostream")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--secrets", type=Path, default=Path("/run/cryptostream-secrets"), metavar="DIR")
    parser.add_argument("--given", type=Path, default=Path("/run/given-secrets"), metavar="DIR")
    what = parser.add_subparsers(dest="what", metavar="what", required=True)
    what.add_parser("secrets", help="make the secrets that are missing").set_defaults(run=_secrets)
    what.add_parser("show", help="print the passwords for people").set_defaults(run=_show)
    influxdb = what.add_parser("influxdb", help="buckets, tokens and tasks as declared")
    influxdb.add_argument("--declared", type=Path, default=_SHARED / "influxdb", metavar="DIR")
    influxdb.set_defaults(run=_influxdb)
    for name, run, summary in (
        ("backup", _backup, "copy all of InfluxDB into a new folder below DIR"),
        ("restore", _restore, "put a backup in place of everything that InfluxDB has"),
    ):
        command = what.add_parser(name, help=summary)
        command.add_argument("directory", type=Path, metavar="DIR")
        command.set_defaults(run=run)
    c3 = what.add_parser("c3", help="put Control Center's files where it may change them")
    c3.add_argument("directory", type=Path, metavar="DIR")
    c3.set_defaults(run=_c3)


def _secrets(arguments: argparse.Namespace) -> int:
    _say_all(prepare(arguments.secrets, read_given(arguments.given)))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    for what, who, name in (
        ("Grafana", "admin", GRAFANA_PASSWORD),
        ("InfluxDB", read_secret(arguments.secrets, ADMIN_USERNAME), ADMIN_PASSWORD),
    ):
        password = read_secret(arguments.secrets, name)
        if not password:
            raise SettingsError(f"{what}: has no password yet; start the stack first: make up")
        sys.stdout.write(f"{what}: {who} / {password}\n")
    token = read_secret(arguments.secrets, API_TOKEN)
    if token:
        sys.stdout.write(f"API and its page (where BIND_ADDRESS is not this machine alone): {token}\n")
    login = read_secret(arguments.secrets, PREFECT_LOGIN)
    if login:
        sys.stdout.write(f"Prefect (its page asks for all of it at once): {login}\n")
    return 0


def _influxdb(arguments: argparse.Namespace) -> int:
    Provisioning(
        load_settings().influx_url,
        read_declaration(arguments.declared),
        arguments.secrets,
        read_given(arguments.given),
        _say,
    ).run()
    _say("InfluxDB is as declared")
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    _say(back_up(load_settings().influx_url, _operator_token(arguments), arguments.directory))
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    _say(restore(load_settings().influx_url, _operator_token(arguments), arguments.directory))
    return 0


def _operator_token(arguments: argparse.Namespace) -> str:
    token = read_secret(arguments.secrets, OPERATOR_TOKEN)
    if not token:
        raise SettingsError(f"{arguments.secrets / OPERATOR_TOKEN}: is missing; start the stack first")
    return token


def _c3(arguments: argparse.Namespace) -> int:
    """Copy missing files only: Control Center writes its own rules into them."""
    for source in sorted((_SHARED / "c3").iterdir()):
        target = arguments.directory / source.name
        if not target.exists():
            shutil.copyfile(source, target)
            # It holds no secret, and users of other images read it.
            target.chmod(0o644)
            _say(f"{target}: made")
    return 0


def _say_all(lines: Sequence[str]) -> None:
    for line in lines:
        _say(line)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `python -m influxdb.provision`."""
    parser = Parser(prog="python -m influxdb.provision", description=__doc__)
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    return run_command(lambda: int(arguments.run(arguments)), debug=arguments.debug)


if __name__ == "__main__":
    sys.exit(main())
