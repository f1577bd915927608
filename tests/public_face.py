"""What users of CryptoStream see and rely on, as text: a change of it is made on purpose, or not at all.

`python -m tests.public_face` writes it to tests/golden/public; the tests compare.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

import yaml

from consumers.measurements import MEASUREMENTS
from cryptostream.cli import COMMANDS, main
from pipelines.snapshots.settings import SnapshotSettings
from shared.intervals import INTERVAL_MS
from shared.models import MODELS
from shared.settings import Settings
from shared.topics import declared_topics

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "public"
COMPOSE_FILES: Final = (
    "docker-compose.yml",
    "compose.light.yml",
    "compose.simulator.yml",
    "compose.three-brokers.yml",
)
# Words of a command that has commands of its own.
PARTS: Final = {
    "dead-letters": ("list", "show", "replay"),
    "snapshots": ("run", "serve", "deploy", "query", "report", "schema"),
}
# Refused before anything is read, written or asked.
REFUSED: Final = (
    "",
    "nothing",
    "run --duration soon",
    "run --source nowhere.jsonl --no-ui",
    "run --broker rabbit",
    "run --symbols BTC/USDC --no-ui",
    "run --intervals 7m --no-ui",
    "produce --symbols ,",
    "consume",
    "consume --stream candles",
    "simulate --port 70000",
    "query bars BTCUSDC",
    "query klines BTCUSDC",
    "query klines BTCUSDC 7m --data-dir nowhere",
    "query trades BTCUSDC --last 0",
    "ledger --data-dir nowhere",
    "ledger --from yesterday",
    "dead-letters",
    "dead-letters show",
    "indicators",
    "indicators nowhere.csv",
    "topics --nothing",
    "repair",
    "chaos kill-everything",
    "chaos late-kline --exchange kraken",
    "produce --connection-age 0",
    "snapshots",
    "snapshots query",
)


def plain_environment() -> contextlib.AbstractContextManager[Any]:
    """Nothing set that would show: neither settings nor the terminal's width."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
    return mock.patch.dict(
        os.environ,
        {"COLUMNS": "100", "NO_COLOR": "1"} | {name: os.environ[name] for name in keep if name in os.environ},
        clear=True,
    )


def said(words: Sequence[str]) -> tuple[int, str]:
    """A command's exit code, and what it wrote to both outputs."""
    output = io.StringIO()
    with plain_environment(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = int(end.code or 0)
    return code, output.getvalue()


def _help(*words: str) -> str:
    return said([*words, "--help"])[1]


def _module_help(module: str) -> str:
    with plain_environment():
        command = [sys.executable, "-m", module, "--help"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout


def _helps() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "help/cryptostream.txt", _help
    for name in COMMANDS:
        yield f"help/{name}.txt", partial(_help, name)
        for part in PARTS.get(name, ()):
            yield f"help/{name}-{part}.txt", partial(_help, name, part)
    for module in ("producers", "consumers", "simulator"):
        yield f"help/python-m-{module}.txt", partial(_module_help, module)


def refusals() -> str:
    """What is refused, with which exit code and in which words."""
    lines = []
    for words in REFUSED:
        code, text = said(words.split())
        lines += [f"$ cryptostream {words}".rstrip(), *text.rstrip().splitlines(), f"exit code {code}", ""]
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n"


def settings() -> str:
    """Names, types, defaults and bounds of all settings."""
    return _json({each.__name__: _fields(each.model_json_schema()) for each in (Settings, SnapshotSettings)})


def _fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.upper(): {key: value for key, value in field.items() if key != "title"}
        for name, field in schema["properties"].items()
    }


def example_settings() -> str:
    """The names that `.env.example` shows."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)) + "\n"


def topics() -> str:
    """All topics with their retention, and so their names."""
    return _json({topic.name: topic.config() for topic in declared_topics(tuple(INTERVAL_MS))})


def schemas() -> str:
    """The messages on the topics, as JSON Schema."""
    return _json({kind: model.model_json_schema() for kind, model in MODELS.items()})


def measurements() -> str:
    """Points of the store: tags, columns and their types."""
    return _json({each.name: dataclasses.asdict(each) for each in MEASUREMENTS.values()})


def services(name: str) -> str:
    """One compose file's services: what of them is seen from outside."""
    declared = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"]
    kept = ("command", "entrypoint", "ports", "networks", "volumes", "environment", "profiles", "user")
    return _json(
        {service: {key: says[key] for key in kept if key in says} for service, says in declared.items()}
    )


def _files() -> dict[str, Callable[[], str]]:
    return {
        **dict(_helps()),
        "refusals.txt": refusals,
        "settings.json": settings,
        "example_settings.txt": example_settings,
        "topics.json": topics,
        "schemas.json": schemas,
        "measurements.json": measurements,
        **{f"compose/{name}.json": partial(services, name) for name in COMPOSE_FILES},
    }


FILES: Final = _files()


def write(name: str, text: str) -> None:
    path = GOLDEN / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for file, made in FILES.items():
        write(file, made())
    sys.stdout.write(f"written: {len(FILES)} files in {GOLDEN.relative_to(ROOT)}\n")
