"""What the project needs of others, with the extras that are named: a line each, as pip reads them."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = (project["optional-dependencies"][extra] for extra in sys.argv[1:])
for wanted in (*project["dependencies"], *(each for extra in extras for each in extra)):
    if not wanted.startswith("simian-"):  # our own are built from here
        print(wanted)
