import os
import subprocess
import sys
import time

import psutil
import pytest

from clarion_lab.load import accounting
from clarion_lab.load.accounting import (
    MachineUsage,
    ProcessFacts,
    Reading,
    blocked,
    busy,
    busy_since,
    role_of,
    split_us,
    stage_cpu_s,
    tree,
)

PAGE = """\
# HELP clarion_stage_cpu_seconds_total CPU
clarion_stage_cpu_seconds_total{stage="plan",process="1"} 1.5
clarion_stage_cpu_seconds_total{process="2",stage="plan"} 0.5
clarion_stage_cpu_seconds_total{stage="record"} 2e-3
clarion_stage_cpu_seconds_total_created{stage="record"} 9
clarion_other_total{stage="plan"} 7
"""


def test_stage_counters_of_all_processes_are_added_up() -> None:
    assert stage_cpu_s(PAGE) == {"plan": 2.0, "record": 0.002}


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (["python", "-m", "clarion", "worker", "--stages", "plan"], "worker"),
        (["/v/bin/python", "/v/bin/clarion", "api"], "api"),
        (["python", "clarion", "up", "--workers", "2"], "supervisor"),
        (["python", "-P", "-m", "clarion.app.processes.confined"], "confined"),
        ([], "supervisor"),
        (["clarion", "worker", "--index", "0", "", ""], "worker"),  # a copied process, as the system shows it
    ],
)
def test_a_role_is_read_from_the_command_line(command: list[str], role: str) -> None:
    assert role_of(command) == role


def reading(api: float, worker: float, plan: float, record: float) -> Reading:
    processes = [ProcessFacts(1, "api", api, 2**20), ProcessFacts(2, "worker", worker, 2**20)]
    return Reading(processes, {"plan": plan, "record": record})


def test_the_split_adds_up_to_the_total_and_the_rest_is_delivering() -> None:
    split = split_us(reading(1, 2, 0.5, 0.25), reading(1.2, 3, 0.7, 0.35), 10_000)
    assert split == pytest.approx({"accept": 20, "plan": 20, "deliver": 70, "record": 10, "total": 120})


def test_peaks_are_summed() -> None:
    assert reading(0, 0, 0, 0).peak_mb == 2.0


BUSY = """\
clarion_loop_busy_seconds_sum{by="plan",process="worker"} 1.5
clarion_loop_busy_seconds_bucket{by="plan",le="0.02",process="worker"} 3.0
clarion_loop_busy_seconds_bucket{by="plan",le="0.05",process="worker"} 5.0
clarion_loop_busy_seconds_bucket{by="plan",le="+Inf",process="worker"} 7.0
clarion_loop_busy_seconds_count{by="plan",process="worker"} 7.0
clarion_loop_busy_seconds_bucket{by="turn",le="0.05",process="api"} 4.0
clarion_loop_busy_seconds_count{by="turn",process="api"} 4.0
"""


def test_only_stretches_beyond_the_bound_count_and_only_new_ones() -> None:
    assert busy(BUSY) == {"worker.plan": 2, "api.turn": 0}
    assert busy("") == {}
    assert busy_since(Reading([], {}, {"worker.plan": 1}), Reading([], {}, busy(BUSY))) == {"worker.plan": 1}


def test_a_tree_counts_living_children_and_reaped_ones() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint('go', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"go\n"
        found = tree(parent.pid)
        own = tree(os.getpid())
        parent.communicate(b"\n")
    assert [fact.pid for fact in found] == [parent.pid]
    ticks_lost_s = 2 / os.sysconf("SC_CLK_TCK")  # those of a child that was reaped are whole ticks, user and system
    assert found[0].cpu_s >= 0.2 - ticks_lost_s
    assert parent.pid in {fact.pid for fact in own}
    assert all(fact.peak_bytes > 0 for fact in own)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count in ticks")
def test_usage_of_a_process_is_finer_than_ticks() -> None:
    def own() -> float:
        (fact,) = (fact for fact in tree(os.getpid()) if fact.pid == os.getpid())
        return fact.cpu_s

    before_s, began_s = own(), time.process_time()
    while time.process_time() - began_s < 0.003:
        pass
    assert 0.003 <= own() - before_s < 0.1


def test_own_usage_is_not_counted_as_that_of_other_processes() -> None:
    using = MachineUsage()
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert 0.0 <= using.others() <= 1.0
    assert accounting._own_s() - using._own_s >= 0.29


def test_a_tree_that_is_gone_is_empty() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not psutil.pid_exists(process.pid)
    assert tree(process.pid) == []


def test_a_block_over_the_bound_is_reported_and_many_short_callbacks_are_not() -> None:
    assert blocked({"worker.turn": 3, "api.turn": 1}) == []
    assert blocked({"worker.turn": 3, "worker.plan": 1, "api.accept": 2}) == ["api.accept", "worker.plan"]
