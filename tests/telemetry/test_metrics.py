"""A daemon's numbers, made of events, read as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from simian.telemetry.metrics import Metrics


def read(metrics: Metrics, halted: bool = False) -> dict[str, float]:
    """Each line's name with the values of its labels (by their names), and its number."""
    found = {}
    for family in text_string_to_metric_families(metrics.text(halted)):
        for line in family.samples:
            found[" ".join([line.name, *(line.labels[name] for name in sorted(line.labels))])] = line.value
    return found


def fault(n: int, state: str) -> dict[str, object]:
    return {"event": "fault", "id": n, "kind": "kill", "target": "a", "state": state}


def test_a_run_is_counted_from_its_start_to_its_end() -> None:
    metrics = Metrics()
    metrics.count(0.0, "r1", {"event": "started", "monkey": "chaos"})
    for n in (1, 2):
        metrics.count(1.0, "r1", fault(n, "injected"))
    told = read(metrics)
    assert (told["simian_runs_going_on"], told["simian_faults_in_place"]) == (1, 2)
    metrics.count(10.0, "r1", {"event": "phase", "phase": "recover"})
    metrics.count(10.2, "r1", fault(2, "undone"))
    metrics.count(10.4, "r1", fault(1, "undone"))
    metrics.count(11.0, "r1", {"event": "closed", "outcome": "completed", "verdict": "held", "recovery": "clean"})
    metrics.count(11.0, "r1", {"event": "ended", "exit": 0})
    told = read(metrics, halted=True)
    assert told["simian_runs_total chaos completed clean held"] == 1
    assert (told["simian_runs_going_on"], told["simian_faults_in_place"], told["simian_halted"]) == (0, 0, 1)
    assert round(told["simian_abort_seconds_sum"], 3) == 0.4
    assert told["simian_abort_seconds_count"] == 1


def test_what_is_stuck_stays_in_place_and_counts_once() -> None:
    metrics = Metrics()
    metrics.count(0.0, "r1", fault(1, "injected"))
    for _ in range(3):
        metrics.count(1.0, "r1", fault(1, "stuck"))
    metrics.count(2.0, "r1", {"event": "ended", "exit": 5})
    told = read(metrics)
    assert (told["simian_undo_failures_total"], told["simian_faults_in_place"]) == (1, 1)


def test_due_times_count_by_state_and_lateness_by_start() -> None:
    metrics = Metrics()
    metrics.due({"schedule": "s", "state": "started"}, 0.07)
    metrics.due({"schedule": "s", "state": "missed"}, None)
    told = read(metrics)
    assert (told["simian_due_times_total s started"], told["simian_due_times_total s missed"]) == (1, 1)
    assert told["simian_schedule_lateness_seconds_bucket 0.1"] == 1
    assert told["simian_schedule_lateness_seconds_bucket 0.05"] == 0
