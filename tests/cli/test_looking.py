"""Commands that look: monkeys, experiments, validate, topology, doctor, status, and plans."""

import json
from pathlib import Path

import pytest

from simian.cli.look import unasked
from simian.topology import Node, Topology

from .conftest import MEMORY, Call, Program

OWN_MONKEY = '''\
from simian import Kill, Radius, monkey

@monkey(radius=Radius.NODE)
def oldest_first(topology, rng, *, service: str = "members"):
    """Kill the node that has been up longest.

    :param service: of which service
    """
    return [Kill(min(node.name for node in topology.candidates(service=service)))]
'''
OWN_PROBE = '''\
from simian import Reading, probe

@probe("queue depth")
def depth(url: str) -> Reading:
    """Messages waiting."""
    return Reading(1.0, url)
'''
ROOT = Path(__file__).parents[2]


RADII = {"chaos": "node", "gorilla": "zone", "kong": "region", "latency": "node", "split-brain": "system"}


def own(shop: Program) -> None:
    shop.file("chaos/oldest_first.py", OWN_MONKEY)
    shop.file("chaos/queue_depth.py", OWN_PROBE)
    check = '{check: short, probe: {queue depth: "http://127.0.0.1/"}, tolerance: "<= 100"}'
    shop.file("simian.yaml", f"{MEMORY}plugins: [./chaos]\nsteady_state: [{check}]\n")


def test_monkeys_are_listed_with_their_radius(call: Call) -> None:
    told = call("monkeys", "--json").document
    assert {m["name"]: m["radius"] for m in told["monkeys"]} == RADII
    assert told["broken"] == []
    assert [line.split()[0] for line in call("monkeys").out.splitlines()] == ["MONKEY", *RADII]


def test_a_monkey_is_shown_with_its_options(call: Call) -> None:
    told = call("monkeys", "show", "gorilla", "--json").document
    assert [(o["name"], o["required"]) for o in told["options"]] == [("zone", False), ("region", False)]
    assert all(option["help"] for option in told["options"])
    text = call("monkeys", "show", "gorilla").out
    assert "reaches a zone at most" in text
    assert "--zone" in text


def test_a_strangers_monkey_is_listed_and_planned_with(shop: Program, call: Call) -> None:
    own(shop)
    found = {m["name"]: m for m in call("monkeys", "--json").document["monkeys"]}
    assert found["oldest-first"]["origin"] == str(shop.folder / "chaos" / "oldest_first.py")
    assert "--service" in call("oldest-first", "--help").out
    plan = call("oldest-first", "--service", "store", "--plan", "--json").document["plan"]
    assert [(f["kind"], f["node"]) for f in plan["stages"][0]["faults"]] == [("kill", "store-east-a")]


def test_a_strangers_monkey_is_planned_with_from_an_experiment_with_a_strangers_probe(
    shop: Program, call: Call
) -> None:
    own(shop)
    check = '{check: short, probe: {queue depth: "http://127.0.0.1/"}, tolerance: "<= 10"}'
    shop.file("mine.yaml", f"experiment: mine\nmonkey: oldest-first\nsteady_state: [{check}]\n")
    assert call("validate", "mine.yaml", "simian.yaml").code == 0
    plan = call("run", "mine.yaml", "--plan", "--json").document["plan"]
    assert [f["node"] for f in plan["stages"][0]["faults"]] == ["members-east-a"]


