import subprocess
import sys
import time

import psutil
import pytest

from clarion_lab.bench.idle import BOUNDS, Idle, ProcessUsage, compare, usage_of
from clarion_lab.load.programs import RunError

QUIET = Idle(
    seconds=60.0,
    cpu_share=0.004,
    wakeups_per_second={"up": 0.0, "api": 4.9},
    pss_mb={"up": 40.0, "api": 60.0},
    new_account_ms=[150.0],
    sends_ms=[40.0, 20.0, 90.0],
)


def test_two_readings_give_shares_of_the_time_between_them():
    before = {"up": ProcessUsage(1.0, {1: 10}, 30.0), "api": ProcessUsage(2.0, {2: 100, 3: 7}, 50.0)}
    after = {"up": ProcessUsage(1.1, {1: 10}, 31.0), "api": ProcessUsage(2.3, {2: 120, 4: 20}, 52.0)}
    found = compare(before, after, 10.0)
    assert found.cpu_share == pytest.approx(0.04)
    assert found.wakeups_per_second == {"up": 0.0, "api": 4.0}  # a thread that is new was never asleep before
    assert found.pss_mb == {"up": 31.0, "api": 52.0}


def test_a_process_that_ended_meanwhile_is_reported():
    with pytest.raises(RunError, match="worker-0"):
        compare({"worker-0": ProcessUsage(1.0, {}, 1.0)}, {}, 10.0)


def test_usage_within_all_bounds_passes_and_the_first_send_counts():
    line, passed = QUIET.outcome()
    assert passed
    assert (line["passed"], line["missed"]) == (True, [])
    assert (line["first_send_ms"], line["send_worst_ms"], line["send_median_ms"]) == (40.0, 90.0, 40.0)
    assert (line["pss_mb"], line["wakeups_per_second"]) == (100.0, 4.9)


@pytest.mark.parametrize(
    ("missed", "found"),
    [
        ("cpu_share", QUIET._replace(cpu_share=0.011)),
        ("wakeups_per_second", QUIET._replace(wakeups_per_second={"up": 0.0, "api": 5.1})),
        ("pss_mb", QUIET._replace(pss_mb={"up": 150.0, "api": 101.0})),
        ("first_send_ms", QUIET._replace(sends_ms=[61.0, 20.0])),
    ],
)
def test_each_bound_can_be_missed(missed, found):
    line, passed = found.outcome()
    assert not passed
    assert line["missed"] == [missed]
    assert set(line["bounds"]) == set(BOUNDS)


@pytest.mark.skipif(not psutil.LINUX, reason="reads /proc")
def test_a_real_process_shows_how_often_it_woke_up():
    code = "import time; print(flush=True)\nfor _ in range(20): time.sleep(0.001)\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.readline()
        as_dict = usage_of(psutil.Process(process.pid))
        assert sum(as_dict.sleeps.values()) >= 20
        assert 1.0 < as_dict.pss_mb < 100.0
        assert 0.0 < as_dict.cpu_s < time.process_time() + 10.0
        process.communicate(b"\n")
    with pytest.raises((RunError, psutil.NoSuchProcess)):
        usage_of(psutil.Process(process.pid))
