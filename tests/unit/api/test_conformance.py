"""Requests made from the description: every answer is one that is described, and never a 500."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.app import Parts, build_app, make_openapi
from api.history import History
from api.page import Page
from consumers.tap.series import live_kinds
from shared.settings import Settings
from tests.unit.api.api_parts import FakeReader, bars, counted

PARTS = Parts(
    Settings.model_construct(symbols=("BTCUSDC",), intervals=("1m",)),
    live_kinds(("momentum_rsi",)),
    History(lambda: FakeReader({"kline": bars(5), "ledger": counted(5)})),
    Page(None),
)
SCHEMA = schemathesis.openapi.from_dict(make_openapi(PARTS))
SCHEMA.app = build_app(PARTS)
SCHEMA.config.update(base_url="http://127.0.0.1:8000")


@SCHEMA.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case: Any) -> None:
    checks: list[Callable[..., Any]] = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        negative_data_rejection,
        unsupported_method,
    ]
    answer = case.call(headers={"Host": "127.0.0.1:8000"})
    if answer.status_code == 503:
        # There is no broker here.
        assert "retry-after" in answer.headers
        checks.remove(not_a_server_error)
    if answer.status_code == 414:
        # Which is not among those that the check knows.
        checks.remove(negative_data_rejection)
    case.validate_response(answer, checks=checks)
