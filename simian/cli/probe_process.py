"""A probe's process: ``python -m simian.cli.probe_process CHECK PLUGINS``, spawned by ``simian.watch``."""

import os
import sys

from simian.probes.host import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
