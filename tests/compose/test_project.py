"""Compose files, odd but legal and wrong, as tables; ``docker compose config`` is asked too where it is installed."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from simian.errors import UsageError
from tests.real_parts import part_missing

from .conftest import Files, Read, compose_tells, told, write

MAIN = "docker-compose.yml"
SYSTEMS = Path(__file__).parent / "systems"


@dataclass(frozen=True)
class Legal:
    """Files, the way they are named, and what is read of a service."""

    files: Files
    right: Mapping[str, Mapping[str, Any]]
    named: Sequence[str] = (MAIN,)
    profiles: Sequence[str] = ()
    environment: Files = field(default_factory=dict)


def one(text: str, **right: Any) -> Legal:
    return Legal({MAIN: text}, {"web": right})


LEGAL = {
    "short ports": one(
        """services: {web: {image: x, ports: [80, "8080:81", "127.0.0.1:8082:82/tcp", "53:53/udp", "[::1]:83:83"]}}""",
        ports=[
            ("", 53, 53, "udp"), ("", 8080, 81, "tcp"), ("", None, 80, "tcp"), ("127.0.0.1", 8082, 82, "tcp"),
            ("::1", 83, 83, "tcp"),
        ],
    ),
    "ranges of ports": one(
        """services: {web: {image: x, ports: ["3000-3001:4000-4001", "5000-5009:50"]}}""",
        ports=[("", 3000, 4000, "tcp"), ("", 3001, 4001, "tcp"), ("", None, 50, "tcp")],
    ),
    "long ports": one(
        "services:\n  web:\n    image: x\n    ports:\n      - {target: 80, published: '8080', host_ip: 127.0.0.1}\n"
        "      - target: 90\n",
        ports=[("", None, 90, "tcp"), ("127.0.0.1", 8080, 80, "tcp")],
    ),
    "environment as a list": one(
        "services: {web: {image: x, environment: [A=1, 'B=a=b', C, D=]}}", environment={"A": "1", "B": "a=b", "D": ""}
    ),
    "environment of many types": one(
        "services: {web: {image: x, environment: {A: 1, B: true, C: null, D: 1.5, E: yes}}}",
        environment={"A": "1", "B": "true", "D": "1.5", "E": "yes"},
    ),
    "merge keys": one(
        "x-a: &a {A: a, B: a}\nx-b: &b {B: b, C: b}\nservices:\n  web:\n    image: x\n"
        "    environment: {<<: [*a, *b], C: own}\n",
        environment={"A": "a", "B": "a", "C": "own"},
    ),
    "an anchor with variables that is used twice": Legal(
        {MAIN: 'x-e: &e {A: "$$HOME ${V}"}\nservices: {web: {image: x, environment: *e},'
               " db: {image: y, environment: *e}}"},
        {"web": {"environment": {"A": "$HOME v"}}, "db": {"environment": {"A": "$HOME v"}}},
        environment={"V": "v"},
    ),
    "a file of variables beside it, and the environment before it": Legal(
        {MAIN: "services: {web: {image: '${I}:${T}'}}", ".env": "I=img\nT=1\n"},
        {"web": {"image": "img:2"}},
        environment={"T": "2"},
    ),
    "health checks": Legal(
        {MAIN: "services:\n  a: {image: x, healthcheck: {test: curl localhost}}\n"
         "  b: {image: x, healthcheck: {test: [CMD, 'true']}}\n  c: {image: x, healthcheck: {disable: true}}\n"
         "  d: {image: x, healthcheck: {test: [NONE]}}\n  e: {image: x, healthcheck: {interval: 5s}}\n"},
        {"a": {"test": ["CMD-SHELL", "curl localhost"]}, "b": {"test": ["CMD", "true"]}, "c": {"test": []},
         "d": {"test": []}, "e": {"test": []}},
    ),
    "both forms of depends_on": Legal(
        {MAIN: "services:\n  web: {image: x, depends_on: [db]}\n"
         "  api: {image: x, depends_on: {db: {condition: service_healthy}, web: {condition: service_started}}}\n"
         "  db: {image: y}\n"},
        {"web": {"depends_on": {"db": "service_started"}},
         "api": {"depends_on": {"db": "service_healthy", "web": "service_started"}}},
    ),
    "networks with and without aliases": one(
        "services: {web: {image: x, networks: {front: , back: {aliases: [w, ww]}}}}\nnetworks: {front: , back: }",
        networks={"front": [], "back": ["w", "ww"]},
    ),
    "no network but the host's": one("services: {web: {image: x, network_mode: host}}", networks={}),
    "a second file on the first": Legal(
        {MAIN: "services: {web: {image: x, ports: ['80:80'], environment: {A: 1, B: 1}, labels: [l=1]}}",
         "more.yml": "services: {web: {image: y, ports: ['81:81'], environment: [B=2], labels: {m: 2}},"
                     " db: {image: z}}"},
        {"web": {"image": "y", "ports": [("", 80, 80, "tcp"), ("", 81, 81, "tcp")], "environment": {"A": "1", "B": "2"},
                 "labels": {"l": "1", "m": "2"}}, "db": {"image": "z"}},
        named=(MAIN, "more.yml"),
    ),
    "taken away and replaced": Legal(
        {MAIN: "services: {web: {image: x, ports: ['80:80'], environment: {A: 1, B: 1}, labels: {l: a}}}",
         "more.yml": "services:\n  web:\n    ports: !reset []\n    environment: {A: !reset null}\n"
                     "    labels: !override {m: b}\n"},
        {"web": {"ports": [], "environment": {"B": "1"}, "labels": {"m": "b"}}},
        named=(MAIN, "more.yml"),
    ),
    "extends in the file and out of it, in two steps": Legal(
        {MAIN: "services:\n  web: {extends: base, environment: {A: web}}\n"
         "  base: {extends: {file: sub/common.yml, service: root}, environment: {A: base, B: base}}\n",
         "sub/common.yml": "services:\n  root: {extends: {service: deep}, env_file: [e.env], labels: {l: '1'}}\n"
                           "  deep: {image: x, environment: [A=d, B=d, C=d]}\n",
         "sub/e.env": "FROM_FILE=1\nC=never\n"},
        {"web": {"image": "x", "environment": {"A": "web", "B": "base", "C": "d", "FROM_FILE": "1"},
                 "labels": {"l": "1"}}},
    ),
    "profiles": Legal(
        {MAIN: "services: {web: {image: x}, debug: {image: y, profiles: [dev]}, other: {image: z, profiles: [ops]}}"},
        {"web": {}, "debug": {}},
        profiles=("dev",),
    ),
    "what can be done without": Legal(
        {MAIN: "services: {web: {image: x, depends_on: {db: {condition: service_started, required: false}}},"
               " db: {image: y, profiles: [data]}}"},
        {"web": {"depends_on": {}}},
    ),
    "another project inside": Legal(
        {MAIN: "include: [sub/inner.yml]\nservices: {web: {image: x, depends_on: [inner]}}",
         "sub/inner.yml": "services: {inner: {image: '${I:-y}'}}", "sub/.env": "I=z\n"},
        {"web": {"depends_on": {"inner": "service_started"}}, "inner": {"image": "z"}},
    ),
    "words of YAML 1.1, CRLF and a byte order mark": one(
        "\ufeffservices:\r\n  web:\r\n    image: x\r\n    labels: {on: off}\r\n", labels={"on": "off"}
    ),
}  # fmt: skip
LEGAL |= {path.stem: Legal({MAIN: path.read_text()}, {}) for path in sorted(SYSTEMS.glob("*.yml"))}


@pytest.mark.parametrize("name", LEGAL)
def test_what_is_legal_is_read(name: str, read: Read) -> None:
    case = LEGAL[name]
    found = told(read(case.files, named=case.named, profiles=case.profiles, **case.environment))
    read_of = {service: {key: found[service][key] for key in keys} for service, keys in case.right.items()}
    assert read_of == case.right


@cache
def compose_is_missing() -> str:
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return f"docker compose is not installed ({type(error).__name__})"
    return ""


@pytest.mark.parametrize("name", LEGAL)
def test_compose_itself_reads_the_same(name: str, read: Read, tmp_path: Path) -> None:
    if why := compose_is_missing():
        part_missing("compose", why)
    case = LEGAL[name]
    project = read(case.files, named=case.named, profiles=case.profiles, **case.environment)
    theirs = compose_tells(tmp_path, case.named, case.profiles, case.environment)
    assert theirs.pop("") == project.name
    ours = told(project)
    for service in {*ours, *theirs}:
        assert ours.get(service) == theirs.get(service), service


def test_which_networks_are_internal_is_read_and_the_last_file_says(read: Read) -> None:
    base = "services: {web: {image: x, networks: [a, b]}}\nnetworks:\n  a: {internal: '${CLOSED}'}\n"
    files = {
        MAIN: f"{base}  b: {{internal: true}}\n  c: {{}}\n  d:\n",
        "more.yml": "networks: {b: {internal: false}, d: {internal: true}}",
    }
    assert read(files, CLOSED="true").internal == {"a", "b"}
    assert read(files, named=list(files), CLOSED="true").internal == {"a", "d"}


WEB = "services: {web: {image: x, %s}}"
WRONG = {
    WEB % "ports: ['80:']": ":1: services.web.ports.0: '' is no port; right would be like 80",
    WEB % "ports: ['99999:80']": ":1: services.web.ports.0: '99999' is no port",
    WEB % "ports: ['1-3:80-81']": ":1: services.web.ports.0: '1-3:80-81': the two ranges",
    WEB % "ports: [{published: 80}]": ":1: services.web.ports.0: a port without a target",
    WEB % "ports: 80": ":1: services.web.ports: 80 is wrong; right would be a list",
    WEB % "healthcheck: {test: [curl]}": ":1: services.web.healthcheck.test: ['curl'] is wrong",
    WEB % "deploy: {replicas: many}": ":1: services.web.deploy.replicas: 'many' is wrong",
    WEB % "<<: 3": "<< takes over mappings",
    WEB % "profiles: [dev]": "choose with --profile: dev",
    WEB % "environment: *gone": "*gone",
    "services: {web: [image]}": ":1: services.web: ['image'] is wrong; right would be a mapping",
    "services: [web]": ":1: services: ['web'] is wrong; right would be a mapping",
    "services:\n  web:\n    command: x\n": ":2: the service has neither an image nor a build",
    "services:\n  web:\n    image: x\n    depends_on:\n      - dbs\n  db: {image: y}": (
        ":4: services.web.depends_on.dbs: no service is called 'dbs'; did you mean 'db'?"
    ),
    "services:\n  web: {image: x, depends_on: [db]}\n  db: {image: y, profiles: [data]}": (
        ":2: services.web.depends_on.db: 'db' is left out as its profile is not chosen; add --profile data"
    ),
    "services:\n  web: {image: x, depends_on: {db: {condition: ready}}}\n  db: {image: y}": (
        ":2: services.web.depends_on.db: {'condition': 'ready'} is wrong; right would be {condition: service_started"
    ),
    "services:\n  web: {extends: wep}": (
        ":2: services.web.extends: no service of docker-compose.yml is called 'wep'; did you mean 'web'?"
    ),
    "services:\n  a: {extends: b}\n  b: {extends: a}": (
        "a circle: docker-compose.yml: a -> docker-compose.yml: b -> docker-compose.yml: a"
    ),
    "services:\n  web: {extends: {file: gone.yml, service: x}}": "gone.yml: cannot be read: No such file or directory",
    "services:\n  web:\n    image: ${X:?set it}": ":3: services.web.image: the variable X must be set: set it",
    "services:\n  web:\n    image: x\n    image: y": ":4: services.web.image: this key is there already, in line 3",
    "services:\n  web:\n    image: !!python/object x": ":3: the tag",
    "include: [docker-compose.yml]\nservices: {web: {image: x}}": "more than 100 files are read; does one lead back",
    "version: '3'": "docker-compose.yml: there is no service in it",
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\nservices: {web: {image: x}}": "more than 8000 values",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_file_line_and_key(text: str, read: Read) -> None:
    with pytest.raises(UsageError) as error:
        read({MAIN: text})
    assert WRONG[text] in str(error.value)
    assert all(problem.startswith(("docker-compose.yml", "gone.yml")) for problem in error.value.problems)


def test_every_problem_is_told_at_once(read: Read) -> None:
    with pytest.raises(UsageError) as error:
        read({MAIN: "services:\n  a: {image: x, ports: [x]}\n  b: {}\n  c: {image: '$', depends_on: [d]}\n"})
    assert [problem.split(":")[1] for problem in error.value.problems] == ["4", "2", "3", "4"]


def test_what_is_not_understood_is_said_and_not_dropped(read: Read) -> None:
    project = read({MAIN: "services:\n  web: {image: '${NONE}x', evironment: {A: 1}, env_file: gone.env}\nextra: 1\n"})
    assert project.remarks == (
        "docker-compose.yml: not set, so taken as empty: NONE",
        "docker-compose.yml:3: extra: no key of a compose file that is known here, left alone; "
        "there are: include, name, networks, services",
        "docker-compose.yml:2: services.web.evironment: no key of a service that is known here, left alone; "
        "did you mean 'environment'?",
        "docker-compose.yml:2: services.web.env_file: gone.env is not there; links that only it tells of are not found",
    )


@pytest.mark.parametrize(
    ("text", "environment", "name"),
    [("name: Mine\n", {}, "mine"), ("", {"COMPOSE_PROJECT_NAME": "over"}, "over"), ("", {}, "my_shop2")],
)
def test_the_project_has_the_name_that_compose_gives_it(
    text: str, environment: Files, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simian.compose import read_project

    folder = tmp_path / "My_Shop.2"
    write(folder, {MAIN: f"{text}services: {{web: {{image: x}}}}"})
    assert read_project([folder / MAIN], environment).name == name
