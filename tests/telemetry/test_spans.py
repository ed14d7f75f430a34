"""A run as spans: what happened when, from its record."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from simian.telemetry.spans import provider_for, tell_spans

from ..report import records


def told(record: dict[str, object]) -> InMemorySpanExporter:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tell_spans(record, provider)
    return kept


@pytest.mark.parametrize("name", ["held gorilla", "stuck latency"])
def test_a_run_has_a_span_for_each_phase_and_an_event_for_each_fault(name: str) -> None:
    record = records.ALL[name]()
    spans = {span.name: span for span in told(record).get_finished_spans()}
    root = spans.pop(f"simian {record['monkey']}")
    assert set(spans) == {phase["phase"] for phase in record["phases"] if phase["ended"]}
    assert all(span.parent is not None and span.parent.span_id == root.context.span_id for span in spans.values())
    events = [(event.name, event.attributes["simian.target"]) for event in root.events]
    assert events.count(("injected", record["faults"][0]["target"])) >= 1
    assert (root.attributes["simian.run"], root.attributes["simian.verdict"]) == (record["run"], record["verdict"])
    assert root.status.is_ok is (record["recovery"] != "stuck" and record["verdict"] != "broken")
    assert root.start_time < root.end_time


def test_without_an_endpoint_nothing_is_sent_anywhere() -> None:
    assert provider_for({}) is None
