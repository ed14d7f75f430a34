"""What is worked out from a compose project: questions, calls, checks, places, routes. Pure, as tables."""

from pathlib import Path

import pytest

from simian.adopt.calls import calls_of
from simian.adopt.checks import checks_of
from simian.adopt.places import Place, places_of
from simian.adopt.plan import adopted
from simian.adopt.questions import Question, question_of
from simian.adopt.routes import proxies_for
from simian.compose import Port, Project, Service, read_project
from simian.errors import UsageError

SYSTEMS = Path(__file__).parents[1] / "compose" / "systems"


def project(*services: Service) -> Project:
    return Project("shop", Path(), {one.name: one for one in services})


def system(name: str) -> Project:
    return read_project([SYSTEMS / f"{name}.yml"], {})


@pytest.mark.parametrize(
    ("service", "question"),
    [
        (Service("a", image="postgres:15"), Question("postgres", 5432)),
        (Service("a", image="ghcr.io/acme/timescaledb-ha@sha256:00"), Question("postgres", 5432)),
        (Service("a", image="redis/redis-stack:7"), Question("redis", 6379)),
        (Service("a", image="registry:5000/bitnami/valkey"), Question("redis", 6379)),
        (Service("a", image="oliver006/redis_exporter"), None),
        (Service("a", image="rabbitmq:3"), Question("", 5672)),
        (Service("a", image="nginx:1.27-alpine"), Question("http", 80, "/")),
        (Service("a", test=("CMD-SHELL", "curl -f http://localhost:8000/healthz || exit 1")),
         Question("http", 8000, "/healthz")),
        (Service("a", test=("CMD", "wget", "-qO-", "localhost/up")), Question("http", 80, "/up")),
        (Service("a", test=("CMD", "curl", "http://a:81/")), Question("http", 81, "/")),
        (Service("a", test=("CMD", "python", "-c", "urlopen('http://127.0.0.1:5000/x?y=1')")),
         Question("http", 5000, "/x?y=1")),
        (Service("a", image="nginx", test=("CMD", "curl", "https://localhost/")), Question("http", 80, "/")),
        (Service("a", test=("CMD-SHELL", "curl -s --noproxy localhost localhost:3000/health | grep -q OK || exit 1")),
         Question("http", 3000, "/health")),
        (Service("a", test=("CMD-SHELL", "curl -H 'Host: localhost' 'localhost/up' | grep localhost")),
         Question("http", 80, "/up")),
        (Service("a", test=("CMD", "curl", "-f", "localhost")), Question("http", 80, "/")),
        (Service("a", test=("CMD-SHELL", "pg_isready -U x")), Question("postgres", 5432)),
        (Service("a", ports=(Port(9999), Port(8080, 80))), Question("http", 8080, "/", guessed=True)),
        (Service("a", expose=(7777,)), None),
        (Service("a"), None),
    ],
)  # fmt: skip
def test_a_service_is_asked_by_its_health_check_its_image_or_its_port(
    service: Service, question: Question | None
) -> None:
    assert question_of(service) == question


DB = Service("db", image="postgres:15")
API = Service("api", expose=(8000,))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"URL": "postgres://u:p@db:5433/x"}, {("db", 5433)}),
        ({"URL": "postgresql+asyncpg://u:p@db/x"}, {("db", 5432)}),
        ({"URL": "jdbc:postgresql://db:5432/x"}, {("db", 5432)}),
        ({"BACKENDS": "api:8001,api:8002"}, {("api", 8001), ("api", 8002)}),
        ({"DB_HOST": "db"}, {("db", 5432)}),
        ({"DB_HOST": "db", "DB_PORT": "6000"}, {("db", 6000)}),
        ({"API": "http://api/v1"}, {("api", 80)}),
        ({"POSTGRES_USER": "db", "NAME": "api"}, set()),
        ({"URL": "http://my-db:5432 http://db.example.com:80"}, set()),
        ({"SELF": "http://web:80"}, set()),
        ({"URL": "mysql://api:9@db/api redis://api:secret@db:1"}, {("db", 3306), ("db", 1)}),
    ],
)
def test_calls_are_found_in_the_environment(environment: dict[str, str], found: set[tuple[str, int]]) -> None:
    calls, unclear = calls_of(project(Service("web", environment=environment), DB, API))
    assert {(call.target, call.port) for call in calls} == found
    assert not unclear


