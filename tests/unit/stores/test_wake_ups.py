"""A commit wakes the processes that follow the journal: at once, no more often than needed, and none relies on it."""

import asyncio
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from clarion.domain.limits_processes import WAKE_PIPES_MAX
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame, StreamOffset
from clarion.runtime.clock import SystemClock
from clarion.stores.sqlite.journal import SqliteJournal, open_journal
from clarion.stores.sqlite.wake_ups import GAP_S, WakeUps

STREAM = ("t", 0)
FRAME = StageResult(frames=[Frame("t", 0, 1, b"x")])


class Follower:
    """A follower that counts."""

    def __init__(self, folder):
        self.wakes = WakeUps(folder)
        self.times = []
        self.streams = set()
        self._heard = asyncio.Event()

    def listen(self):
        return self.wakes.listen(self._on_wake_up)

    def _on_wake_up(self, streams):
        self.streams = None if streams is None or self.streams is None else self.streams | streams
        self.times.append(time.monotonic())
        self._heard.set()

    async def until(self, number):
        async with asyncio.timeout(5):
            while len(self.times) < number:
                self._heard.clear()
                await self._heard.wait()


@pytest.fixture
async def follower(tmp_path):
    one = Follower(tmp_path / "wakes")
    assert one.listen()
    yield one
    one.wakes.close()


@pytest.fixture
def sender(tmp_path):
    one = WakeUps(tmp_path / "wakes")
    yield one
    one.close_senders()


async def test_a_follower_is_woken_by_each_commit(follower, sender):
    for number in range(1, 4):
        sender.send([STREAM])
        await follower.until(number)


async def test_a_later_follower_is_found(follower, sender, tmp_path):
    sender.send([STREAM])
    await follower.until(1)
    later = Follower(tmp_path / "wakes")
    later.listen()
    sender.send([STREAM])
    await later.until(1)
    later.wakes.close()


async def test_many_commits_are_few_wake_ups(follower, sender):
    began_s, sent = time.monotonic(), 0
    while len(follower.times) < 20:
        sender.send([STREAM])
        sent += 1
        await asyncio.sleep(0)
    passed_s = time.monotonic() - began_s
    assert len(follower.times) <= passed_s / GAP_S + 2
    assert sent > 3 * len(follower.times)


async def test_a_follower_that_does_not_read_blocks_nobody_and_wakes_later(follower, sender):
    for _ in range(100_000):  # more than a pipe holds
        sender.send([STREAM])
    await follower.until(1)


async def test_a_process_does_not_wake_itself(follower):
    follower.wakes.send([STREAM])
    await asyncio.sleep(3 * GAP_S)
    assert follower.times == []


async def test_the_pipe_of_a_killed_process_is_removed(sender, tmp_path, follower):
    left = tmp_path / "wakes" / "12345-00000000"
    os.mkfifo(left)
    sender.send([STREAM])
    await follower.until(1)
    assert not left.exists()


async def test_a_follower_that_left_is_forgotten(sender, tmp_path, follower):
    gone = Follower(tmp_path / "wakes")
    gone.listen()
    sender.send([STREAM])
    await gone.until(1)
    gone.wakes.close()
    sender.send([STREAM])
    sender.send([STREAM])
    await follower.until(1)
    assert [path.name for path in (tmp_path / "wakes").iterdir()] == [follower.wakes._name]


async def test_a_file_that_is_no_pipe_is_never_written_to(sender, tmp_path, follower):
    alien = tmp_path / "wakes" / "alien"
    alien.write_bytes(b"kept")
    sender.send([STREAM])
    await follower.until(1)
    assert alien.read_bytes() == b"kept"


async def test_no_more_pipes_are_held_than_the_bound(sender, tmp_path, follower):
    readers = []
    for number in range(WAKE_PIPES_MAX + 5):
        path = tmp_path / "wakes" / f"{number}-aaaa"
        os.mkfifo(path)
        readers.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    sender.send([STREAM])
    assert len(sender._peers) == WAKE_PIPES_MAX
    for reader in readers:
        os.close(reader)


async def test_a_file_that_cannot_be_removed_or_a_socket_does_no_harm(sender, tmp_path, follower, monkeypatch):
    with socket.socket(socket.AF_UNIX) as other:
        monkeypatch.chdir(tmp_path)
        other.bind("wakes/socket")
        os.mkfifo(tmp_path / "wakes" / "12345-00000000")

        def refused(self, missing_ok):
            raise PermissionError

        monkeypatch.setattr(Path, "unlink", refused)
        sender.send([STREAM])
        await follower.until(1)
        assert (tmp_path / "wakes" / "socket").exists()


async def test_a_commit_whose_wake_ups_fail_is_acknowledged(tmp_path, monkeypatch):
    def broken(self):
        raise OSError("no more files")

    monkeypatch.setattr(WakeUps, "_open_new", broken)
    journal = open_journal(tmp_path, SystemClock(), 1)
    async with asyncio.timeout(5):
        await journal.commit(FRAME)
        await journal.commit(FRAME)
        await journal.close()


