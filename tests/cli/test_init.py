"""``simian init``: a compose project of anybody's described, its own files untouched."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from simian.compose import Project, read_project
from simian.config import load_config

from .conftest import Answer, Program

ROOT = Path(__file__).parents[2]
SHOP = """\
services:
  web:
    build: .
    ports: ["8080:80"]
    environment: {API: "http://api:8000", CACHE: "redis://cache:6379"}
  api:
    build: .
    environment: {DB: "postgres://db:5432/x", CACHE: "redis://cache:6379"}
    healthcheck: {test: "curl -f http://localhost:8000/health"}
  cache: {image: "redis:7"}
  db: {image: "postgres:15", labels: {simian.zone: local-b}}
"""
WRITTEN = ["simian.yaml", "compose.simian.yaml", "compose.simian-proxy.json", "compose.simian-proxy-2.json"]


@pytest.fixture
def theirs(nowhere: Program) -> Program:
    """A folder with somebody's compose file."""
    nowhere.file("docker-compose.yml", SHOP)
    return nowhere


def both(program: Program) -> Project:
    """The project with the override on it, as compose would have it."""
    return read_project([program.folder / "docker-compose.yml", program.folder / "compose.simian.yaml"], {})


def test_a_configuration_and_an_override_are_written_and_the_users_own_file_is_left_alone(theirs: Program) -> None:
    answer = theirs("init", "--compose", "docker-compose.yml")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[:3] == [
        "folder: 4 services, 4 links, 1 published ports",
        "wrote simian.yaml",
        "wrote compose.simian.yaml",
    ]
    assert "  docker compose -f docker-compose.yml -f compose.simian.yaml up -d" in answer.out.splitlines()
    assert (theirs.folder / "docker-compose.yml").read_text() == SHOP
    config = load_config(theirs.folder / "simian.yaml")
    assert config.system == "folder"
    assert config.world_settings()["platform"] == {"driver": "docker", "project": "folder"}
    assert config.world_settings()["network"] == {"driver": "docker"}
    assert [check.probe for check in config.steady_state] == [{"http": "http://127.0.0.1:8080/", "within": "2s"}]
    assert (config.exposure, config.limits.radius) == ("assumed", "zone")
    assert theirs("validate", "simian.yaml").code == 0


def test_services_are_opted_in_and_placed_by_labels_in_the_override(theirs: Program) -> None:
    assert theirs("init").code == 0
    labels = {name: dict(one.labels) for name, one in both(theirs).services.items()}
    where = {"simian.enabled": "true", "simian.region": "local"}
    assert labels == {
        "api": where | {"simian.zone": "local-a", "simian.ask": "http://:8000/health"},
        "cache": where | {"simian.zone": "local-a", "simian.ask": "redis://:6379"},
        "db": where | {"simian.zone": "local-b", "simian.ask": "postgres://:5432"},
        "web": where | {"simian.zone": "local-a", "simian.ask": "http://:80/"},
    }
    assert "simian.zone" not in (theirs.folder / "compose.simian.yaml").read_text().partition("  db:")[2].split("\n")[1]


def test_chosen_links_go_through_proxies_and_no_others(theirs: Program) -> None:
    answer = theirs("init", "--proxy", "api--cache", "--proxy", "web--api", "--json")
    assert answer.code == 0
    assert answer.document["written"] == WRITTEN[:3]
    assert {link["name"]: link["proxied"] for link in answer.document["links"]} == {
        "api--cache": True, "api--db": False, "web--api": True, "web--cache": False,
    }  # fmt: skip
    services = both(theirs).services
    assert {name: dict(one.links) for name, one in services.items() if one.links} == {
        "api": {"cache": "simian-proxy"},
        "web": {"api": "simian-proxy"},
    }
    proxy = services["simian-proxy"]
    assert (proxy.image, proxy.labels["simian.role"]) == ("ghcr.io/shopify/toxiproxy:2.12.0", "instrument")
    assert [(port.host, port.published, port.target) for port in proxy.ports] == [("127.0.0.1", 8474, 8474)]
    network = load_config(theirs.folder / "simian.yaml").world_settings()["network"]
    assert network["servers"] == {"simian-proxy": "http://127.0.0.1:8474"}
    assert network["nodes"] == {"simian-proxy": "folder-simian-proxy-1"}
    assert [(link["name"], link["ask"]) for link in network["links"]] == [
        ("api--cache", "redis://folder-simian-proxy-1:6379"),
        ("web--api", "http://folder-simian-proxy-1:8000/health"),
    ]


