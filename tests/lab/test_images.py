"""Each image of the lab does what its name promises, whoever built it: it starts, answers its protocol, and ends when
it is told to. They stand on an internal network, and are reached from this machine by their addresses.
"""

import json
import struct
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import psycopg
import pytest

from .containers import Container, Containers, images_engine

VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
LAB = f"simian-lab:{VERSION}"
STOPPED_BY_FORCE = 137


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    api = images_engine()
    yield api
    api.close()


@pytest.fixture
def containers(engine: Any) -> Iterator[Containers]:
    made = Containers(engine)
    try:
        yield made
    finally:
        made.close()


def http(container: Container, port: int, path: str, said: Any = None, **headers: str) -> str:
    """What it answers; a form or JSON that is said is posted. Raises ``OSError`` for an error of any kind."""
    body = said.encode() if isinstance(said, str) else json.dumps(said).encode() if said is not None else None
    asked = urllib.request.Request(f"http://{container.address}:{port}{path}", body, headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.read().decode())


def test_memcached_keeps_what_it_is_told_and_takes_options_alone(containers: Containers) -> None:
    cache = containers.start("memcached:1.6", ["-m", "32", "-U", "0", "-t", "1"])
    cache.until(lambda: cache.talk(11211, b"version\r\n", b"\n").startswith(b"VERSION 1.6."), "memcached")
    assert cache.talk(11211, b"set k 0 0 1\r\n1\r\nget k\r\n", b"END\r\n") == b"STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n"
    assert b"STAT limit_maxbytes 33554432\r\n" in cache.talk(11211, b"stats\r\n", b"END\r\n")
    assert cache.run("id", "-un").strip() != "root"
    assert cache.stop() != STOPPED_BY_FORCE


def test_toxiproxy_carries_bytes_and_cuts_them_off(containers: Containers) -> None:
    behind = containers.start("memcached:1.6")
    proxy = containers.start("ghcr.io/shopify/toxiproxy:2.12.0")
    proxy.until(lambda: http(proxy, 8474, "/proxies") == "{}", "an API without proxies")
    assert json.loads(http(proxy, 8474, "/version"))["version"] == "2.12.0"
    http(proxy, 8474, "/proxies", {"name": "k", "listen": "0.0.0.0:2001", "upstream": f"{behind.address}:11211"})
    proxy.until(lambda: proxy.talk(2001, b"version\r\n", b"\n").startswith(b"VERSION"), "carried")
    assert "k" in proxy.run("/toxiproxy-cli", "list")
    http(proxy, 8474, "/proxies/k", {"enabled": False})
    with pytest.raises(ConnectionRefusedError):
        proxy.connect(2001)
    assert proxy.stop() != STOPPED_BY_FORCE


def test_powerdns_answers_by_rules_that_its_api_was_given(containers: Containers) -> None:
    server = containers.start(
        "powerdns/pdns-auth-47:4.7.3", ["--enable-lua-records=shared"], {"PDNS_AUTH_API_KEY": "key-of-a-test"}
    )
    key = {"X-API-Key": "key-of-a-test"}
    zones = "/api/v1/servers/localhost/zones"
    server.until(lambda: http(server, 8081, zones, **key) == "[]", "an API without zones")
    rule = {"content": "A \"pickwhashed({{1,'192.0.2.7'}})\"", "disabled": False}
    rrset = {"name": "a.lab.", "type": "LUA", "ttl": 1, "changetype": "REPLACE", "records": [rule]}
    http(server, 8081, zones, {"name": "lab.", "kind": "Native", "nameservers": ["ns.lab."], "rrsets": [rrset]}, **key)
    question = dns.message.make_query("a.lab.", "A")
    for ask in (dns.query.udp, dns.query.tcp):
        answer = ask(question, server.address, timeout=10)
        assert [str(one) for rrset in answer.answer for one in rrset] == ["192.0.2.7"]
    assert server.run("id", "-un").strip() == "pdns"
    assert "PONG" in server.run("pdns_control", "rping")
    with pytest.raises(OSError, match="401"):
        http(server, 8081, zones)
    assert server.stop() != STOPPED_BY_FORCE