async def test_listening_again_leaves_no_pipe_behind(follower, tmp_path):
    (before,) = (tmp_path / "wakes").iterdir()
    assert follower.listen()
    assert [path.name for path in (tmp_path / "wakes").iterdir()] == [before.name]


async def test_a_pipe_is_for_its_owner_alone(follower, tmp_path):
    (pipe,) = (tmp_path / "wakes").iterdir()
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o600
    assert stat.S_IMODE(pipe.parent.stat().st_mode) == 0o700


async def test_a_pipe_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "wakes").write_text("in the way")
    assert not Follower(tmp_path / "wakes").listen()


async def test_a_follower_learns_which_streams_grew(follower, sender):
    sender.send([STREAM, ("outcomes", 3)])
    await follower.until(1)
    assert follower.streams == {STREAM, ("outcomes", 3)}


async def test_a_follower_of_one_partition_ignores_the_others(follower, sender, tmp_path):
    follower.wakes.want(frozenset({3, "timers"}))
    sender.send([STREAM])
    sender.send([("cursors", 0)])
    await asyncio.sleep(3 * GAP_S)
    assert follower.times == []
    sender.send([("timers", 0)])
    await follower.until(1)
    sender.send([STREAM, ("outcomes", 3)])
    await follower.until(2)
    follower.wakes.want(None)
    sender.send([STREAM])
    await follower.until(3)
    follower.wakes.close()
    assert list((tmp_path / "wakes").iterdir()) == []


async def test_a_commit_that_touched_nothing_wakes_nobody(follower, sender):
    sender.send([])
    await asyncio.sleep(3 * GAP_S)
    assert follower.times == []


async def test_more_streams_than_a_message_holds_are_any_streams(follower, sender):
    sender.send([(f"topic-{number}", number) for number in range(500)])
    await follower.until(1)
    assert follower.streams is None


@pytest.mark.slow
async def test_after_a_missed_message_any_stream_may_have_grown(follower, sender):
    follower.wakes._listening[0].remove_reader(follower.wakes._listening[1])
    for _ in range(100_000):
        sender.send([STREAM])
    os.read(follower.wakes._listening[1], 1 << 20)
    follower.wakes._listening[0].add_reader(follower.wakes._listening[1], follower.wakes._receive)
    sender.send([STREAM])
    await follower.until(1)
    assert follower.streams is None


@pytest.mark.parametrize("said", [b"\x00", b"\xff\xff\xff", b"\x01\x00\x07", os.urandom(600)])
async def test_an_unknown_message_means_any_stream(follower, tmp_path, said):
    (pipe,) = (tmp_path / "wakes").iterdir()
    pipe.write_bytes(said)
    await follower.until(1)
    assert follower.streams is None


async def test_unreadable_interests_mean_every_stream(follower, sender, tmp_path):
    (tmp_path / "wakes" / f"{follower.wakes._name}.wants").write_text("nonsense")
    sender.send([STREAM])
    await follower.until(1)


@pytest.mark.slow
async def test_lost_wake_ups_delay_a_follower_by_at_most_a_second(tmp_path, monkeypatch):
    send, sent, dropped = WakeUps.send, [0], [0]

    def lossy(self, streams):
        sent[0] += 1
        if sent[0] % 100 == 50:
            dropped[0] += 1
        else:
            send(self, streams)

    monkeypatch.setattr(WakeUps, "send", lossy)
    found = sorted(await latency_s(tmp_path, times=300))
    assert dropped[0] >= 3
    assert 0.02 < found[-1] < 1.1
    assert found[len(found) // 2] < 0.1


async def read(journal, watch, after):
    """Read repeatedly as a consumer does, until there is a frame."""
    while not (await journal.read_many([StreamOffset("t", 0, after)]))[0]:
        assert await watch.wait(5_000)


async def latency_s(tmp_path, times: int = 5) -> list[float]:
    """Return how long after a commit of one process another process that waits for it continues."""
    ours = open_journal(tmp_path, SystemClock(), 1)
    theirs = SqliteJournal(tmp_path, SystemClock(), 1)
    found = []
    try:
        watch = ours.watch(["t"], [0])
        for number in range(times):
            reading = asyncio.ensure_future(read(ours, watch, number))
            await asyncio.sleep(0.05)
            await theirs.commit(FRAME)
            began_s = time.monotonic()
            await reading
            found.append(time.monotonic() - began_s)
    finally:
        await ours.close()
        await theirs.close()
    return found


async def test_a_journal_follows_the_commits_of_another_process(tmp_path):
    assert min(await latency_s(tmp_path)) < 0.1


@pytest.mark.slow
async def test_a_commit_whose_wake_up_is_lost_is_found_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(WakeUps, "send", lambda self, streams: None)
    found = await latency_s(tmp_path, times=2)
    assert max(found) < 1


async def test_without_pipes_commits_are_polled_every_few_milliseconds(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wakes").write_text("in the way")
    assert min(await latency_s(tmp_path)) < 0.1
