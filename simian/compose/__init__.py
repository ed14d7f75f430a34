"""Compose files as people have them: several files, profiles, ``extends``, ``include``, variables, both forms of keys.

Read for what simian needs to know of a system, never to run it; ``docker compose config`` is the measure.
"""

from simian.compose.files import read_project
from simian.compose.model import Port, Project, Service

__all__ = ["Port", "Project", "Service", "read_project"]
