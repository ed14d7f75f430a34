"""All that a project's adoption consists of, worked out before a line is written: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simian.adopt.calls import ALL, Call, calls_named, calls_of
from simian.adopt.checks import PortCheck, checks_of
from simian.adopt.places import Place, places_of
from simian.adopt.questions import question_of
from simian.adopt.routes import API_PORT, ProxyService, proxies_for, unroutable
from simian.compose import Project, Service
from simian.errors import UsageError


@dataclass(frozen=True)
class Adoption:
    """A project as it is to be described. ``enabled``: services that may be hurt; ``remarks``: what to know."""

    project: Project
    places: Mapping[str, Place]
    enabled: Sequence[str]
    calls: Sequence[Call]
    proxies: Sequence[ProxyService]
    checks: Sequence[PortCheck]
    remarks: Sequence[str]

    @property
    def routed(self) -> dict[str, ProxyService]:
        """By the name of each call that goes through a proxy, the proxy."""
        return {route.call.name: proxy for proxy in self.proxies for route in proxy.routes}

    def end(self, service: str) -> str:
        """One end of a link: its container, or ``<service>-<region>`` where there are several."""
        one = self.project.services[service]
        return self.project.container(one) if one.replicas == 1 else f"{service}-{self.places[service].region}"


def adopted(
    project: Project, answers: Mapping[str, Place], chosen: Sequence[str] = (), api_port: int = API_PORT
) -> Adoption:
    """The adoption of this project. ``chosen``: names of calls to lead through proxies, or ``all``.

    Raises UsageError for names of no call, and for calls that cannot be led.
    """
    calls, unclear = calls_of(project)
    checks, unchecked = checks_of(project)
    named, problems = calls_named(chosen, calls, project)
    calls = [*calls, *named]
    picked, left = _picked(calls, chosen, project, problems)
    proxies = proxies_for(picked, calls, project, api_port)
    places = places_of(project, answers)
    enabled = [name for name, one in project.services.items() if _may_be_hurt(project, one)]
    remarks = [*project.remarks, *unclear, *unchecked, *left, *_of_services(project, enabled)]
    return Adoption(project, places, enabled, calls, proxies, checks, remarks)


def _picked(
    calls: Sequence[Call], chosen: Sequence[str], project: Project, wrong: Sequence[str]
) -> tuple[list[Call], list[str]]:
    why = {call.name: unroutable(call, project) for call in calls}
    problems = [*wrong]
    problems += [f"--proxy {one}: {why[one]}; leave it out" for one in chosen if why.get(one)]
    if ALL in chosen and not calls:
        problems.append(
            "--proxy all: no service is seen to call another; name who does, as --proxy SOURCE--TARGET, or write the "
            "addresses into `environment`"
        )
    if problems:
        raise UsageError(problems)
    everything = ALL in chosen
    left = [f"{name} goes past the proxies: {said}" for name, said in why.items() if everything and said]
    wanted = {one.partition(":")[0] for one in chosen}
    return [call for call in calls if (everything or call.name in wanted) and not why[call.name]], left


def _may_be_hurt(project: Project, service: Service) -> bool:
    return not project.finishes(service) and service.labels.get("simian.role") != "instrument"


def _of_services(project: Project, enabled: Sequence[str]) -> list[str]:
    lines = []
    for name, one in project.services.items():
        question = question_of(one)
        if name not in enabled:
            lines.append(f"{one.where}: {name} is no candidate: {_why_not(one)}")
        elif "simian.ask" not in one.labels and (question is None or not question.scheme):
            lines.append(
                f"{one.where}: nothing tells how {name} is asked for an answer, so no fault of it could be proven, and "
                "monkeys leave it alone; give it a health check over HTTP, or the label simian.ask"
            )
        if one.replicas > 1 and name in enabled:
            lines.append(f"{one.where}: the {one.replicas} containers of {name} share its zone: labels are a service's")
    return lines


def _why_not(service: Service) -> str:
    return "an instrument" if service.labels.get("simian.role") == "instrument" else "others wait for it to finish"
