"""Whoever commits wakes who follows: at once, no more often than needed, and nobody relies on it."""

import asyncio
import os
import stat
import time

import pytest

from clarion.backends.sqlite.journal import SqliteJournal, open_journal
from clarion.backends.sqlite.wakes import GAP_S, Wakes
from clarion.domain.limits import WAKE_PIPES_MAX
from clarion.ops.clock import SystemClock
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame

FRAME = StageResult(frames=[Frame("t", 0, 1, b"x")])


class Heard:
    """A follower that counts."""

    def __init__(self, folder):
        self.wakes = Wakes(folder)
        self.times = []
        self._heard = asyncio.Event()

    def listen(self):
        return self.wakes.listen(self._hear)

    def _hear(self):
        self.times.append(time.monotonic())
        self._heard.set()

    async def until(self, number):
        async with asyncio.timeout(5):
            while len(self.times) < number:
                self._heard.clear()
                await self._heard.wait()


@pytest.fixture
async def follower(tmp_path):
    one = Heard(tmp_path / "wakes")
    assert one.listen()
    yield one
    one.wakes.close()


@pytest.fixture
def sender(tmp_path):
    one = Wakes(tmp_path / "wakes")
    yield one
    one.hang_up()


async def test_one_who_follows_hears_of_each_commit(follower, sender):
    for number in range(1, 4):
        sender.send()
        await follower.until(number)


async def test_one_who_comes_later_is_met(follower, sender, tmp_path):
    sender.send()
    await follower.until(1)
    later = Heard(tmp_path / "wakes")
    later.listen()
    sender.send()
    await later.until(1)
    later.wakes.close()


async def test_many_commits_are_few_wake_ups(follower, sender):
    began_s = time.monotonic()
    while time.monotonic() - began_s < 20 * GAP_S:
        sender.send()
        await asyncio.sleep(0)
    await asyncio.sleep(3 * GAP_S)
    assert 2 <= len(follower.times) <= 25


async def test_who_does_not_read_blocks_nobody_and_wakes_later(follower, sender):
    for _ in range(100_000):  # more than a pipe holds
        sender.send()
    await follower.until(1)


async def test_nobody_wakes_itself(follower):
    follower.wakes.send()
    await asyncio.sleep(3 * GAP_S)
    assert follower.times == []


async def test_what_a_killed_process_left_is_removed(sender, tmp_path, follower):
    left = tmp_path / "wakes" / "12345-00000000"
    os.mkfifo(left)
    sender.send()
    await follower.until(1)
    assert not left.exists()


async def test_who_left_is_forgotten(sender, tmp_path, follower):
    gone = Heard(tmp_path / "wakes")
    gone.listen()
    sender.send()
    await gone.until(1)
    gone.wakes.close()
    sender.send()
    sender.send()
    await follower.until(1)
    assert [path.name for path in (tmp_path / "wakes").iterdir()] == [follower.wakes._name]


async def test_a_file_that_is_no_pipe_is_never_written_to(sender, tmp_path, follower):
    alien = tmp_path / "wakes" / "alien"
    alien.write_bytes(b"kept")
    sender.send()
    await follower.until(1)
    assert alien.read_bytes() == b"kept"


async def test_no_more_pipes_are_held_than_the_bound(sender, tmp_path, follower):
    readers = []
    for number in range(WAKE_PIPES_MAX + 5):
        path = tmp_path / "wakes" / f"{number}-aaaa"
        os.mkfifo(path)
        readers.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    sender.send()
    assert len(sender._peers) == WAKE_PIPES_MAX
    for reader in readers:
        os.close(reader)


async def test_a_pipe_is_for_its_owner_alone(follower, tmp_path):
    (pipe,) = (tmp_path / "wakes").iterdir()
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o600
    assert stat.S_IMODE(pipe.parent.stat().st_mode) == 0o700


async def test_where_no_pipe_can_be_made_it_says_so(tmp_path):
    (tmp_path / "wakes").write_text("in the way")
    assert not Heard(tmp_path / "wakes").listen()


async def latency_s(tmp_path, times: int = 5) -> list[float]:
    """Return how long after a commit of one process another one that waits goes on."""
    ours = open_journal(tmp_path, SystemClock(), 1)
    theirs = SqliteJournal(tmp_path, SystemClock(), 1)
    found = []
    try:
        watch = ours.watch(["t"], 0)
        for _ in range(times):
            waiting = asyncio.ensure_future(watch.wait(5_000))
            await asyncio.sleep(0.05)
            await theirs.commit(FRAME)
            began_s = time.monotonic()
            assert await waiting
            found.append(time.monotonic() - began_s)
    finally:
        await ours.close()
        await theirs.close()
    return found


async def test_a_journal_follows_the_commits_of_another_process(tmp_path):
    assert min(await latency_s(tmp_path)) < 0.1


async def test_a_commit_whose_wake_up_is_lost_is_found_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(Wakes, "send", lambda self: None)
    found = await latency_s(tmp_path, times=2)
    assert max(found) < 1


async def test_without_pipes_commits_are_looked_for_every_few_milliseconds(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wakes").write_text("in the way")
    assert min(await latency_s(tmp_path)) < 0.1