def test_the_example_of_a_monkey_of_ones_own_works(shop: Program) -> None:
    example = Program(ROOT / "examples" / "own-monkey", shop.environment)
    assert example("validate", "simian.yaml").code == 0
    answer = example("oldest-first", "--plan", "--json")
    assert answer.code == 0
    assert len(answer.document["plan"]["stages"][0]["faults"]) == 1


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_module\n", "no_such_module"),
        ("raise SystemExit(0)\n", "SystemExit"),
        ("def broken(:\n", "SyntaxError"),
        (OWN_MONKEY.replace("oldest_first", "gorilla"), "exists already"),
    ],
    ids=["import", "exit", "syntax", "name taken"],
)
def test_a_broken_plugin_is_named_and_stops_nobody_else(code: str, why: str, shop: Program, call: Call) -> None:
    own(shop)
    broken = shop.file("chaos/broken.py", code)
    told = call("monkeys", "--json").document
    assert [one["origin"] for one in told["broken"]] == [str(broken)]
    assert why in told["broken"][0]["why"]
    assert {"gorilla", "oldest-first"} <= {m["name"] for m in told["monkeys"]}
    assert f"broken: {broken}" in call("monkeys").out
    assert call("gorilla", "--plan").code == 0
    assert call("doctor").code == 4


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise ZeroDivisionError('oops')", 4, "raised ZeroDivisionError: oops"),
        ("raise SystemExit(0)", 4, "raised SystemExit"),
        ("return 'a string'", 4, "a list of faults or of stages would be right"),
        ("return [7]", 4, "returned int among its faults"),
        ("return []", 3, "found nothing to break"),
        ("return [Kill('nobody')]", 3, "nobody"),
        ("return [Kill(n.name) for n in topology.candidates()] * 50", 3, "at most 1000"),
    ],
)
def test_a_monkey_that_misbehaves_is_told(body: str, code: int, said: str, shop: Program, call: Call) -> None:
    own(shop)
    function = "@monkey(radius=Radius.NODE)\ndef wild(topology, rng):\n    " + body + "\n"
    shop.file("chaos/wild.py", f"from simian import Kill, Radius, monkey\n{function}")
    answer = call("wild", "--plan")
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_experiments_are_listed_and_shown(call: Call) -> None:
    listed = call("experiments", "--json").document["experiments"]
    assert {one["monkey"] for one in listed} == set(RADII)
    for one in listed:
        shown = call("experiments", "show", one["name"])
        assert (shown.code, shown.err) == (0, "")
        assert shown.out == (ROOT / "experiments" / f"{one['name']}.yaml").read_text()
        assert call("experiments", "show", one["name"], "--json").document["monkey"] == one["monkey"]
        assert call("validate", str(ROOT / "experiments" / f"{one['name']}.yaml")).code == 0


@pytest.mark.parametrize(("of", "key"), [((), "hypothesis"), (("config",), "platform")], ids=["experiment", "config"])
def test_schemas_are_printed(of: tuple[str, ...], key: str, call: Call) -> None:
    schema = call("experiments", "schema", *of).document
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert key in schema["properties"]


def test_validate_says_what_is_valid(call: Call) -> None:
    assert call("validate", "simian.yaml").out == "valid: simian.yaml\n"
    assert call("validate", "simian.yaml", "--json").document == {"valid": ["simian.yaml"]}


def test_the_topology_has_the_shape_of_the_contract(call: Call) -> None:
    told = call("topology", "--json").document
    assert [region["name"] for region in told["regions"]] == ["east", "west"]
    east = told["regions"][0]
    assert [zone["name"] for zone in east["zones"]] == ["east-a", "east-b", "east-c"]
    assert {node["service"] for node in east["zones"][0]["nodes"]} == {"gateway", "members", "cache", "store"}
    assert {node["service"] for node in east["regional"]} >= {"queue"}
    node = east["zones"][0]["nodes"][0]
    assert set(node) == {"name", "service", "role", "state", "address"}
    assert len(told["links"]) == 38
    assert set(told["links"][0]) == {"name", "from", "to", "state"}


def test_the_doctor_finds_everything_well_and_says_where_things_are_kept(shop: Program, call: Call) -> None:
    told = call("doctor", "--json").document["findings"]
    assert [finding for finding in told if not finding["ok"]] == []
    kept = {finding["what"]: finding["finding"] for finding in told}
    assert kept["journal"] == str(shop.state / "journal.db")
    assert kept["configuration"] == str(shop.folder / "simian.yaml")
    assert call("doctor").code == 0


def test_the_doctor_does_not_take_those_for_well_that_it_cannot_ask() -> None:
    web, worker = Node("web", "web", "east", ask="http://:80/"), Node("worker", "worker", "east")
    proxy = Node("proxy", "proxy", "", role="instrument")
    assert unasked(Topology("shop", (web, worker, proxy))) == ", but for worker, which cannot be asked"
    assert unasked(Topology("shop", (web, proxy))) == ""


