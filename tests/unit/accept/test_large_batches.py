"""A batch so large that reading, checking or encoding it would block the event loop is processed in a thread."""

import threading

import pytest

from clarion.accept import intake_batches, worker
from clarion.accept.submissions import Batch
from clarion.ways_in.http import routes_notifications as routes
from tests.unit.accept.harness import BATCH, IntakeHarness

WORK = [(routes, "_item"), (intake_batches, "_checked"), (worker, "_result")]
ITEMS = [{"to": "u1", "template": "hello", "data": {"n": number}} for number in range(3)] + [{"to": "u1"}]


@pytest.mark.parametrize(("bytes_max", "here"), [(10, False), (10_000, True)])
async def test_a_large_batch_is_processed_in_a_thread(directory, monkeypatch, bytes_max, here):
    monkeypatch.setattr(routes, "LOOP_BATCH_BYTES_MAX", bytes_max)
    threads = {}

    def watch(module, name):
        real = getattr(module, name)

        def watched(*args):
            threads[name] = threading.current_thread() is threading.main_thread()
            return real(*args)

        monkeypatch.setattr(module, name, watched)

    for module, name in WORK:
        watch(module, name)
    begun = intake_batches.BatchIntake.begin

    def begin(batches, batch: Batch):
        threads["begin"] = threading.current_thread() is threading.main_thread()
        return begun(batches, batch)

    monkeypatch.setattr(intake_batches.BatchIntake, "begin", begin)
    harness = IntakeHarness(directory)
    report = await harness.post_json(BATCH, {"notifications": ITEMS})
    assert [result["status"] for result in report["results"]] == ["accepted"] * 3 + ["refused"]
    assert len(list(harness.stored())) == 3
    assert threads == dict.fromkeys([*(name for _, name in WORK), "begin"], here)