def test_all_links_go_through_as_many_proxies_as_their_ports_need(theirs: Program) -> None:
    told = theirs("init", "--proxy", "all", "--api-port", "9000", "--json").document
    assert told["written"] == WRITTEN
    network = load_config(theirs.folder / "simian.yaml").world_settings()["network"]
    assert network["servers"] == {
        "simian-proxy": "http://127.0.0.1:9000",
        "simian-proxy-2": "http://127.0.0.1:9001",
    }
    assert all(link["proxied"] for link in told["links"])


def test_a_proxy_between_internal_networks_has_a_way_in_and_the_file_says_how_it_goes_away(nowhere: Program) -> None:
    nowhere.file(
        "compose.yaml",
        "services:\n  web: {image: x, networks: [inner], environment: {D: 'db:5432'}}\n"
        "  db: {image: postgres, networks: [inner]}\nnetworks: {inner: {internal: true}}\n",
    )
    assert nowhere("init", "--proxy", "all").code == 0
    text = (nowhere.folder / "compose.simian.yaml").read_text()
    assert "# Then `docker network rm folder_simian-proxy`" in text
    both = read_project([nowhere.folder / "compose.yaml", nowhere.folder / "compose.simian.yaml"], {})
    assert set(both.services["simian-proxy"].networks) == {"inner", "simian-proxy"}
    assert text.endswith("networks:\n  simian-proxy: {}\n")


def test_json_tells_what_was_found_and_what_to_do_next(theirs: Program) -> None:
    told = theirs("init", "--json").document
    assert set(told) == {"written", "system", "services", "links", "checks", "remarks", "next"}
    assert told["services"][0] == {"name": "api", "region": "local", "zone": "local-a", "enabled": True}
    assert told["links"][0] == {
        "name": "api--cache", "source": "api", "target": "cache", "port": 6379, "why": "CACHE", "proxied": False,
    }  # fmt: skip
    assert told["checks"] == [{"check": "web answers", "http": "http://127.0.0.1:8080/", "guessed": True}]
    assert (told["remarks"], told["next"][2]) == ([], "simian doctor")


def test_the_line_that_made_it_makes_it_again_named_calls_and_all(nowhere: Program) -> None:
    nowhere.file("compose.yaml", "services: {a: {image: x, environment: {R: 'redis:6379'}}, redis: {image: redis},"
                                 " b: {image: y}, c: {image: z}}")  # fmt: skip
    assert nowhere("init", "--proxy", "all", "--proxy", "b--redis", "--proxy", "b--c:80").code == 0
    first = (nowhere.folder / "simian.yaml").read_text()
    line = "simian init --compose compose.yaml --proxy all --proxy b--redis:6379 --proxy b--c:80"
    assert line in " ".join(first.replace("\n#", " ").split())
    assert nowhere(*line.split()[1:], "--force").code == 0
    assert (nowhere.folder / "simian.yaml").read_text() == first


def test_where_nothing_tells_who_calls_whom_the_way_to_say_it_is_told(nowhere: Program) -> None:
    nowhere.file("compose.yaml", "services: {a: {image: x, ports: ['80:80']}, redis: {image: redis}}")
    assert "name who does, as --proxy SOURCE--TARGET" in nowhere("init", "--proxy", "all").err
    assert nowhere("init").code == 0
    text = (nowhere.folder / "simian.yaml").read_text()
    assert ("Nothing tells who calls whom" in text, "--proxy all" in text) == (True, False)


def test_nothing_is_overwritten_without_force(theirs: Program) -> None:
    mine = theirs.file("simian.yaml", "system: mine\nplatform: {driver: memory}\n")
    refused = theirs("init")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "error: simian.yaml is there already; move it away, or say --force to overwrite it\n"
    assert mine.read_text().startswith("system: mine")
    assert not (theirs.folder / "compose.simian.yaml").exists()
    assert theirs("init", "-o", "other.yaml").code == 0
    again = theirs("init")
    assert again.err.count("is there already") == 2
    assert theirs("init", "--force").code == 0
    assert load_config(mine).system == "folder"


def test_made_twice_it_is_the_same(theirs: Program) -> None:
    assert theirs("init", "--proxy", "all").code == 0
    first = {name: (theirs.folder / name).read_bytes() for name in WRITTEN}
    assert theirs("init", "--proxy", "all", "--force").code == 0
    assert {name: (theirs.folder / name).read_bytes() for name in WRITTEN} == first