def test_elasticmq_keeps_a_message_that_it_acknowledged_through_a_power_cut(containers: Containers) -> None:
    queue = containers.start("softwaremill/elasticmq:1.7.1", environment={"JAVA_TOOL_OPTIONS": "-Xmx64m"})
    queue.until(lambda: "OK" in http(queue, 9324, "/health"), "healthy")
    http(queue, 9324, "/", "Action=CreateQueue&QueueName=q")
    http(queue, 9324, "/queue/q", "Action=SendMessage&MessageBody=kept")
    queue.kill()
    queue.start()
    queue.until(lambda: "OK" in http(queue, 9324, "/health"), "healthy again")
    assert "<Body>kept</Body>" in http(queue, 9324, "/queue/q", "Action=ReceiveMessage&WaitTimeSeconds=5")
    assert queue.run("id", "-u").strip() != "0"
    assert queue.stop() != STOPPED_BY_FORCE


# What a client of Cassandra's says first and then: frames of version 4 of its protocol.
_STARTUP, _QUERY, _READY, _RESULT = 0x01, 0x07, 0x02, 0x08
_ONE = 0x0001


def _frame(opcode: int, body: bytes) -> bytes:
    return struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body


def _cql(container: Container, query: str) -> bytes:
    """The rows that it answers, as bytes. Raises ``OSError`` while there is no answer."""
    with container.connect(9042) as connection, connection.makefile("rb") as heard:
        version = b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"
        for opcode, body, wanted in (
            (_STARTUP, version, _READY),
            (_QUERY, struct.pack(">i", len(query)) + query.encode() + struct.pack(">hB", _ONE, 0), _RESULT),
        ):
            connection.sendall(_frame(opcode, body))
            header = heard.read(9)
            if len(header) < 9:
                raise ConnectionError("no answer")
            _, _, _, got, size = struct.unpack(">BBhBi", header)
            answer = heard.read(size)
            assert got == wanted, answer
    return answer


@pytest.mark.timeout(1500)  # it starts twice, which is a minute on a calm machine
def test_cassandra_stands_where_it_is_told_to_and_keeps_rows_over_a_restart(containers: Containers) -> None:
    told = {
        "CASSANDRA_DC": "east",
        "CASSANDRA_RACK": "b",
        "CASSANDRA_CLUSTER_NAME": "of a test",
        "CASSANDRA_ENDPOINT_SNITCH": "GossipingPropertyFileSnitch",
        "CASSANDRA_NUM_TOKENS": "1",
        "MAX_HEAP_SIZE": "256M",
        "HEAP_NEWSIZE": "64M",
        "JVM_EXTRA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dcassandra.skip_wait_for_gossip_to_settle=0"
        " -Dcassandra.ring_delay_ms=1000 -Dcassandra.initial_token=0",
    }
    store = containers.start("cassandra:5.0", environment=told)
    asked = "SELECT cluster_name, data_center, rack, release_version, broadcast_address FROM system.local"
    row = store.until(lambda: _cql(store, asked), "answering")
    for part in (b"of a test", b"east", b"\x00\x00\x00\x01b", b"5.0.5", bytes(map(int, store.address.split(".")))):
        assert part in row
    assert f"UN  {store.address}" in store.run("nodetool", "status")
    for query in (
        "CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 1}",
        "CREATE TABLE k.t (a text PRIMARY KEY)",
        "INSERT INTO k.t (a) VALUES ('kept')",
    ):
        _cql(store, query)
    assert store.run("stat", "-c", "%U", "/proc/1").strip() == "cassandra"
    assert store.stop() != STOPPED_BY_FORCE
    store.start()
    assert b"kept" in store.until(lambda: _cql(store, "SELECT a FROM k.t"), "answering again")


def test_redis_answers_whoever_comes_from_another_container(containers: Containers) -> None:
    redis = containers.start("redis:7", ["--appendonly", "yes"])
    redis.until(lambda: redis.talk(6379, b"PING\r\n", b"\n") == b"+PONG\r\n", "answering")
    assert redis.talk(6379, b"SET k v\r\n", b"\n") == b"+OK\r\n"
    assert redis.run("redis-cli", "get", "k") == "v\n"
    assert "redis_version:7." in redis.run("redis-cli", "info", "server")
    assert redis.run("stat", "-c", "%U", "/proc/1").strip() == "redis"
    assert redis.stop() == 0
    redis.start()
    redis.until(lambda: redis.talk(6379, b"GET k\r\n", b"v\r\n") == b"$1\r\nv\r\n", "what it had")


