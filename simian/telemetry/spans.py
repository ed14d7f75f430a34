"""A run as spans of OpenTelemetry: the run, a child for each phase, an event for each fault put in place and undone.

They are made of the record when the run has ended, with the times at which things happened. Needs the extra
``telemetry``; where they go is told by the standard's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and the like).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simian.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FACTS = ("run", "system", "monkey", "experiment", "schedule", "seed", "outcome", "verdict", "recovery", "topology_hash")


def provider_for(environment: Mapping[str, str]) -> "TracerProvider | None":
    """Sends in a thread of its own; ``None`` where no endpoint is named. Raises UsageError without the extra."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        wanted = next(name for name in ENDPOINTS if environment.get(name))
        raise UsageError(
            f"{wanted} is set, and spans need {error.name}; install it: pip install simian-army[telemetry]"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "simian"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def tell_spans(record: Mapping[str, Any], provider: "TracerProvider") -> None:
    """The spans of one run that has ended."""
    from opentelemetry import trace

    if not record.get("started") or not record.get("ended"):
        return
    tracer = provider.get_tracer("simian")
    name = f"simian {record.get('monkey') or record.get('experiment') or 'run'}"
    kept = {f"simian.{key}": record[key] for key in FACTS if record.get(key) is not None}
    run = tracer.start_span(name, start_time=_ns(record["started"]), attributes=kept)
    for fault in record.get("faults", ()):
        about = {"simian.fault": str(fault["kind"]), "simian.target": str(fault["target"])}
        for what in ("injected", "undone"):
            if fault.get(what):
                run.add_event(what, about, timestamp=_ns(fault[what]))
    for phase in record.get("phases", ()):
        if phase.get("ended"):
            inside = trace.set_span_in_context(run)
            span = tracer.start_span(str(phase["phase"]), context=inside, start_time=_ns(phase["started"]))
            span.end(_ns(phase["ended"]))
    if record.get("verdict") == "broken" or record.get("recovery") == "stuck":
        run.set_status(trace.Status(trace.StatusCode.ERROR, "; ".join(record.get("reasons", ()))[:500]))
    run.end(_ns(record["ended"]))


def _ns(moment: str) -> int:
    """ISO 8601 as nanoseconds since the epoch, to the microsecond."""
    return round(datetime.fromisoformat(moment).timestamp() * 1e6) * 1000
