"""A real Cassandra as processes of our own: a node in each of some regions, on loopback addresses that nobody uses."""

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from simian_lab.real import JavaPart

from .real_parts import part_missing

PATIENCE_S = 400.0  # two of them took four minutes to start on a machine with twenty times too much to do
PORT, STORAGE_PORT = 9042, 7000
JAVA = JavaPart(
    service="store",
    module="",
    program="java",
    variable="SIMIAN_CASSANDRA",
    recipe="mvn -f .ci/cassandra/pom.xml dependency:copy-dependencies -DoutputDirectory=FOLDER collects them",
)
_NAMES = ("jdk.internal.misc", "jdk.internal.ref", "java.lang", "java.lang.module", "java.lang.reflect", "java.io",
          "java.nio", "java.util", "sun.nio.ch", "jdk.internal.loader", "jdk.internal.reflect", "jdk.internal.math",
          "jdk.internal.util.jar")  # fmt: skip
# A small machine of its own. No port for JMX: nobody asks there.
_JVM = (
    "-Xms384m", "-Xmx384m", "-Xmn128m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError", "-XX:+PerfDisableSharedMem", "-Djava.net.preferIPv4Stack=true",
    "-Djava.security.manager=allow", "-Djdk.attach.allowAttachSelf=true", "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=2000",
    "-Dcassandra.enable_nodelocal_queries=true",
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _NAMES),
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED", "--add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED",
    "--add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED",
    "--add-exports=java.sql/java.sql=ALL-UNNAMED", "--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED",
    "--add-exports=jdk.attach/sun.tools.attach=ALL-UNNAMED",
)  # fmt: skip


def java_with_cassandra() -> list[str]:
    """The words up to the class path; skips where it is not installed."""
    try:
        return shlex.split(JAVA.find(os.environ))
    except LookupError as error:
        part_missing("cassandra", f"{error}; {JAVA.remedy}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node of a ring is: ``host`` and ``storage_port`` its own, ``broadcast`` where other regions find it."""

    region: str
    host: str
    storage_port: int = STORAGE_PORT
    broadcast: str = ""

    @property
    def seed(self) -> str:
        """``host:port`` for its peers."""
        return f"{self.broadcast or self.host}:{self.storage_port}"


class CassandraNode:
    """One node of a ring. It keeps its data over a restart."""

    def __init__(self, folder: Path, place: Place, seeds: Sequence[str], token: int) -> None:
        self.place, self.host = place, place.host
        self._folder, region = folder, place.region
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        (folder / "cassandra.yaml").write_text(json.dumps(self._settings(seeds, token)))  # JSON is YAML
        (folder / "rackdc.properties").write_text(f"dc={region}\nrack={region}-a\n")
        (folder / "logback.xml").write_text(
            '<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>'
            '%-5level %date %msg%n</pattern></encoder></appender><root level="INFO"><appender-ref ref="OUT"/></root>'
            "</configuration>"
        )

    @property
    def address(self) -> str:
        """``host:port`` of its clients."""
        return f"{self.host}:{PORT}"

    def _settings(self, seeds: Sequence[str], token: int) -> dict[str, object]:
        kept = ("saved_caches", "hints", "commitlog", "cdc_raw")
        seeding = {"seeds": ",".join(seeds)}
        return {f"{name}_directory": str(self._folder / name) for name in kept} | {
            "cluster_name": "lab",
            "num_tokens": 1,
            "initial_token": str(token),
            "auto_bootstrap": False,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "endpoint_snitch": "GossipingPropertyFileSnitch",
            "seed_provider": [
                {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [seeding]}
            ],
            "listen_address": self.host,
            "broadcast_address": self.place.broadcast or self.host,
            "rpc_address": self.host,
            "native_transport_port": PORT,
            "storage_port": self.place.storage_port,
            "data_file_directories": [str(self._folder / "data")],
            "commitlog_sync": "batch",  # what is acknowledged is on the disk: there is no other replica of it
            "commitlog_segment_size": "8MiB",
            "hints_flush_period": "500ms",
            "hinted_handoff_throttle": "16384KiB",
            "concurrent_reads": 8,
            "concurrent_writes": 8,
            "key_cache_size": "4MiB",
            "memtable_heap_space": "64MiB",
            "memtable_offheap_space": "32MiB",
        }

    def start(self) -> None:
        """Spawn it; ``wait`` until it can be asked."""
        properties = {
            "cassandra.config": f"file://{self._folder / 'cassandra.yaml'}",
            "cassandra-rackdc.properties": f"file://{self._folder / 'rackdc.properties'}",
            "logback.configurationFile": str(self._folder / "logback.xml"),
            "cassandra.storagedir": str(self._folder),
            "cassandra.logdir": str(self._folder),
        }
        java, *class_path = java_with_cassandra()
        line = [java, *_JVM, *(f"-D{key}={value}" for key, value in properties.items()), *class_path]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*line, "org.apache.cassandra.service.CassandraDaemon"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Until it takes clients."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._accepts():
            assert self._process is not None
            said = "\n".join((self._folder / "log").read_text(errors="replace").splitlines()[-20:])
            assert self._process.poll() is None, f"Cassandra ended: {said}"
            assert time.monotonic() < deadline, f"Cassandra was not ready after {PATIENCE_S:g} s: {said}"
            time.sleep(0.1)

    def _accepts(self) -> bool:
        try:
            socket.create_connection((self.host, PORT), 1.0).close()
        except OSError:
            return False
        return True

    def pause(self) -> None:
        """From now on it accepts and never answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """It answers again."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; content when it does not live."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def ring(folder: Path, *places: Place) -> Iterator[list[CassandraNode]]:
    """A ring of these nodes for a while, all started at once."""
    java_with_cassandra()
    seeds = [place.seed for place in places]
    nodes = [
        CassandraNode(folder / str(number), place, seeds, number - len(places)) for number, place in enumerate(places)
    ]
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        for node in nodes:
            node.wait()
        yield nodes


@contextmanager
def cassandra(folder: Path, *regions: str) -> Iterator[list[CassandraNode]]:
    """One node in each region, for a while."""
    java_with_cassandra()
    hosts = _free_hosts(len(regions))
    with ring(folder, *(Place(region, host) for region, host in zip(regions, hosts, strict=True))) as nodes:
        yield nodes


def _free_hosts(count: int) -> list[str]:
    """Addresses of one network where nobody has a Cassandra."""
    first = os.getpid()
    for third in ((first + offset) % 250 + 1 for offset in range(250)):
        hosts = [f"127.253.{third}.{30 + number}" for number in range(count)]
        if all(_free(host, port) for host in hosts for port in (PORT, STORAGE_PORT)):
            return hosts
    part_missing("cassandra", "no addresses of 127.253.0.0/16 can be bound here")


def _free(host: str, port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
        return True
