"""How a service is asked for an answer: by its health check, its image, or the port it listens on: pure."""

import re
from dataclasses import dataclass

from simian.compose import Service


@dataclass(frozen=True, slots=True)
class Question:
    """An address without a host, in the forms that observers ask. ``guessed``: from nothing but a port's number."""

    scheme: str
    port: int
    path: str = ""
    guessed: bool = False

    def at(self, host: str) -> str:
        """``scheme://host:port/path``."""
        return f"{self.scheme}://{host}:{self.port}{self.path}"


# By the image's last name, whoever built it. ``tcp``: it speaks first. An empty scheme: there is no way to ask it.
IMAGES: tuple[tuple[str, Question], ...] = (
    ("postgis", Question("postgres", 5432)),
    ("postgres", Question("postgres", 5432)),
    ("timescaledb", Question("postgres", 5432)),
    ("pgvector", Question("postgres", 5432)),
    ("redis", Question("redis", 6379)),
    ("valkey", Question("redis", 6379)),
    ("keydb", Question("redis", 6379)),
    ("dragonfly", Question("redis", 6379)),
    ("memcached", Question("memcached", 11211)),
    ("mysql", Question("mysql", 3306)),
    ("mariadb", Question("mysql", 3306)),
    ("percona", Question("mysql", 3306)),
    ("nats", Question("tcp", 4222)),
    ("mailhog", Question("tcp", 1025)),
    ("mailpit", Question("tcp", 1025)),
    ("elasticsearch", Question("http", 9200, "/")),
    ("opensearch", Question("http", 9200, "/")),
    ("clickhouse", Question("http", 8123, "/ping")),
    ("minio", Question("http", 9000, "/minio/health/live")),
    ("etcd", Question("http", 2379, "/health")),
    ("consul", Question("http", 8500, "/v1/status/leader")),
    ("influxdb", Question("http", 8086, "/health")),
    ("grafana", Question("http", 3000, "/api/health")),
    ("prometheus", Question("http", 9090, "/-/healthy")),
    ("nginx", Question("http", 80, "/")),
    ("httpd", Question("http", 80, "/")),
    ("caddy", Question("http", 80, "/")),
    ("traefik", Question("http", 80, "/")),
    ("mongo", Question("", 27017)),
    ("rabbitmq", Question("", 5672)),
    ("kafka", Question("", 9092)),
    ("zookeeper", Question("", 2181)),
    ("cassandra", Question("", 9042)),
)
TOOLS: tuple[tuple[str, Question], ...] = (
    ("pg_isready", Question("postgres", 5432)),
    ("redis-cli", Question("redis", 6379)),
    ("mysqladmin", Question("mysql", 3306)),
    ("mariadb-admin", Question("mysql", 3306)),
)
PORTS_OF_SCHEMES = {
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "valkey": 6379,
    "mysql": 3306,
    "mariadb": 3306,
    "mongodb": 27017,
    "amqp": 5672,
    "amqps": 5671,
    "nats": 4222,
    "memcached": 11211,
    "http": 80,
    "https": 443,
    "ws": 80,
    "kafka": 9092,
    "smtp": 25,
}
HTTP_PORTS = frozenset({80, 81, 1337, 3000, 3001, 4000, 4200, 5000, 5001, 5173, 9000, 9090, *range(8000, 9000)})
_ADDRESS = r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]|{name})(?::(\d{{1,5}}))?(/[^\s\"'|;&)\\]*)?"


def question_of(service: Service) -> Question | None:
    """How to ask it; ``None`` where nothing tells. A scheme that is empty: known, and no observer speaks it."""
    checked = _checked(service)
    if checked is not None:
        return checked
    known = _known(service.image)
    if known is not None:
        return known
    likely = [port for port in service.inner_ports if port in HTTP_PORTS]
    return Question("http", likely[0], "/", guessed=True) if likely else None


def listens_on(service: Service) -> int | None:
    """The port that others most likely call it on."""
    question = question_of(service)
    return question.port if question else next(iter(service.inner_ports), None)


def _known(image: str) -> Question | None:
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()
    words = set(re.split(r"[-_.]", name))
    for known, question in IMAGES:
        if name.startswith(known) or known in words:
            exporter = "exporter" in words or "ui" in words or "commander" in words or "express" in words
            return None if exporter else question
    return None


def _checked(service: Service) -> Question | None:
    """What the health check asks, from inside the container."""
    text = " ".join(service.test[1:])
    address = _ADDRESS.format(name=re.escape(service.name))
    found = re.search(rf"(https?)://{address}", text) or _bare_address(text, address)
    if found and found[1] != "https":
        return Question("http", int(found[2] or 80), found[3] or "/")
    tool = next((question for name, question in TOOLS if name in text), None)
    own = _known(service.image)
    return own or tool if tool else None


def _bare_address(text: str, address: str) -> re.Match[str] | None:
    """What ``curl localhost:3000/up`` asks: of several that look so, one with a port or a path is no option's value."""
    called = re.search(r"\b(?:curl|wget)\b[^|;&]*", text)
    found = list(re.finditer(rf"""(\s)["']?{address}(?![\w.:-])""", called[0])) if called else []
    return next((one for one in found if one[2] or one[3]), found[-1] if found else None)