def test_a_wrong_compose_file_is_told_with_line_and_key(nowhere: Program) -> None:
    nowhere.file(
        "compose.yaml", "services:\n  web:\n    image: x\n    ports: ['80:x']\n    depends_on: [bd]\n  db: {}\n"
    )
    answer = nowhere("init")
    assert (answer.code, answer.out) == (2, "")
    assert [line.partition(";")[0] for line in answer.err.splitlines()] == [
        "error: compose.yaml:4: services.web.ports.0: 'x' is no port",
        "error: compose.yaml:5: services.web.depends_on.bd: no service is called 'bd'",
        "error: compose.yaml:6: the service has neither an image nor a build",
    ]
    assert os.listdir(nowhere.folder) == ["compose.yaml"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (["--compose", "gone.yml"], "gone.yml: cannot be read: No such file or directory"),
        (["--proxy", "web--bd"], "--proxy: no link is called 'web--bd'"),
        (["--compose", "docker-compose.yml", "--compose", "compose.simian.yaml"], "is what this command writes"),
        (["-o", "no/such/folder/simian.yaml"], "cannot be written: No such file or directory"),
        (["--api-port", "0"], "invalid value for '--api-port'"),
    ],
)
def test_a_wrong_line_says_what_would_be_right(theirs: Program, line: list[str], why: str) -> None:
    theirs.file("compose.simian.yaml", "services: {web: {labels: {a: b}}}") if "compose.simian.yaml" in line else None
    answer = theirs("init", *line)
    assert answer.code == 2
    assert why in answer.err
    assert not (theirs.folder / "simian.yaml").exists()


def test_without_a_compose_file_the_usual_names_are_told(nowhere: Program) -> None:
    assert "no compose file is here (compose.yaml, " in nowhere("init").err


def test_the_override_that_compose_itself_would_read_is_read_too(theirs: Program) -> None:
    theirs.file("docker-compose.override.yml", "services: {more: {image: nginx}}")
    told = theirs("init", "--json").document
    assert "more" in [one["name"] for one in told["services"]]
    assert "-f docker-compose.yml -f docker-compose.override.yml -f compose.simian.yaml" in told["next"][0]


def test_what_is_not_understood_stands_in_the_file_and_on_the_screen(theirs: Program) -> None:
    theirs.file(
        "docker-compose.yml", f"{SHOP}  dark: {{image: acme/dark, colour: black, environment: {{A: 'api:1'}}}}\n"
    )
    answer = theirs("init")
    text = " ".join((theirs.folder / "simian.yaml").read_text().replace("\n#", " ").split())
    for said in (
        "services.dark.colour: no key of a service that is known here",
        "nothing tells how dark is asked",
    ):
        assert said in answer.err
        assert said in text


def test_names_of_a_strangers_file_break_out_of_no_comment_and_steer_no_terminal(theirs: Program) -> None:
    theirs.file("docker-compose.yml", 'services:\n  "a\\nsystem: b\\e[2J": {image: x, ports: [80]}\n')
    answer = theirs("init")
    assert answer.code == 0
    assert "\x1b" not in answer.err + answer.out
    assert load_config(theirs.folder / "simian.yaml").system == "folder"


def on_a_terminal(program: Program, typed: str, *line: str) -> Answer:
    """The program with somebody at a terminal, who types this."""
    ours, its = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "simian", *line],
            cwd=program.folder, env=program.environment, stdin=its, stdout=subprocess.PIPE, stderr=its, text=True,
        ) as process:  # fmt: skip
            os.close(its)
            os.write(ours, typed.encode())
            assert process.stdout is not None
            out, said = process.stdout.read(), ""
            with suppress(OSError):  # nothing was said, and nobody holds the other end any more
                said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
    return Answer(process.returncode, out, said)


def test_on_a_terminal_regions_and_zones_are_asked_for(theirs: Program) -> None:
    answer = on_a_terminal(theirs, "east/east-a\n\nnon sense\nwest / west-a\n", "init")
    assert answer.code == 0
    assert "Where does each service run?" in answer.err
    assert "is no place; right would be REGION/ZONE" in answer.err
    labels = {name: one.labels for name, one in both(theirs).services.items()}
    assert {name: (one["simian.region"], one["simian.zone"]) for name, one in labels.items()} == {
        "api": ("east", "east-a"),
        "cache": ("east", "east-a"),
        "db": ("local", "local-b"),
        "web": ("west", "west-a"),
    }


def test_with_yes_nothing_is_asked(theirs: Program) -> None:
    answer = on_a_terminal(theirs, "", "init", "--yes")
    assert (answer.code, "Where" in answer.err) == (0, False)


def test_the_shop_in_the_examples_is_as_init_makes_it(nowhere: Program) -> None:
    example = ROOT / "examples" / "shop"
    nowhere.file("docker-compose.yml", (example / "docker-compose.yml").read_text())
    assert nowhere("init", "--proxy", "all").code == 0
    for name in WRITTEN[:3]:
        assert (nowhere.folder / name).read_text() == (example / name).read_text()
    assert Program(example, nowhere.environment)("validate", "simian.yaml", "silent-cache.yaml").code == 0
