"""The DNS of the lab: users are led to their home by their subnet, and from there to a region by weight.

Answers over UDP on the node's port; PowerDNS's zone API on its port ``api``, with the lab's token as its key.
"""

import asyncio

from .dns_api import Api
from .dns_server import DnsServer
from .dns_zones import Zones
from .http import start_server
from .node import NodeContext


async def serve(context: NodeContext) -> None:
    """Answer until cancelled."""
    spec = context.spec
    zones = Zones.read(context.folder / "zones.json", context.layout)
    api = Api(zones, context.token, {"x-lab-incarnation": context.incarnation})
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: DnsServer(zones), local_addr=(spec.host, spec.port)
    )
    try:
        server = await start_server(spec.host, spec.ports["api"], api.answer)
        await server.serve_forever()
    finally:
        transport.close()
