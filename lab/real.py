"""Real programs that can take the place of the lab's stand-ins: which there are, and where they are installed."""

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from .manifest import LabError

NOBODY = 65534  # who a server of the system's is when root starts it
_ALSO = "/usr/local/sbin:/usr/sbin"  # where systems put servers, and often not on a person's PATH


@dataclass(frozen=True, slots=True)
class Part:
    """A real program and the service that it plays.

    ``module``: the module of the lab whose ``command(program, context)`` tells how it is run. ``variable``: of the
    environment, where it is when it is not on PATH. ``recipe``: how to get it. ``beside``: a file that it needs, seen
    from its prefix.
    """

    service: str
    module: str
    program: str
    variable: str
    recipe: str
    beside: str = ""

    def find(self, environment: Mapping[str, str]) -> str:
        """The path of the program, from the root. ``LookupError``, with the reason, when it cannot be had."""
        named = environment.get(self.variable)
        found = shutil.which(named or self.program, path=f"{environment.get('PATH', '')}:{_ALSO}")
        if not found:
            problem = f"{self.variable} names {named}, which cannot be run" if named else f"no {self.program} on PATH"
            raise LookupError(problem)
        if self.beside and not (prefix_of(found) / self.beside).is_file():
            raise LookupError(f"{found} is there without {prefix_of(found) / self.beside}")
        return os.path.abspath(found)

    @property
    def remedy(self) -> str:
        """What to do when it is not found."""
        return f"put it on PATH as {self.program}, or its path into {self.variable} ({self.recipe}; .ci/run does it)"


class JavaPart(Part):
    """One that Java runs: ``find`` returns the words that begin its command line, as a shell would read them.

    ``variable`` names its folder of jars, or a whole class path.
    """

    __slots__ = ()

    def find(self, environment: Mapping[str, str]) -> str:
        """The words up to the class path."""
        java = shutil.which(self.program, path=environment.get("PATH", ""))
        if not java:
            raise LookupError(f"no {self.program} on PATH")
        named = environment.get(self.variable)
        parts = [_jars(os.path.abspath(part)) for part in (named or "").split(os.pathsep)]
        if not named or not any(glob(f"{part}.jar" if part.endswith("*") else part) for part in parts):
            raise LookupError(f"{self.variable} names {named}, where no jar is" if named else f"no {self.variable}")
        return shlex.join([os.path.abspath(java), "-cp", os.pathsep.join(parts)])

    @property
    def remedy(self) -> str:
        """What to do when it is not found."""
        folder = f"the folder of its jars into {self.variable}"
        return f"put {self.program} on PATH, and {folder} ({self.recipe}; .ci/run does it)"


def _jars(part: str) -> str:
    return os.path.join(part, "*") if os.path.isdir(part) else part


def prefix_of(program: str) -> Path:
    """``/usr`` of ``/usr/sbin/memcached``."""
    return Path(program).resolve().parents[1]


PARTS: Mapping[str, Part] = {
    "toxiproxy": Part(
        service="proxy",
        module="toxiproxy_real",
        program="toxiproxy-server",
        variable="SIMIAN_TOXIPROXY",
        recipe="go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 builds it under the name of server",
    ),
    "memcached": Part(
        service="cache",
        module="memcached_real",
        program="memcached",
        variable="SIMIAN_MEMCACHED",
        recipe="Debian's package is memcached",
    ),
    "dns": Part(
        service="dns",
        module="powerdns_real",
        program="pdns_server",
        variable="SIMIAN_POWERDNS",
        recipe="Debian's packages are pdns-server and pdns-backend-sqlite3",
        beside="share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
    ),
    "sqs": JavaPart(
        service="queue",
        module="elasticmq_real",
        program="java",
        variable="SIMIAN_ELASTICMQ",
        recipe="mvn -f .ci/elasticmq/pom.xml dependency:copy-dependencies -DoutputDirectory=FOLDER collects them",
    ),
}


def find_parts(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The programs of these parts by name. Raises ``LabError`` for one that is unknown or not installed."""
    return {name: _find(name, environment) for name in names}


def _find(name: str, environment: Mapping[str, str]) -> str:
    if name not in PARTS:
        raise LabError(f"there is no real {name!r} for the lab; there is: {', '.join(PARTS)}")
    part = PARTS[name]
    try:
        return part.find(environment)
    except LookupError as error:
        raise LabError(f"the real {name} is not installed: {error}; {part.remedy}") from error
