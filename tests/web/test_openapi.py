"""The document that the API serves says what it does: asked at random from it, the API answers as it says."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from .conftest import OPERATOR, Web, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving(tmp_path_factory.mktemp("fuzzed")) as web:
        yield web


@pytest.fixture(scope="module")
def document(fuzzed: Web) -> Any:
    with fuzzed.client() as client:
        told = client.get("/api/v1/openapi.json").json()
    del told["paths"]["/api/v1/events"]  # it has no end; tests/web/test_api.py reads it
    found = schemathesis.openapi.from_dict(told)
    found.config.update(base_url=fuzzed.url)
    return found


def test_whatever_is_asked_is_answered_as_the_document_says(document: Any, fuzzed: Web) -> None:
    """Each operation, with what the document allows and with what it does not."""
    for result in document.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            _ask(operation.as_strategy(generation_mode=mode), fuzzed)


def _ask(cases: Any, fuzzed: Web) -> None:
    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: schemathesis.Case) -> None:
        response = case.call(headers={"Authorization": f"Bearer {OPERATOR}"})
        while response.status_code == 429:
            time.sleep(float(response.headers["retry-after"][0]))
            response = case.call(headers={"Authorization": f"Bearer {OPERATOR}"})
        case.validate_response(response, checks=CHECKS)
        assert "Traceback" not in response.text

    try:
        ask()
    except Unsatisfiable:  # nothing wrong can be sent where nothing is taken
        return


def test_every_path_of_the_table_is_in_the_document_and_names_its_role(fuzzed: Web) -> None:
    from simian.web.app import ROUTES

    with fuzzed.client() as client:
        told = client.get("/api/v1/openapi.json").json()
    there = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert there == {(route.method, f"/api/v1{route.path}") for route in ROUTES}
    for route in ROUTES:
        assert told["paths"][f"/api/v1{route.path}"][route.method.lower()]["x-role"] == route.role
        assert route.role == "operator" or not route.changes or route.path == "/plan"


def test_every_route_that_changes_something_wants_an_operator(fuzzed: Web) -> None:
    from simian.web.app import ROUTES

    for route in ROUTES:
        if route.changes and route.path != "/plan":
            path = f"/api/v1{route.path}".replace("{run}", "x").replace("{name}", "x")
            with fuzzed.client(headers={"Origin": fuzzed.url}) as client:
                answer: httpx.Response = client.request(route.method, path, json={})
            assert answer.status_code == 401, route


def test_the_log_has_no_defect(fuzzed: Web) -> None:
    assert "Traceback" not in Path(fuzzed.log).read_text()