def test_redis_keeps_a_protected_mode_that_was_asked_for(containers: Containers) -> None:
    redis = containers.start("redis:7", ["redis-server", "--protected-mode", "yes"])
    redis.until(lambda: redis.talk(6379, b"PING\r\n", b"\n").startswith(b"-DENIED"), "turning strangers away")


def _select(postgres: Container, query: str, user: str = "shop", password: str = "a test's") -> Any:
    """The first value of the first row."""
    try:
        with psycopg.connect(
            host=postgres.address, user=user, password=password, dbname="goods", connect_timeout=5
        ) as connection:
            row = connection.execute(query.encode()).fetchone()
    except psycopg.OperationalError as error:
        raise ConnectionError(str(error)) from error
    return row and row[0]


def test_postgres_makes_the_user_and_the_database_that_it_is_told(containers: Containers) -> None:
    told = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "a test's", "POSTGRES_DB": "goods"}
    postgres = containers.start("postgres:15", ["-c", "max_connections=20"], told)
    assert postgres.until(lambda: _select(postgres, "SHOW server_version"), "letting us in").startswith("15.")
    assert _select(postgres, "SHOW max_connections") == "20"
    with pytest.raises(ConnectionError, match="password authentication failed"):
        _select(postgres, "SELECT 1", password="another")
    assert postgres.run("psql", "-U", "shop", "-d", "goods", "-Atc", "SELECT 6 * 7").strip() == "42"
    assert postgres.stop() == 0
    postgres.start()
    assert postgres.until(lambda: _select(postgres, "SELECT 42"), "letting us in again") == 42


def test_postgres_without_a_password_says_what_to_set(containers: Containers) -> None:
    postgres = containers.start("postgres:15")
    assert postgres.ended() == 1
    assert "set POSTGRES_PASSWORD" in postgres.log


def test_busybox_has_its_programs(containers: Containers) -> None:
    served = 'trap "exit 0" TERM; echo answered > /tmp/index.html; httpd -f -p 80 -h /tmp & wait'
    busybox = containers.start("busybox:1.36", ["sh", "-c", served])
    busybox.until(lambda: http(busybox, 80, "/") == "answered\n", "serving")
    assert busybox.run("wget", "-q", "-O", "-", "http://127.0.0.1/") == "answered\n"
    assert busybox.run("id", "-un") == "root\n"
    assert busybox.stop() == 0


def test_debian_is_bookworm_and_has_bash(containers: Containers) -> None:
    debian = containers.start("debian:bookworm-slim", ["bash", "-c", "cat /etc/os-release"])
    assert debian.ended() == 0
    assert "VERSION_CODENAME=bookworm" in debian.log


def test_python_runs_programs_and_ends_when_it_is_told_to(containers: Containers) -> None:
    program = "import http.server as h, signal, sqlite3, ssl, sys; signal.signal(15, lambda *_: sys.exit(7)); "
    served = program + "h.HTTPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"
    python = containers.start("python:3.11-slim", ["python", "-c", served])
    python.until(lambda: http(python, 80, "/etc/os-release"), "serving")
    assert python.run("python", "--version").startswith("Python 3.11.")
    assert python.run("pip", "--version").startswith("pip ")
    assert python.stop() == 7


def test_the_lab_image_is_this_project_and_no_tool_to_build_with(containers: Containers) -> None:
    lab = containers.start(LAB, ["sleep", "infinity"])
    assert lab.run("python", "-m", "simian_lab.node", "--help").startswith("usage: python -m simian_lab.node")
    assert lab.run("simian", "--version").strip().endswith(VERSION)
    modules = "simian.load, simian_filters, simian_monkeys, simian_experiments, uvloop, httptools, cassandra.cluster"
    lab.run("python", "-c", f"import {modules}")
    assert lab.run("id", "-un").strip() == "simian"
    lab.run("sh", "-c", "! command -v gcc && ! command -v cc && ! command -v make")


@pytest.mark.parametrize("image", [LAB, "python:3.11-slim"])
def test_no_certificate_of_the_machine_that_built_it_is_left(containers: Containers, image: str) -> None:
    found = containers.start(
        image, ["sh", "-c", "find / -xdev -name host-ca.crt 2>/dev/null; env | grep PIP_CERT; true"]
    )
    assert found.ended() == 0
    assert found.log == ""
