"""Whoever commits wakes who follows: at once, no more often than needed, and nobody relies on it."""

import asyncio
import os
import socket
import stat
import time
from pathlib import Path

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
    began_s, sent = time.monotonic(), 0
    while len(follower.times) < 20:
        sender.send()
        sent += 1
        await asyncio.sleep(0)
    passed_s = time.monotonic() - began_s
    assert len(follower.times) <= passed_s / GAP_S + 2
    assert sent > 3 * len(follower.times)


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


async def test_what_cannot_be_removed_or_is_a_socket_harms_nobody(sender, tmp_path, follower, monkeypatch):
    with socket.socket(socket.AF_UNIX) as other:
        monkeypatch.chdir(tmp_path)
        other.bind("wakes/socket")
        os.mkfifo(tmp_path / "wakes" / "12345-00000000")

        def refused(self):
            raise PermissionError

        monkeypatch.setattr(Path, "unlink", refused)
        sender.send()
        await follower.until(1)
        assert (tmp_path / "wakes" / "socket").exists()


async def test_a_commit_that_can_wake_nobody_is_acknowledged(tmp_path, monkeypatch):
    def broken(self):
        raise OSError("no more files")

    monkeypatch.setattr(Wakes, "_meet", broken)
    journal = open_journal(tmp_path, SystemClock(), 1)
    async with asyncio.timeout(5):
        await journal.commit(FRAME)
        await journal.commit(FRAME)
        await journal.close()


async def test_who_listens_anew_leaves_no_pipe_behind(follower, tmp_path):
    (before,) = (tmp_path / "wakes").iterdir()
    assert follower.listen()
    assert [path.name for path in (tmp_path / "wakes").iterdir()] == [before.name]


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
