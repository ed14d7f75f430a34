"""Probes and exposure in files, as people meet them: validate, schemas, a missing secret."""

import json

import pytest

from .conftest import MEMORY, Call, Program

CHECKS = """\
steady_state:
  - check: errors in Prometheus
    probe: {prometheus: 'sum(rate(http_5xx[10s]))', url: http://127.0.0.1:9090, token: {env: SIMIAN_TEST_TOKEN}}
    tolerance: "<= 0.1"
  - check: orders
    probe: {sql: 'SELECT count(*) FROM orders WHERE state = :state', url: 'postgresql+psycopg://simian@db/shop',
            parameters: {state: open}, password: {file: secrets/db}}
    tolerance: ">= 1"
"""
EXPOSURE = "exposure: {prometheus: 'sum(http_requests_total{instance=\"web-1\"})', url: http://127.0.0.1:9090}\n"
EXPERIMENT = "experiment: x\nmonkey: gorilla\n"


def test_both_kinds_of_file_may_have_them(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", MEMORY + CHECKS + EXPOSURE)
    shop.file("mine.yaml", EXPERIMENT + CHECKS + EXPOSURE)
    answer = call("validate", "simian.yaml", "mine.yaml")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("exposure: {promtheus: up}\n", "exposure: no probe is called 'promtheus'; did you mean 'prometheus'?"),
        ("exposure: {prometheus: up, ulr: http://127.0.0.1}\n", "did you mean 'url'?"),
        (
            "exposure: {sql: UPDATE a SET b = 1, url: sqlite:///a.db}\n",
            "the statement begins with UPDATE; right would be",
        ),
        ("exposure: {sql: SELECT 1, url: 'postgresql://me:hunter2@db/shop'}\n", "give password: {env: NAME}"),
        ("exposure: {prometheus: up, url: http://127.0.0.1, token: hunter2}\n", "a secret is never written down"),
        ("exposure: [up]\n", "right would be 'required' or 'assumed', or the probe of a counter"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_secrets(
    wrong: str, said: str, shop: Program, call: Call
) -> None:
    for name, text in {"simian.yaml": MEMORY, "mine.yaml": EXPERIMENT}.items():
        shop.file("simian.yaml", MEMORY)
        shop.file(name, text + wrong)
        answer = call("validate", name)
        assert answer.code == 2
        assert f"{name}:{text.count(chr(10)) + 1}: exposure: " in answer.err
        assert said in answer.err
        assert "hunter2" not in answer.err


def test_a_run_without_its_secret_is_refused_before_it_begins(
    shop: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.file("simian.yaml", MEMORY + CHECKS + EXPOSURE.replace("9090}", "9090, token: {env: SIMIAN_TEST_COUNTER}}"))
    guard = "guards: [{alertmanager: http://127.0.0.1:9093, token: {env: SIMIAN_TEST_GUARD}}]\n"
    shop.file("simian.yaml", (shop.folder / "simian.yaml").read_text() + guard)
    answer = call("gorilla", "--yes")
    assert answer.code == 2
    told = "guard: alertmanager http://127.0.0.1:9093: the environment variable SIMIAN_TEST_GUARD is not set"
    assert told in answer.err
    assert "errors in Prometheus: the environment variable SIMIAN_TEST_TOKEN is not set" in answer.err
    assert f"orders: the secret's file {shop.folder}/secrets/db cannot be read" in answer.err
    assert "exposure: the environment variable SIMIAN_TEST_COUNTER is not set" in answer.err
    assert call("gorilla", "--plan").code == 0
    shop.file("secrets/db", "hunter2")
    monkeypatch.setenv("SIMIAN_TEST_TOKEN", "hunter2")
    monkeypatch.setenv("SIMIAN_TEST_COUNTER", "hunter2")
    monkeypatch.setenv("SIMIAN_TEST_GUARD", "hunter2")
    answer = call("gorilla", "--yes")
    assert answer.code == 3, "a world in memory is not run on"
    assert "hunter2" not in answer.err


@pytest.mark.parametrize("of", ["experiment", "config"])
def test_the_schemas_know_exposure(of: str, call: Call) -> None:
    schema = json.loads(call("experiments", "schema", of).out)
    found = schema["properties"]["exposure"]
    assert found["anyOf"] == [{"enum": ["required", "assumed"]}, {"type": "object", "minProperties": 1}]
    assert found["default"] == "required"


def test_the_schema_knows_every_kind_of_guard(call: Call) -> None:
    guard = json.loads(call("experiments", "schema", "config").out)["$defs"]["GuardPart"]["properties"]
    assert set(guard) == {
        "http", "prometheus", "alertmanager", "file", "command", "expect", "url", "tolerance", "matching", "token",
        "max_age", "every", "deadline",
    }  # fmt: skip