def test_the_doctor_finds_what_cannot_be_reached(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", "system: shop\nplatform: {driver: process, manifest: nope.json}\n")
    answer = call("doctor")
    assert answer.code == 4
    assert any(line.startswith("!!") and "nope.json" in line for line in answer.out.splitlines())
    assert "Traceback" not in answer.err


def test_a_topology_that_cannot_be_reached_is_exit_4(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", "system: shop\nplatform: {driver: process, manifest: nope.json}\n")
    answer = call("topology", "--json")
    assert answer.code == 4
    assert answer.document["error"]["kind"] == "unreachable"
    assert "nope.json" in answer.document["error"]["reasons"][0]


def test_a_secret_that_is_not_there_is_told_by_its_name(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", "system: shop\nplatform: {driver: memory, seed: {env: NO_SUCH_SECRET}}\n")
    answer = call("topology")
    assert answer.code == 2
    assert "NO_SUCH_SECRET is not set" in answer.err


def test_status_of_a_quiet_system(call: Call) -> None:
    assert call("status", "--json").document == {"halted": None, "runs": [], "faults": [], "recover": False}
    assert call("status").out == "not halted\nno run, no fault in place\n"


def test_a_plan_is_printed_and_nothing_is_touched(shop: Program, call: Call) -> None:
    answer = call("gorilla", "--zone", "east-a", "--seed", "7", "--plan")
    assert (answer.code, answer.err) == (0, "")
    assert "gorilla with seed 7 would reach a zone" in answer.out
    for node in ("cache", "gateway", "members", "store"):
        assert f"kill {node}-east-a zone=east-a\n" in answer.out
    assert "nothing was touched" in answer.out
    assert not shop.state.exists()


def test_the_same_seed_plans_the_same_and_another_does_not(call: Call) -> None:
    def planned(seed: int) -> object:
        return call("chaos", "--seed", str(seed), "--plan", "--json").document["plan"]

    assert planned(7) == planned(7)
    assert len({json.dumps(planned(seed)) for seed in range(6)}) > 1


def test_the_plan_has_stages_faults_and_hashes(call: Call) -> None:
    plan = call("gorilla", "--plan", "--json").document["plan"]
    assert set(plan) >= {"monkey", "options", "seed", "radius", "stages", "topology_hash", "hash"}
    assert {fault["kind"] for stage in plan["stages"] for fault in stage["faults"]} == {"kill"}


def test_defaults_of_the_configuration_come_between_the_line_and_the_monkey(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", f"{MEMORY}monkeys: {{gorilla: {{zone: west-c}}}}\n")

    def zone(*more: str) -> str:
        options = call("gorilla", *more, "--plan", "--json").document["plan"]["options"]
        return str(options["zone"])

    assert zone() == "west-c"
    assert zone("--zone", "east-b") == "east-b"


def test_every_shipped_experiment_can_be_planned_by_name(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", f"{MEMORY}steering: {{driver: memory}}\ndata: {{driver: memory}}\n")
    for one in call("experiments", "--json").document["experiments"]:
        answer = call("run", one["name"], "--plan", "--json")
        assert answer.code == 0
        assert answer.document["plan"]["monkey"] == one["monkey"]


def test_verbose_tells_which_configuration_is_used(shop: Program, call: Call) -> None:
    answer = call("-v", "topology", "--json")
    assert answer.err == f"configuration: {shop.folder / 'simian.yaml'}\n"
    assert answer.document["regions"]


def test_traffic_shows_where_users_are_sent_and_where_dns_sends_them(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", f"{MEMORY}steering: {{driver: memory}}\n")
    told = call("traffic", "show", "--json").document
    assert told["homes"] == {"east": {"east": 1.0, "west": 0.0}, "west": {"east": 0.0, "west": 1.0}}
    assert {name: (row["weight"], row["seen_by_dns"]) for name, row in told["regions"].items()} == {
        "east": (50.0, 50.0),
        "west": (50.0, 50.0),
    }
    assert told["regions"]["east"]["seen_by_users"] is None, "nobody uses a world that stands still"
    assert told["marks"] == []
    assert "east  east 100 %, west 0 %" in call("traffic", "show").out


def test_traffic_that_nobody_steers_cannot_be_shown(call: Call) -> None:
    answer = call("traffic", "show")
    assert (answer.code, answer.out) == (4, "")
    assert "no steering driver is configured; add a `steering:` section" in answer.err


def test_an_evacuation_is_planned_and_one_without_steering_refused(shop: Program, call: Call) -> None:
    assert call("kong", "--region", "east", "--plan").code == 3
    shop.file("simian.yaml", f"{MEMORY}steering: {{driver: memory}}\n")
    out = call("kong", "--region", "east", "--steps", "50,0", "--plan").out
    stages = [line.split("stage ")[1].partition(" (")[0] for line in out.splitlines() if "stage " in line]
    assert stages == ["failover mode", "mis-routed users", "shift to 50 %", "shift to 0 %", "lights-out"]
    wrong = call("kong", "--steps", "50,60", "--plan")
    assert (wrong.code, wrong.out) == (2, "")
    assert "steps fall from below 100 to 0, like 75,50,25,0; '50,60' does not" in wrong.err
