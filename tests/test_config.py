"""simian.yaml: the system, its drivers, its limits; and the way from there to a world."""

import contextlib
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simian.clock import SystemClock
from simian.config import Config, config_schema, load_config, parse_config, resolved
from simian.drivers import build_world
from simian.errors import UsageError
from simian.guards import Guards
from simian.monkey import find_monkeys
from simian.probe import AbortCondition, Check
from simian.probes import find_probes
from simian.request import RunRequest
from simian.steady_state import SteadyState
from simian.topology import Topology

EXAMPLE = Path(__file__).parent.parent / "examples" / "own-monkey" / "simian.yaml"
GOOD = """\
system: shop
history: runs.db
platform: {driver: process, manifest: lab/manifest.json}
network: {driver: toxiproxy, servers: {east: http://127.0.0.1:8474}}
requests: {driver: filter, services: {m: {url: http://127.0.0.1:9001/faults, token: {env: FAULTS_TOKEN}},
                                      n: {url: http://127.0.0.1:9002/faults, token: {file: token}}}}
observer: {driver: socket}
users: {feed: 127.0.0.1:9900}
limits: {radius: zone, at_once: 1, runs_per_day: 20, never: ["store-*"]}
calendar: {zone: Europe/Berlin, hours: "09:00-15:00", days: mon-fri, closed: ["2026-12-20..2027-01-06"]}
guards: [{http: https://status.example/ok}, {file: no-chaos}]
plugins: [./chaos]
steady_state:
  - {check: streams start, probe: {users: success_share, kind: play}, tolerance: ">= 99.9 %"}
abort: [{check: streams start, below: "90 %"}]
monkeys: {chaos: {service: web}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chaos").mkdir()
    (tmp_path / "token").write_text("abc\n")
    (tmp_path / "simian.yaml").write_text(GOOD)
    return tmp_path


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "simian.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        load_config(path)
    return [line.removeprefix(f"{path}:") for line in raised.value.problems]


def test_a_configuration_is_read_whole_with_paths_beside_its_file(folder: Path) -> None:
    found = load_config(folder / "simian.yaml")
    assert (found.system, found.history) == ("shop", str(folder / "runs.db"))
    assert found.plugins == (str(folder / "chaos"),)
    assert found.monkeys == {"chaos": {"service": "web"}}
    world = found.world_settings()
    assert set(world) == {"platform", "network", "requests", "observer"}
    assert world["platform"] == {"driver": "process", "manifest": str(folder / "lab" / "manifest.json")}
    assert world["network"]["servers"] == {"east": "http://127.0.0.1:8474"}


def test_the_configuration_gives_its_part_of_a_request(folder: Path) -> None:
    said = load_config(folder / "simian.yaml").for_request()
    request = RunRequest(run="r", system="shop", seed=1, settings={}, state_folder="x", **said)
    assert RunRequest.from_json(json.loads(json.dumps(request.to_json()))).limits == {
        "radius": "zone", "at_once": 1, "runs_per_day": 20, "never": ["store-*"],
    }  # fmt: skip
    assert request.users_feed == "127.0.0.1:9900"
    pace = {"every_s": 5.0, "deadline_s": 3.0}
    assert request.guards == [
        {"http": "https://status.example/ok", **pace}, {"file": str(folder / "no-chaos"), **pace},
    ]  # fmt: skip
    checks = [Check.from_json(check) for check in request.checks]
    aborts = [AbortCondition.from_json(abort) for abort in request.aborts]
    assert SteadyState(checks, aborts).verdicts()[0].check == "streams start"


GUARDS = """\
guards:
  - {http: https://status.example/ok, expect: 204, every: 2s, deadline: 500ms}
  - {prometheus: 'sum(rate(errors[1m]))', url: http://127.0.0.1:9090, tolerance: "<= 0", token: {file: prom},
     max_age: 30s}
  - {alertmanager: http://127.0.0.1:9093, matching: {file: x}, token: {env: AM_TOKEN}}
  - {file: no-chaos}
  - {command: [./may-we, "--really"]}
"""


def test_guards_of_every_kind_are_read_with_paths_beside_the_file(folder: Path) -> None:
    (folder / "simian.yaml").write_text(GOOD.replace(GOOD[GOOD.index("guards:") : GOOD.index("plugins:")], GUARDS))
    made = json.loads(json.dumps(load_config(folder / "simian.yaml").for_request()["guards"]))
    pace = {"every_s": 5.0, "deadline_s": 3.0}
    url = "http://127.0.0.1:9090"
    assert made == [
        {"http": "https://status.example/ok", "expect": 204, "every_s": 2.0, "deadline_s": 0.5},
        {"prometheus": "sum(rate(errors[1m]))", "url": url, "tolerance": "<= 0", "max_age": "30s", **pace}
        | {"token": {"file": str(folder / "prom")}},
        {"alertmanager": "http://127.0.0.1:9093", "matching": {"file": "x"}, "token": {"env": "AM_TOKEN"}, **pace},
        {"file": str(folder / "no-chaos"), **pace},
        {"command": [str(folder / "may-we"), "--really"], **pace},
    ]
    assert [check.name.split()[1] for check in Guards(made).checks] == [
        "http", "prometheus", "alertmanager", "file", "command",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{}", "11: guards.0: a guard asks one thing; right would be one of {http: URL}, {prometheus"),
        ("{file: a, http: 'http://x'}", "11: guards.0: a guard asks one thing"),
        ("{token: hunter2}", "11: guards.0: a guard asks one thing"),
        ("{htpp: 'http://x'}", "11: guards.0.htpp: unknown key; did you mean 'http'?"),
        ("{http: 'ftp://x'}", "11: guards.0.http"),
        ("{http: 'http://me:hunter2@x/'}", "11: guards.0: probe 'http': an address with a password"),
        ("{http: 'http://x', expect: 2000}", "11: guards.0.expect"),
        ("{http: 'http://x', tolerance: '<= 1'}", "11: guards.0.tolerance: does not go with http; right would be"),
        ("{http: 'http://x', every: 5}", "11: guards.0.every"),
        ("{http: 'http://x', every: 10m}", "11: guards.0.every"),
        ("{http: 'http://x', deadline: 0s}", "11: guards.0.deadline"),
        ("{prometheus: up}", "11: guards.0: needs url and tolerance; right would be {prometheus: QUERY,"),
        ("{prometheus: up, url: 'http://x', tolerance: few}", "11: guards.0.tolerance: 'few' is no tolerance"),
        ("{prometheus: up, url: 'http://x', tolerance: '<= 2 x baseline'}", "has no baseline before a run"),
        ("{prometheus: up, url: x, tolerance: '<= 0'}", "11: guards.0: probe 'prometheus': url: "),
        ("{prometheus: up, url: 'http://x', tolerance: '<= 0', token: hunter2}", "a secret is never written down"),
        ("{alertmanager: 'http://x', matching: {severity: 1}}", "11: guards.0.matching.severity: 1 is wrong"),
        ("{alertmanager: 'http://x', matching: {'a b': c}}", "'a b' is no label"),
        ("{alertmanager: 'http://x?a=b'}", "goes on after its path"),
        ("{command: ls}", "11: guards.0.command: 'ls' is wrong; right would be a list"),
        ("{command: []}", "11: guards.0.command"),
        ("{command: [1]}", "11: guards.0.command.0: 1 is wrong; right would be a text"),
        ("{file: a}, {file: a}", "11: guards.1: 'file a' is there twice; once is enough"),
        ("5", "11: guards.0: 5 is wrong; right would be a mapping"),
    ],
)
def test_a_wrong_guard_says_where_and_what_would_be_right(folder: Path, wrong: str, said: str) -> None:
    old = GOOD[GOOD.index("guards:") : GOOD.index("plugins:")]
    found = problems(folder, GOOD.replace(old, f"guards: [{wrong}]\n"))
    assert any(said in line for line in found), found
    assert "hunter2" not in str(found)
    assert len(found) == 1


@pytest.mark.parametrize(("line", "wanted"), [("", "required"), ("exposure: assumed\n", "assumed")])
def test_exposure_is_required_unless_the_configuration_says_that_it_is_assumed(
    folder: Path, line: str, wanted: str
) -> None:
    (folder / "simian.yaml").write_text(GOOD + line)
    assert load_config(folder / "simian.yaml").for_request()["exposure"] == wanted


def test_secrets_are_shown_to_be_there_but_kept_by_reference(folder: Path) -> None:
    found = load_config(folder / "simian.yaml")
    services = resolved(found, {"FAULTS_TOKEN": "secret"})["requests"]["services"]
    assert services["m"]["token"] == {"env": "FAULTS_TOKEN"}
    assert services["n"]["token"] == {"file": str(folder / "token")}
    (folder / "token").unlink()
    with pytest.raises(UsageError, match=r"requests: .*FAULTS_TOKEN"):
        resolved(found, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("driver: toxiproxy", "driver: toxiproxi"),
            "4: network.driver: no network driver is called 'toxiproxi'; did you",
        ),
        (("system: shop\n", ""), "1: system: is missing"),
        (
            ("{users: success_share, kind: play}", "{http: 'http://127.0.0.1/', within: 500ms}"),
            "14: steady_state.0: its deadline, 0.5 s, is not after `within`; give it twice as much",
        ),
        (("{driver: socket}", "{}"), "7: observer.driver: is missing"),
        (("127.0.0.1:9900", "here"), "8: users.feed"),
        (("radius: zone", "radius: zones"), "9: limits.radius: 'zones' is wrong"),
        (("at_once: 1", "at_onec: 1"), "did you mean 'at_once'?"),
        (("at_once: 1", "at_once: 0"), "9: limits.at_once"),
        (("Europe/Berlin", "Europe/Berlinn"), "10: calendar"),
        (("Europe/Berlin", "Europe"), "10: calendar"),
        (("09:00-15:00", "9 to 5"), "10: calendar"),
        (("mon-fri", "mon-fry"), "10: calendar"),
        (("2026-12-20..", "2026-13-20..2026-"), "10: calendar"),
        (("{file: no-chaos}", "{}"), "11: guards.1: "),
        (("http: https://status.example/ok", "http: file:///etc/passwd"), "11: guards.0.http"),
        (("./chaos", "./caos"), "12: plugins.0: "),
        (("users: success_share", "user: success_share"), "did you mean 'users'?"),
        (("check: streams start, below", "check: stream, below"), "15: abort.0.check: "),
        (("monkeys: {chaos: {service: web}}", "monkeys: [chaos]"), "16: monkeys: "),
        (("monkeys:", "monkies:"), "did you mean 'monkeys'?"),
    ],
)
def test_a_wrong_configuration_says_where_and_what_would_be_right(
    folder: Path, change: tuple[str, str], said: str
) -> None:
    changed = GOOD.replace(*change)
    assert changed != GOOD
    assert any(said in line for line in problems(folder, changed))


def test_all_problems_come_at_once(folder: Path) -> None:
    text = (
        GOOD.replace("zone, at_once", "zones, at_once").replace("./chaos", "./caos").replace("success_share", "sucess")
    )
    assert len(problems(folder, text)) == 3


KEYS = [field.alias or name for name, field in Config.model_fields.items()]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
parts = st.sampled_from(["zone", "hours", "days", "closed", "driver", "http", "file", "check", "probe", "tolerance"])


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(KEYS), values | st.dictionaries(parts, values) | st.lists(st.dictionaries(parts, values))
    )
)
def test_no_data_makes_a_traceback(folder: Path, data: dict[str, object]) -> None:
    (folder / "simian.yaml").write_text(json.dumps(data))
    with contextlib.suppress(UsageError):
        load_config(folder / "simian.yaml")


def test_the_schema_knows_every_key_and_asks_for_no_more_than_system_and_platform() -> None:
    schema = config_schema()
    assert set(schema["properties"]) == set(KEYS)
    assert schema["required"] == ["system", "platform"]


# --- a stranger's folder


def test_a_strangers_monkey_and_probe_are_found_by_naming_their_folder() -> None:
    found = load_config(EXAMPLE)
    monkeys = find_monkeys([Path(folder) for folder in found.plugins])
    probes, broken = find_probes(found.plugins)
    assert (monkeys.broken, broken) == ([], [])
    assert probes["queue depth"].doc.startswith("Messages waiting")
    world = build_world(found.world_settings(), clock=SystemClock(), environment={})
    topology = Topology("shop", tuple(world.platform.nodes()), tuple(world.network.links()))
    (fault,) = monkeys.get("oldest-first")(topology, Random(1), service="members")
    assert fault.kind == "kill"
    assert topology.node(fault.target).service == "members"


def with_own_numbers(text: str = GOOD) -> str:
    probe = "{sql: SELECT 1, url: sqlite:///run/shop.db, password: {file: token}}"
    check = f"{{check: orders, probe: {probe}, tolerance: '>= 1'}}"
    exposure = "exposure: {prometheus: up, url: http://127.0.0.1:9090, token: {file: token}}\n"
    return text.replace("abort:", f"  - {check}\nabort:") + exposure


def test_files_that_probes_name_are_beside_the_file_that_names_them(folder: Path) -> None:
    (folder / "simian.yaml").write_text(with_own_numbers())
    said = load_config(folder / "simian.yaml").for_request()
    assert said["checks"][1]["probe"] == {
        "sql": "SELECT 1",
        "url": f"sqlite:///{folder}/run/shop.db",
        "password": {"file": str(folder / "token")},
    }
    assert said["exposure"]["token"] == {"file": str(folder / "token")}
    elsewhere = with_own_numbers().replace("sqlite:///run/shop.db", "sqlite:////srv/shop.db")
    (folder / "simian.yaml").write_text(elsewhere.replace("{file: token}", "{file: /srv/token}"))
    said = load_config(folder / "simian.yaml").for_request()
    assert said["checks"][1]["probe"]["url"] == "sqlite:////srv/shop.db"
    assert said["exposure"]["token"] == {"file": "/srv/token"}


def test_an_environment_of_a_command_is_no_secret(folder: Path) -> None:
    check = "{check: x, probe: {command: [/bin/true], environment: {file: orders.csv}}, tolerance: '>= 99 %'}"
    (folder / "simian.yaml").write_text(GOOD.replace("abort:", f"  - {check}\nabort:"))
    said = load_config(folder / "simian.yaml").for_request()
    assert said["checks"][1]["probe"]["environment"] == {"file": "orders.csv"}


def test_exposure_is_required_assumed_or_a_probe(folder: Path) -> None:
    assert load_config(folder / "simian.yaml").for_request()["exposure"] == "required"
    (folder / "simian.yaml").write_text(GOOD + "exposure: assumed\n")
    assert load_config(folder / "simian.yaml").for_request()["exposure"] == "assumed"
    for wrong, said in [
        ("{promtheus: up}", "did you mean 'prometheus'?"),
        ("{prometheus: up}", "needs 'url'"),
        ("{}", "no probe is called ''"),
        ("{users: success_share}", "right would be exposure: required"),
        ("maybe", "'required' or 'assumed', or the probe of a counter"),
        ("3", "'required' or 'assumed', or the probe of a counter"),
        ("{sql: DROP TABLE a, url: sqlite:///a}", "right would be one that only reads"),
    ]:
        [problem] = problems(folder, GOOD + f"exposure: {wrong}\n")
        assert problem.startswith("17: exposure: "), problem
        assert said in problem


def test_freezes_stand_beside_the_file_that_names_them(tmp_path: Path) -> None:
    text = "system: shop\nplatform: {driver: memory}\ncalendar: {freezes: freezes.ics, holidays: [DE-BY, US]}\n"
    made = parse_config(text, tmp_path / "simian.yaml").for_request()["calendar"]
    assert made == {
        "zone": "UTC", "holidays": ["DE-BY", "US"], "closed": [], "freezes": [str(tmp_path / "freezes.ics")]
    }  # fmt: skip


def test_holidays_of_nowhere_are_told_with_their_line(tmp_path: Path) -> None:
    text = "system: shop\nplatform: {driver: memory}\ncalendar:\n  holidays: DE-XX\n"
    with pytest.raises(UsageError, match=r"simian.yaml:4: calendar.holidays: .*holidays of 'DE-XX' are not known"):
        parse_config(text, tmp_path / "simian.yaml")
