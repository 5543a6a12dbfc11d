"""Readiness checks as data."""

from clarion.domain.times import shown
from clarion.ops import health


def test_ready_only_if_every_check_holds(tmp_path):
    assert health.report([health.disk(tmp_path), health.backlog(5, 10)]).ready
    full = health.report([health.disk(tmp_path), health.backlog(11, 10)])
    assert not full.ready
    assert full.checks[1].detail == "11 events wait, at most 10 may"


def test_a_missing_role_is_named_and_changes_nothing_else(tmp_path):
    missing = health.MissingRole("plan", shown(0))
    report = health.report([health.disk(tmp_path)], [missing])
    assert report.ready
    assert report.missing == [missing]


def test_a_missing_data_directory_is_named(tmp_path):
    check = health.disk(tmp_path / "gone")
    assert not check.ok
    assert "gone" in check.detail


def test_a_full_disk_is_not_ready(tmp_path, monkeypatch):
    monkeypatch.setattr(health, "DISK_FREE_BYTES_MIN", 2**62)
    assert "MiB free" in health.disk(tmp_path).detail