def test_a_dependency_is_a_call_of_the_port_that_its_target_is_known_by() -> None:
    web = Service("web", depends_on={"db": "service_healthy", "dark": "service_started"})
    calls, unclear = calls_of(project(web, DB, Service("dark", where="f.yml:7")))
    assert [(call.name, call.port, call.why) for call in calls] == [("web--db", 5432, "depends_on")]
    assert len(unclear) == 1
    assert "web calls dark (depends_on), on which port nothing tells" in unclear[0]


def test_one_that_is_waited_for_until_it_ends_is_not_called() -> None:
    web = Service("web", depends_on={"migrate": "service_completed_successfully"})
    assert calls_of(project(web, Service("migrate", expose=(80,)))) == ([], [])


def test_a_system_as_people_have_it_is_understood() -> None:
    calls, unclear = calls_of(system("jobs"))
    assert not unclear
    assert {call.name: (call.port, call.why) for call in calls if call.source != "migrate"} == {
        "app--cache": (6379, "REDIS_HOST"),
        "app--postgres": (5432, "DATABASE_URL"),
        "app--rabbitmq": (5672, "CELERY_BROKER_URL"),
        "proxy--app": (8000, "depends_on"),
        "worker--app": (8000, "API_BASE"),
        "worker--cache": (6379, "REDIS_HOST"),
        "worker--postgres": (5432, "DATABASE_URL"),
        "worker--rabbitmq": (5672, "CELERY_BROKER_URL"),
    }
    checks, _ = checks_of(system("jobs"))
    assert [(one.kind, one.address) for one in checks] == [("http", "http://127.0.0.1:8000/")]


def test_published_ports_are_checked_over_http_where_it_is_spoken() -> None:
    service = Service(
        "a",
        where="f.yml:3",
        test=("CMD", "curl", "http://localhost:9090/up"),
        ports=(
            Port(9090, 19090),
            Port(8080, 18080, "10.0.0.1"),
            Port(6000, 16000, "::1"),
            Port(53, 53, "", "udp"),
            Port(80),
        ),
    )
    checks, lines = checks_of(project(service))
    assert [(one.name, one.kind, one.address, one.guessed) for one in checks] == [
        ("a answers", "http", "http://127.0.0.1:19090/up", False),
        ("a answers on 18080", "http", "http://10.0.0.1:18080/", True),
        ("a accepts on 16000", "tcp", "[::1]:16000", False),
    ]
    assert [line.partition(";")[0] for line in lines] == [
        "f.yml:3: a publishes 53/udp, no probe asks it",
        "f.yml:3: a publishes 80 at a port that the engine chooses",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [("east/east-b", Place("east", "east-b")), ("east/", Place("east", "")), ("east", Place("east", "east-a"))],
)
def test_a_place_is_a_region_and_a_zone(text: str, place: Place) -> None:
    assert Place.of(text) == place


@pytest.mark.parametrize("text", ["", "/a", "a b/c", "a/b/c", "e{}/x"])
def test_what_is_no_place_is_said(text: str) -> None:
    with pytest.raises(ValueError) as error:
        Place.of(text)
    assert "right would be REGION/ZONE" in str(error.value)


def test_labels_go_before_answers_and_answers_before_the_one_place_for_all() -> None:
    labelled = Service("a", labels={"simian.region": "west"})
    zoned = Service("d", labels={"simian.zone": "local-b"})
    places = places_of(project(labelled, Service("b"), Service("c"), zoned), {"a": Place("x"), "b": Place("y", "y-a")})
    assert [str(places[name]) for name in "abcd"] == ["west/", "y/y-a", "local/local-a", "local/local-b"]


def test_two_calls_of_one_port_have_two_proxies_and_all_else_shares_one() -> None:
    calls, _ = calls_of(system("jobs"))
    proxies = proxies_for(calls, calls, system("jobs"))
    assert [proxy.api_port for proxy in proxies] == list(range(8474, 8474 + len(proxies)))
    routes = {route.call.name: (proxy.name, route.names) for proxy in proxies for route in proxy.routes}
    assert set(routes) == {call.name for call in calls}
    assert {name: proxy for name, (proxy, _) in routes.items() if name.endswith("--cache")} == {
        "app--cache": "simian-proxy",
        "migrate--cache": "simian-proxy-2",
        "worker--cache": "simian-proxy-3",
    }
    for proxy in proxies:
        ports = [route.call.port for route in proxy.routes]
        assert len(ports) == len(set(ports))
    assert routes["worker--postgres"][1] == ("postgres", "db")
    assert len(proxies) == 3, "three callers of the same database"


