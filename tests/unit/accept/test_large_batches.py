"""A batch so large that reading, checking or encoding it would hold up the event loop is worked on in a thread."""

import threading

import pytest

from clarion.accept import intake_batches, routes, worker
from clarion.accept.submissions import Batch
from tests.unit.accept.entrance import BATCH, Entrance

WORK = [(routes, "_items"), (intake_batches, "_admitted"), (worker, "_result")]
ITEMS = [{"to": "u1", "template": "hello", "data": {"n": number}} for number in range(3)] + [{"to": "u1"}]


@pytest.mark.parametrize(("bytes_max", "here"), [(10, False), (10_000, True)])
async def test_a_large_batch_is_worked_on_in_a_thread(directory, monkeypatch, bytes_max, here):
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
    begun = intake_batches.Batches.begin

    def begin(batches, batch: Batch):
        threads["begin"] = threading.current_thread() is threading.main_thread()
        return begun(batches, batch)

    monkeypatch.setattr(intake_batches.Batches, "begin", begin)
    entrance = Entrance(directory)
    told = await entrance.say(BATCH, {"notifications": ITEMS})
    assert [result["status"] for result in told["results"]] == ["accepted"] * 3 + ["refused"]
    assert len(list(entrance.stored())) == 3
    assert threads == dict.fromkeys([*(name for _, name in WORK), "begin"], here)
