"""OpenAPI is derived from the table."""

from __future__ import annotations

import json

import pytest

from api.schema import row_name
from consumers.measurements import MEASUREMENTS
from consumers.tap.series import live_kinds
from scripts import make_openapi
from tests.unit.api.api_parts import client

KINDS = live_kinds(("momentum_rsi",))


def test_the_pages_copy_is_current() -> None:
    assert make_openapi.TARGET.read_text(encoding="utf-8") == make_openapi.text(), "run: make docs"


@pytest.mark.thorough
@pytest.mark.parametrize("name", KINDS)
def test_rows_of_every_kind_are_described_by_name(name: str) -> None:
    schema = client().get("/api/v1/openapi.json").json()
    kind = KINDS[name]
    row = schema["components"]["schemas"][row_name(kind)]
    assert list(row["properties"]) == ["time_ms", *kind.tags, *(column.name for column in kind.columns)]
    assert row["x-delivery"] == kind.delivery
    assert (f"/api/v1/rows/{name}" in schema["paths"]) is (name in MEASUREMENTS)


def test_every_reference_has_its_target() -> None:
    schema = client().get("/api/v1/openapi.json").json()
    text = json.dumps(schema)
    targets = {each.split('"')[0] for each in text.split('"$ref": "#/components/schemas/')[1:]}
    assert targets <= schema["components"]["schemas"].keys()
