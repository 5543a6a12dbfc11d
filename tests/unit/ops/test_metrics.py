"""Metrics: counted per process, summed over all processes, preserved over a restart."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram

from clarion.ops.metrics import Metrics, _Histogram

COUNT_IN_A_PROCESS = """
import sys
from pathlib import Path
from clarion.ops.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]), sys.argv[2])
metrics.count("accepted", 5, lane="normal")
metrics.backlog("plan", int(sys.argv[3]))
metrics.cpu("plan", 0.02)
sys.stdout.write(metrics.exposition().decode())
"""


def test_cpu_time_is_counted_by_the_next_flush_or_with_many_others():
    metrics = Metrics()

    def counted() -> float:
        return sum(
            sample.value for family in metrics._cpu.collect() for sample in family.samples if "total" in sample.name
        )

    metrics.cpu("plan", 0.5)
    assert counted() == 0
    metrics.flush()
    assert counted() == 0.5
    for _ in range(2_000):
        metrics.cpu("plan", 0.5)
    assert counted() >= 700


@given(st.lists(st.sampled_from([0.0, 0.0005, 0.001, 0.0011, 0.03, 0.25, 29.0, 30.0, 31.0]), max_size=30))
def test_a_batch_is_observed_as_the_library_observes_its_amounts_one_by_one(amounts):
    together, singly = (kind("seconds", "", registry=None) for kind in (_Histogram, Histogram))
    together.observe_all(amounts)
    for amount in amounts:
        singly.observe(amount)

    def values(histogram):
        (family,) = histogram.collect()
        return {(one.name, *one.labels.values()): one.value for one in family.samples if "_created" not in one.name}

    assert values(together) == pytest.approx(values(singly))
    assert values(together)["seconds_count",] == len(amounts)


def test_counters_of_one_process():
    metrics = Metrics()
    metrics.count("accepted", 2, lane="high")
    metrics.count("planned", 1, channel="email", decision="skip")
    metrics.count("attempts", 3, channel="email", outcome="accepted")
    metrics.count("timers", 4)
    metrics.count("refused", 1, code="overloaded")
    metrics.backlog("record", 7)
    metrics.cpu("plan", 0.5)
    text = metrics.exposition().decode()
    for line in (
        'clarion_accepted_total{lane="high"} 2.0',
        'clarion_planned_total{channel="email",decision="skip"} 1.0',
        'clarion_attempts_total{channel="email",outcome="accepted"} 3.0',
        'clarion_backlog_events{group="record"} 7.0',
        "clarion_timers_total 4.0",
        'clarion_stage_cpu_seconds_total{stage="plan"} 0.5',
        'clarion_refused_total{code="overloaded"} 1.0',
    ):
        assert line in text


def test_counts_of_processes_are_summed_and_a_restarted_one_continues(tmp_path):
    text = ""
    for role, backlog in (("worker-0", "9"), ("worker-1", "8"), ("worker-0", "4")):
        command = [sys.executable, "-c", COUNT_IN_A_PROCESS, str(tmp_path), role, backlog]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert 'clarion_accepted_total{lane="normal"} 15.0' in text
    assert 'clarion_backlog_events{group="plan"} 4.0' in text
    assert 'clarion_stage_seconds_count{stage="plan"} 3.0' in text


SHOW_AND_END = """
import os, sys
from pathlib import Path
from clarion.ops.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]), sys.argv[2])
metrics.count("accepted", 5, lane="normal")
metrics.connections(7)
if sys.argv[3] == "killed":
    os._exit(0)
metrics.end()
"""


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_what_a_process_showed_goes_with_it_or_with_its_successor_and_what_it_counted_stays(tmp_path, how):
    subprocess.run([sys.executable, "-c", SHOW_AND_END, str(tmp_path), "gateway", how], check=True)
    assert bool(list(tmp_path.glob("gauge_*_gateway.db"))) == (how == "killed")
    successor = [sys.executable, "-c", COUNT_IN_A_PROCESS, str(tmp_path), "gateway", "0"]
    text = subprocess.run(successor, check=True, capture_output=True, text=True).stdout
    assert 'clarion_accepted_total{lane="normal"} 10.0' in text
    assert "clarion_gateway_connections 7.0" not in text
