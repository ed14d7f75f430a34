"""simian.yaml of an adopted project, with the comments that a person needs: pure."""

from collections.abc import Iterator

from simian.adopt.calls import Call
from simian.adopt.checks import PortCheck
from simian.adopt.plan import Adoption
from simian.adopt.writing import comment, flow
from simian.topology import Link

SIDECAR = "busybox:1.36"


def config_text(plan: Adoption, command: str, url: str = "") -> str:
    """The file's text. ``command``: the line that made it; ``url``: of the engine, where it is not the usual one."""
    blocks = [_head(plan, command), _ports(plan, url), _limits(), _exposure(), _steady_state(plan), _remarks(plan)]
    return "\n".join(block for block in blocks if block)


def _head(plan: Adoption, command: str) -> str:
    return (
        comment(f"{plan.project.name} under simian, as `{command}` found it. Change whatever is not so.")
        + comment("`simian validate` finds mistakes in this file, `simian doctor` looks at the system.")
        + f"system: {flow(plan.project.name)}\n"
    )


def _ports(plan: Adoption, url: str) -> str:
    platform = {"driver": "docker", "project": plan.project.name} | ({"url": url} if url else {})
    places = "; ".join(f"{name} in {place}" for name, place in plan.places.items() if name in plan.enabled)
    return (
        comment(
            f"Where services stand (region/zone): {places}. Their labels say so, in the override file; change them "
            "there, or label your own file, and run `docker compose up -d` again."
        )
        + f"platform: {flow(platform)}\n"
        + comment("Answers are asked for from inside the containers' own networks, by a side container of this image.")
        + f"observer: {flow({'driver': 'sidecar', 'image': SIDECAR})}\n"
        + "".join(_network(plan))
    )


def _network(plan: Adoption) -> Iterator[str]:
    if not plan.proxies:
        yield from _not_led(plan)
        yield "network: {driver: docker}\n"
        return
    past = [call.name for call in plan.calls if call.name not in plan.routed]
    yield comment(
        "The calls that go through Toxiproxy while the override file is used; `simian doctor` tells whether they do. "
        + (f"Not led through it: {', '.join(past)}." if past else "")
    )
    servers = {proxy.name: f"http://127.0.0.1:{proxy.api_port}" for proxy in plan.proxies}
    nodes = {proxy.name: f"{plan.project.name}-{proxy.name}-1" for proxy in plan.proxies}
    yield f"network:\n  driver: toxiproxy\n  servers: {flow(servers)}\n  nodes: {flow(nodes)}\n  links:\n"
    for proxy in plan.proxies:
        for route in proxy.routes:
            yield f"    - {flow(_link(plan, route.call, nodes[proxy.name]))}\n"


def _not_led(plan: Adoption) -> Iterator[str]:
    yield comment(
        "Links here are containers in networks: a container can be cut off from a network, nothing be slowed."
    )
    if not plan.calls:
        yield comment(
            "Nothing tells who calls whom. `simian init --proxy SOURCE--TARGET --force`, once for each call that you "
            "know of, leads it through Toxiproxy, where `simian latency` slows it and `simian split-brain` cuts it."
        )
        return
    yield comment("What calls what, it seems:")
    yield from (comment(f"{call.name}: port {call.port} ({call.why})", "  ") for call in plan.calls)
    yield comment(
        "`simian init --proxy all --force` leads these calls through Toxiproxy, where `simian latency` slows them and "
        "`simian split-brain` cuts those between regions; `--proxy SOURCE--TARGET` adds one that is not seen."
    )


def _link(plan: Adoption, call: Call, proxy: str) -> dict[str, str]:
    ends = (plan.end(call.source), plan.end(call.target))
    regions = (plan.places[call.source].region, plan.places[call.target].region)
    ask = call.question.at(proxy) if call.question else ""
    link = Link(call.name, *ends, *regions, ask=ask)
    shown = ("name", "source", "target", "source_region", "target_region", "ask")
    return {key: value for key in shown if (value := getattr(link, key))}


def _limits() -> str:
    return (
        comment("No run goes beyond these: node, zone, region or system; so many runs at once; names never hit.")
        + "limits: {radius: zone, at_once: 1, never: []}\n"
    )


def _exposure() -> str:
    return (
        comment(
            "simian does not see your users' requests, so it cannot count those that met a fault. `assumed`: take it "
            "that somebody met it, and judge by the checks below. `required` would leave every verdict unknown."
        )
        + "exposure: assumed\n"
    )


WITHIN = "2s"  # what takes a user longer is as good as no answer
HOW = 'every: 500ms, deadline: 4s, tolerance: ">= 95 %"'
NO_CHECK = f"""\
# No port is published, so nothing here shows that users are served, and no run can hold. Add checks, such as:
# steady_state:
#   - {{check: web answers, probe: {{http: "http://127.0.0.1:8080/", within: {WITHIN}}}, {HOW}}}
"""


def _steady_state(plan: Adoption) -> str:
    answers = [one for one in plan.checks if one.kind == "http"]
    others = [one for one in plan.checks if one.kind != "http"]
    if not plan.checks:
        return NO_CHECK
    text = comment(
        "What users must be able to do all the while; outside its tolerance a run is broken. A page that comes without "
        "its database, or a health check that asks nobody, says little: ask for what needs all parts."
    )
    if any(one.guessed for one in answers):
        text += comment(
            "(?) is a guess by a port's number: give the right path, and `expect: STATUS` if it is not 200."
        )
    text += "steady_state:\n" + "".join(_check(one) for one in answers or others)
    if answers and others:
        named = ", ".join(f"{one.name} ({one.address})" for one in others)
        text += comment(f"Published, and no check, as users are served over HTTP: {named}.")
    return text


def _check(one: PortCheck) -> str:
    probe = flow({one.kind: one.address} | ({"within": WITHIN} if one.kind == "http" else {}))
    return f"  - {{check: {flow(one.name)}, probe: {probe}, {HOW}}}{'  # (?)' if one.guessed else ''}\n"


def _remarks(plan: Adoption) -> str:
    if not plan.remarks:
        return ""
    return comment("What could not be taken over, or should be known:") + "".join(
        comment(line, "- ") for line in plan.remarks
    )
