"""What shows that users are served: published ports, HTTP before all else: pure."""

from dataclasses import dataclass

from simian.adopt.questions import HTTP_PORTS, question_of
from simian.compose import Port, Project, Service


@dataclass(frozen=True, slots=True)
class PortCheck:
    """One check of a published port. ``guessed``: path and protocol come from nothing but the port's number."""

    name: str
    kind: str
    address: str
    guessed: bool = False


def checks_of(project: Project) -> tuple[list[PortCheck], list[str]]:
    """A check for each published port, and a line for each that cannot be asked."""
    checks, lines = [], []
    for service in project.services.values():
        for port in service.ports:
            if port.protocol != "tcp":
                lines.append(
                    f"{service.where}: {service.name} publishes {port.target}/{port.protocol}, no probe asks it"
                )
            elif port.published is None:
                lines.append(
                    f"{service.where}: {service.name} publishes {port.target} at a port that the engine chooses; "
                    f"fix it, such as 8080:{port.target}, and it can be checked"
                )
            else:
                checks.append(_check(service, port))
    return checks, lines


def _check(service: Service, port: Port) -> PortCheck:
    # What somebody else listens on; it is asked at loopback.
    host = port.host if port.host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # nosec B104
    host = f"[{host}]" if ":" in host else host
    question = question_of(service)
    asked = question is not None and question.port == port.target
    if question is not None and asked and question.scheme == "http":
        address = f"http://{host}:{port.published}{question.path}"
        return PortCheck(f"{service.name} answers", "http", address, question.guessed)
    if not asked and port.target in HTTP_PORTS:
        return PortCheck(
            f"{service.name} answers on {port.published}", "http", f"http://{host}:{port.published}/", True
        )
    return PortCheck(f"{service.name} accepts on {port.published}", "tcp", f"{host}:{port.published}")
