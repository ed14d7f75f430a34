"""Real programs that can take the place of the lab's stand-ins: which there are, and where they are installed."""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .manifest import LabError


@dataclass(frozen=True, slots=True)
class Part:
    """A real program and the service that it plays.

    ``module``: the module of the lab whose ``command(program, context)`` tells how it is run. ``variable``: of the
    environment, where it is when it is not on PATH. ``recipe``: how to get it.
    """

    service: str
    module: str
    program: str
    variable: str
    recipe: str

    def find(self, environment: Mapping[str, str]) -> str | None:
        """The path of the program, from the root, if it is there and can be run."""
        named = environment.get(self.variable)
        found = shutil.which(named or self.program, path=environment.get("PATH", ""))
        return os.path.abspath(found) if found else None


PARTS: Mapping[str, Part] = {
    "toxiproxy": Part(
        service="proxy",
        module="toxiproxy_real",
        program="toxiproxy-server",
        variable="SIMIAN_TOXIPROXY",
        recipe="go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 builds it under the name of server",
    )
}


def find_parts(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The programs of these parts by name. Raises ``LabError`` for one that is unknown or not installed."""
    return {name: _find(name, environment) for name in names}


def _find(name: str, environment: Mapping[str, str]) -> str:
    if name not in PARTS:
        raise LabError(f"there is no real {name!r} for the lab; there is: {', '.join(PARTS)}")
    part = PARTS[name]
    program = part.find(environment)
    if program is None:
        named = environment.get(part.variable)
        where = f"{part.variable} names {named}, which cannot be run" if named else f"no {part.program} on PATH"
        raise LabError(
            f"the real {name} is not installed: {where}; put it on PATH as {part.program}, or its path into "
            f"{part.variable} ({part.recipe}, and .ci/run puts it into .ci/parts)"
        )
    return program
