"""The compose files as both composers see them: anchors merged, variables at their defaults."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml

from tests.conftest import ROOT

WHOLE = ("docker-compose.yml", "compose.light.yml", "compose.three-brokers.yml")
OVERLAYS = ("compose.simulator.yml",)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def model(name: str) -> dict[str, Any]:
    """The file, parsed as YAML 1.1, as PyYAML does in docker-compose 1.29."""
    found: dict[str, Any] = yaml.safe_load(text(name))
    return found


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = model(name)["services"]
    return found


def at_defaults(value: str) -> str:
    """Variables replaced by what stands after `:-`."""
    return _VARIABLE.sub(lambda found: found[2] or "", value)


def ours(service: dict[str, Any]) -> bool:
    return str(service.get("image", "")).startswith(("cryptostream:", "cryptostream-snapshots:"))


def once(service: dict[str, Any]) -> bool:
    """A service that ends by itself."""
    return service.get("restart") == "no"


def mebibytes(size: str) -> float:
    return float(size[:-1]) * {"m": 1, "g": 1024}[size[-1]]
