"""ElasticMQ of a region in the place of our SQS stand-in: how it is run.

It writes each message through to its database's file before it answers, so a kill loses none; it tells so of nothing
that has reached the disk itself. It takes seconds to start.
"""

import json
import shlex

from .manifest import replace_file
from .node import NodeContext

# A small machine of its own: it serves a few dozen messages a second and shares the processor with thirty nodes.
_JAVA = (
    "-Xms16m", "-Xmx64m", "-Xss512k", "-XX:MaxMetaspaceSize=96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
)  # fmt: skip


def command(program: str, context: NodeContext) -> tuple[str, ...]:
    """Its command line, once the file of its settings is written; ``program``: the words up to the class path."""
    path = context.folder / "elasticmq.conf"
    replace_file(path, _settings(context))
    java, *class_path = shlex.split(program)
    return java, *_JAVA, f"-Dconfig.file={path}", *class_path, "org.elasticmq.server.Main"


def _settings(context: NodeContext) -> str:
    host, port = context.spec.host, context.spec.port
    told = {
        "node-address": {"protocol": "http", "host": host, "port": port, "context-path": ""},
        "rest-sqs": {"enabled": True, "bind-port": port, "bind-hostname": host, "sqs-limits": "strict"},
        "rest-stats": {"enabled": False},
        "generate-node-address": False,
        "messages-storage": {"enabled": True, "uri": f"jdbc:h2:{context.folder / 'elasticmq'};WRITE_DELAY=0"},
    }
    settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in told.items())  # JSON is HOCON
    return 'include classpath("application.conf")\n' + settings