def test_a_port_that_nobody_told_of_goes_along_as_its_name_leads_to_the_proxy() -> None:
    web = Service("web", environment={"Q": "amqp://queue:5672"})
    queue = Service("queue", image="rabbitmq:3", expose=(15672,))
    plan = adopted(project(web, queue), {}, ["web--queue"])
    assert [(route.call.name, route.call.port) for route in plan.proxies[0].routes] == [
        ("web--queue", 5672),
        ("web--queue-15672", 15672),
    ]


INNER: dict[str, tuple[str, ...]] = {"inner": ()}


@pytest.mark.parametrize(
    ("web", "more", "networks"),
    [
        ({"outer": (), "inner": ()}, {}, ("inner", "outer")),
        ({"inner": ()}, {"outer": ()}, ("inner", "outer")),
        ({"inner": ()}, {"outer": ("db",)}, ("inner", "simian-proxy")),
        ({"inner": ()}, {"inner": ()}, ("inner", "simian-proxy")),
        ({"inner": (), "open": ()}, {"outer": ()}, ("inner", "open")),
    ],
)
def test_a_proxy_whose_networks_are_all_internal_has_one_more_as_it_could_not_be_steered(
    web: dict[str, tuple[str, ...]], more: dict[str, tuple[str, ...]], networks: tuple[str, ...]
) -> None:
    services = [
        Service("web", networks=web, environment={"D": "db:5432"}),
        Service("db", image="postgres", networks=INNER),
        Service("more", networks=more),
    ]
    closed = Project("shop", Path(), {one.name: one for one in services}, internal=frozenset({"inner"}))
    assert adopted(closed, {}, ["all"]).proxies[0].networks == networks


def test_a_call_that_nobody_sees_can_be_named() -> None:
    hidden = project(
        Service("work-er", environment={"D": "db:5432"}), DB, Service("q"), Service("redis", image="redis")
    )
    plan = adopted(hidden, {}, ["work-er--redis", "work-er--q:99", "work-er--db"])
    assert {(call.name, call.port, call.why) for call in plan.calls} == {
        ("work-er--db", 5432, "D"),
        ("work-er--redis", 6379, "named by --proxy"),
        ("work-er--q", 99, "named by --proxy"),
    }
    assert set(plan.routed) == {"work-er--db", "work-er--redis", "work-er--q"}


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ("web--q", "--proxy web--q: on which port nothing tells; right would be web--q:PORT"),
        ("web--q:x", "--proxy web--q:x: 'x' is no port"),
        ("web--q:70000", "--proxy web--q:70000: '70000' is no port"),
        ("web--db:99", "--proxy web--db:99: is seen at port 5432, not 99"),
        ("web--web", "--proxy: no link is called 'web--web'"),
    ],
)
def test_a_call_that_is_named_wrongly_is_refused(chosen: str, why: str) -> None:
    web = Service("web", environment={"D": "db:5432"})
    with pytest.raises(UsageError) as error:
        adopted(project(web, DB, Service("q")), {}, [chosen])
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("services", "chosen", "why"),
    [
        ([Service("web", environment={"D": "db:5432"}), DB], "web--bd", "is called 'web--bd'; did you mean 'web--db'?"),
        ([Service("web", networks={}, network_mode="host", environment={"D": "db:5432"}), DB], "web--db", "mode host"),
        ([Service("web", networks={"n": ()}, environment={"D": "db:5432"}), DB], "web--db", "no network in common"),
        ([Service("web", environment={"D": "db:8474"}), DB], "web--db", "port 8474 is that of Toxiproxy itself"),
        ([DB], "all", "no service is seen to call another"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_led_is_refused_with_the_reason(services: list[Service], chosen: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        adopted(project(*services), {}, [chosen])
    assert why in str(error.value)


def test_with_all_what_cannot_be_led_is_told_and_left() -> None:
    host = Service("host", networks={}, network_mode="host", environment={"D": "db:5432"})
    web = Service("web", environment={"D": "db:5432"})
    plan = adopted(project(host, web, DB), {}, ["all"])
    assert list(plan.routed) == ["web--db"]
    assert "host--db goes past the proxies: host has network_mode host" in " ".join(plan.remarks)


def test_what_ends_or_measures_is_no_candidate_and_what_cannot_be_asked_is_told() -> None:
    jobs = adopted(system("jobs"), {})
    assert "migrate" not in jobs.enabled
    told = " ".join(jobs.remarks)
    assert "migrate is no candidate: others wait for it to finish" in told
    assert "nothing tells how rabbitmq is asked for an answer" in told
    assert "rabbitmq" in jobs.enabled, "its links may be hurt"
    assert "the 2 containers of app share its zone" in told
    instrument = adopted(project(Service("m", labels={"simian.role": "instrument"})), {})
    assert list(instrument.enabled) == []
