"""The benchmark of readings."""


def test_all_ways_to_store_and_read_are_measured() -> None:
    import peers
    import readings

    report = peers.Report(1, quick=True)
    readings.measure(report)
    assert [row.peer_name for row in report.rows] == ["sqlite3", "Core", "add_all", "", "sqlite3", "json.loads"]
    assert all(row.ours > 0 for row in report.rows)
    assert all(row.ratio for row in report.rows if row.peer_name)
