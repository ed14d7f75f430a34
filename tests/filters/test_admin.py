"""The admin interface: who may come in, and what a request can do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simian_filters.admin import BASE, LARGEST_BODY_B, Admin
from simian_filters.rules import Rules

TOKEN = "s3cret"
KEY = {"Authorization": f"Bearer {TOKEN}"}
RULE = {"side": "server", "share": 0.5, "seed": 7, "delay": "100ms"}


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def admin(rules: Rules) -> Admin:
    return Admin(rules, TOKEN)


def put(admin: Admin, rule: Any, mark: str = "simian.r.1") -> int:
    return admin.handle("PUT", f"{BASE}/{mark}", KEY, json.dumps(rule).encode())[0]


def test_a_rule_put_is_listed_with_its_counts(admin: Admin, rules: Rules) -> None:
    assert put(admin, RULE) == 204
    rules.decide("server")
    status, headers, body = admin.handle("GET", BASE, KEY, b"")
    (told,) = json.loads(body)["rules"]
    assert (status, headers["content-type"], headers["content-length"]) == (200, "application/json", str(len(body)))
    assert 0 < told.pop("expires_in_s") <= 10
    assert told.pop("hit") in (0, 1)
    assert told == RULE | {"mark": "simian.r.1", "status": None, "callee": "", "saw": 1}


def test_a_rule_deleted_is_gone_and_deleting_it_again_is_content(admin: Admin, rules: Rules) -> None:
    put(admin, RULE)
    for _ in range(2):
        status, headers, body = admin.handle("DELETE", f"{BASE}/simian.r.1", KEY, b"")
        assert (status, body) == (204, b"")
        assert "content-length" not in headers
    assert rules.listing() == []


@pytest.mark.parametrize("token", [None, ""])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("given_token", ["", TOKEN, "None"])
def test_without_a_token_configured_everything_is_404(
    rules: Rules, token: str | None, method: str, given_token: str
) -> None:
    inert = Admin(rules, token)
    headers = {"authorization": f"Bearer {given_token}"}
    for path in (BASE, f"{BASE}/simian.r.1"):
        assert inert.handle(method, path, headers, json.dumps(RULE).encode())[0] == 404
    assert rules.listing() == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": TOKEN},
        {"authorization": f"bearer {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer sécret"},
        {"authorization": "Bearer \udcff"},
        {"x-authorization": f"Bearer {TOKEN}"},
    ],
)
def test_whoever_has_not_the_token_changes_and_learns_nothing(
    admin: Admin, rules: Rules, headers: dict[str, str]
) -> None:
    put(admin, RULE)
    for method, path in (("GET", BASE), ("PUT", f"{BASE}/x"), ("DELETE", f"{BASE}/simian.r.1"), ("POST", BASE)):
        status, told, body = admin.handle(method, path, headers, json.dumps(RULE).encode())
        assert (status, told["www-authenticate"]) == (401, "Bearer")
        assert b"simian.r.1" not in body
    assert [rule["mark"] for rule in rules.listing()] == ["simian.r.1"]


def test_header_names_may_be_in_any_case(admin: Admin) -> None:
    assert admin.handle("GET", BASE, {"AUTHORIZATION": f"Bearer {TOKEN}"}, b"")[0] == 200


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        (BASE, True),
        (f"{BASE}/", True),
        (f"{BASE}/x", True),
        (f"{BASE}?a=b", True),
        (f"{BASE}x", False),
        ("/", False),
        ("/x" + BASE, False),
    ],
)
def test_the_filter_owns_its_base_and_nothing_beside_it(admin: Admin, path: str, owned: bool) -> None:
    assert admin.owns(path) is owned
    assert (admin.handle("GET", path, KEY, b"")[0] == 404) is not owned


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"share": ' + b"9" * 5_000 + b"}", "is no JSON"),
        (b"[]", "a rule is a JSON object"),
        (b"null", "a rule is a JSON object"),
        (b'{"side": "server", "share": NaN, "seed": 1, "status": 500}', "share is 'nan'"),
        (b'{"mark": "other", "side": "server", "share": 1, "seed": 1, "status": 500}', "not the one in the path"),
    ],
)
def test_a_bad_rule_is_answered_with_its_problems(admin: Admin, rules: Rules, body: bytes, says: str) -> None:
    status, _, told = admin.handle("PUT", f"{BASE}/simian.r.1", KEY, body)
    assert status == 400
    assert says in " ".join(json.loads(told)["problems"])
    assert rules.listing() == []


def test_a_mark_unfit_for_a_header_is_refused(admin: Admin) -> None:
    assert put(admin, RULE, "a%2Cb") == 400
    assert put(admin, RULE, "a/b") == 400


def test_a_body_over_the_limit_is_refused(admin: Admin) -> None:
    assert admin.handle("PUT", f"{BASE}/x", KEY, b" " * (LARGEST_BODY_B + 1))[0] == 413


def test_the_most_numbers_a_delay_may_have_fit_into_a_body(admin: Admin) -> None:
    numbers = ",".join(str(1000 + n / 8) for n in range(10_000))
    assert put(admin, RULE | {"delay": f"empirical:[{numbers}]"}) == 204


@pytest.mark.parametrize(("method", "path"), [("POST", BASE), ("PUT", BASE), ("GET", BASE + "/x"), ("HEAD", BASE)])
def test_other_methods_are_not_allowed(admin: Admin, method: str, path: str) -> None:
    status, headers, _ = admin.handle(method, path, KEY, b"{}")
    assert status == 405
    assert headers["allow"]


@given(st.sampled_from(["GET", "PUT", "DELETE", "BREW"]), st.text(), st.binary())
def test_no_request_makes_it_raise(method: str, tail: str, body: bytes) -> None:
    status, _, _ = Admin(Rules(), TOKEN).handle(method, f"{BASE}/{tail}", KEY, body)
    assert status in (200, 204, 400, 404, 405)
