"""The group-commit thread when the disk fails, the queue is full or a caller has left."""

import asyncio
import subprocess
import sys
import time

import apsw
import pytest

from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.limits_processes import JOURNAL_QUEUE_JOBS_MAX
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.journal_writer import GroupCommit
from clarion.stores.sqlite.wake_ups import WakeUps

DISK_FAILS = """
import asyncio, resource, signal, sys
from pathlib import Path
from clarion.stores.sqlite.journal import open_journal
from clarion.domain.errors import DurabilityError
from tests.contract.journals import VirtualClock, frames
from tests.look import Look

async def main():
    journal = open_journal(Path(sys.argv[1]), VirtualClock(), 1)
    await journal.commit(frames(b"kept"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    for size in (200_000, 1):
        try:
            await journal.commit(frames(b"x" * size))
        except DurabilityError:
            print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        await journal.commit(frames(b"after the disk came back"))
    except DurabilityError:
        print("still refused")
    print([frame.payload for frame in await Look(journal).read("t", 0, 0)])
    await journal.close()

asyncio.run(main())
"""


class Touched:
    """A transaction that reports which stream it touched."""

    grown = (("t", 0),)

    def __init__(self, db):
        self.db = db

    def __getattr__(self, name):
        return getattr(self.db, name)


@pytest.fixture
def db(tmp_path):
    db = connect(tmp_path / "x.db")
    db.execute("CREATE TABLE rows (body)")
    return db


@pytest.fixture
async def writer(db, tmp_path):
    writer = GroupCommit(db, Touched, lambda _: None, lambda: None, WakeUps(tmp_path / "wakes"))
    yield writer
    await writer.close()


def insert(size: int = 1):
    return lambda db: db.execute("INSERT INTO rows VALUES (zeroblob(?))", (size,)).fetchall()


def count(db: apsw.Connection) -> int:
    return db.execute("SELECT count(*) FROM rows").fetchone()[0]


@pytest.mark.slow
def test_after_a_write_error_nothing_is_acknowledged(tmp_path):
    child = [sys.executable, "-c", DISK_FAILS, tmp_path]
    done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["refused", "refused", "still refused", "[b'kept']"], done.stderr


async def test_a_full_disk_refuses_and_later_accepts_again(writer):
    await writer.run(lambda db: db.execute("PRAGMA max_page_count = 10").fetchall())
    with pytest.raises(Overloaded, match="full"):
        await writer.run(insert(1_000_000))
    await writer.run(insert())
    await writer.run(lambda db: db.execute("PRAGMA max_page_count = 10000").fetchall())
    await writer.run(insert(1_000_000))
    assert await writer.run(count) == 2


async def test_a_failing_caller_does_not_affect_the_others(writer):
    def wrong(db):
        insert()(db)
        raise ValueError("mine alone")

    results = await asyncio.gather(
        writer.run(insert()), writer.run(wrong), writer.run(insert()), return_exceptions=True
    )
    assert isinstance(results[1], ValueError)
    assert await writer.run(count) == 2


async def test_an_unexpected_error_stops_the_writer_and_stores_nothing(writer):

    def broken(db):
        insert()(db)
        raise RuntimeError("a bug")

    results = await asyncio.gather(writer.run(insert()), writer.run(broken), return_exceptions=True)
    assert [type(result) for result in results] == [DurabilityError, DurabilityError]
    with pytest.raises(DurabilityError, match="a bug"):
        await writer.run(count)


async def test_the_queue_is_bounded(writer):
    appends = [asyncio.ensure_future(writer.run(insert())) for _ in range(3 * JOURNAL_QUEUE_JOBS_MAX)]
    results = await asyncio.gather(*appends, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert await writer.run(count) == len(results) - len(refused)
    assert len(results) - len(refused) >= JOURNAL_QUEUE_JOBS_MAX


async def test_a_caller_that_left_gets_no_result(writer):
    gone = asyncio.ensure_future(writer.run(insert()))
    await asyncio.sleep(0)
    gone.cancel()
    await writer.run(insert())
    assert gone.cancelled()
    assert await writer.run(count) == 2


async def test_a_commit_is_announced_before_its_callers_resume(db, tmp_path):
    report = []
    wakes = WakeUps(tmp_path / "wakes")
    writer = GroupCommit(db, Touched, lambda streams: report.append(streams), lambda: None, wakes)
    await writer.run(insert())
    report.append("returned")
    await writer.close()
    assert report == [{("t", 0)}, "returned"]


async def test_deferrable_work_joins_the_next_transaction(writer):
    waiting = asyncio.ensure_future(writer.run(insert(), may_wait_ms=60_000))
    await asyncio.sleep(0.05)
    assert not waiting.done(), "no other caller has committed"
    assert await writer.run(count) == 0, "what does not wait goes first"
    async with asyncio.timeout(5):
        await waiting
    assert await writer.run(count) == 1


async def test_deferrable_work_gets_its_own_transaction_after_a_while(writer):
    async with asyncio.timeout(5):
        await asyncio.gather(*(writer.run(insert(), may_wait_ms=20) for _ in range(3)))
    assert await writer.run(count) == 3


async def test_deferrable_work_waits_its_time_after_other_work_left_early(writer):
    def alone(db):
        insert()(db)
        return time.monotonic()

    async with asyncio.timeout(10):
        first = asyncio.ensure_future(writer.run(insert(), may_wait_ms=150))
        await asyncio.sleep(0.05)
        await writer.run(insert())
        await first
        began_s = time.monotonic()
        stored_s = await writer.run(alone, may_wait_ms=200)
    assert stored_s - began_s >= 0.19, "the time of the first did not end this one's"


async def test_work_that_waits_when_the_writer_closes_is_stored(db, tmp_path):
    writer = GroupCommit(db, Touched, lambda _: None, lambda: None, WakeUps(tmp_path / "wakes"))
    waiting = asyncio.ensure_future(writer.run(insert(), may_wait_ms=60_000))
    await asyncio.sleep(0)
    await writer.close()
    await waiting
    assert count(connect(tmp_path / "x.db")) == 1


async def test_deferrable_work_is_bounded_too(writer):
    some = [asyncio.ensure_future(writer.run(insert(), may_wait_ms=60_000)) for _ in range(JOURNAL_QUEUE_JOBS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await writer.run(insert())
    for one in some:
        one.cancel()


async def test_only_a_transaction_without_durable_work_is_not_synced(writer):
    def synced(db):
        return db.pragma("synchronous")

    full, normal = 2, 1
    assert await writer.run(synced, synced=False) == normal
    assert await writer.run(synced) == full
    both = await asyncio.gather(writer.run(synced, synced=False), writer.run(synced))
    assert both == [full, full]
