"""The benchmark of the journal."""


def test_intents_of_one_fault_and_of_a_zone_are_measured_beside_sqlite3() -> None:
    import journal
    import peers

    report = peers.Report(1, quick=True)
    journal.measure(report)
    assert [row.what for row in report.rows] == [
        "intent of one fault, p50", "intent of one fault, p99", "intent of 20 faults, p50", "intent of 20 faults, p99",
    ]  # fmt: skip
    assert all(row.peer_name == "sqlite3" and row.ratio for row in report.rows)
    assert [row.goal for row in report.rows] == ["ours <= 1", "ours <= 5", "-", "-"]
