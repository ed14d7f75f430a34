"""The Toxiproxy of a region: every link into it, as a stand-in that speaks the real one's API.

It differs from the real one where that errs or cannot be needed: it dials without holding up other connections,
``reset_peer`` honours toxicity, a die is cast anew only when its own toxic is changed, and ``slicer`` is missing.
A restart makes the proxies of the layout anew; toxics are gone.
"""

from random import Random

from .http import start_server
from .node import NodeContext
from .toxiproxy_api import Api


async def serve(context: NodeContext) -> None:
    """Listen on every link into this region and on the API, until cancelled."""
    api = Api(Random(context.seed), {"x-lab-incarnation": context.incarnation})
    await api.populate(
        [
            {"name": link.name, "listen": link.listen, "upstream": link.upstream}
            for link in context.layout.links_into(context.spec.name)
        ]
    )
    server = await start_server(context.spec.host, context.spec.port, api.answer)
    try:
        await server.serve_forever()
    finally:
        api.close()
