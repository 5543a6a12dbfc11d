"""Random histories, run by a backend and by the reference: every answer and every state in between has to be the same."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clarion.domain.errors import StaleLease
from clarion.domain.limits import HOLD_MS_MAX
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait, WaitEnd
from clarion.ports.stage_store import (
    AcceptState,
    Broadcasts,
    Cancellation,
    Commit,
    CursorMove,
    GroupProgress,
    IdempotencyEntry,
    IntentEntry,
    IntentWrite,
    Lease,
    PlanState,
    StageResult,
    StaleCaps,
    StaleCursor,
    StaleKey,
    Timer,
)
from clarion.ports.streams import Frame
from tests.contract.journals import BACKENDS, START_MS, Journal, VirtualClock, cursor
from tests.look import Look

TOPICS = ("accepted.bulk", "accepted.high", "outcomes")
GROUPS = ("plan", "record")
PARTITIONS = 2
TTL_MS = 100

topics = st.sampled_from(TOPICS)
groups = st.sampled_from(GROUPS)
partitions = st.integers(0, PARTITIONS - 1)
owners = st.sampled_from(["one", "two"])
small = st.integers(0, 6)
ids = st.sampled_from([b"a", b"b", b"c"])
keys_of_cells = st.sampled_from([b"a", b"b", b"b\xff", b"\xff", b"\xff\xff"])
# Fences are guessed, so that right, stale and never-given ones all come up.
leases = st.builds(Lease, groups, partitions, owners, st.integers(1, 4))
frames = st.lists(st.builds(Frame, topics, partitions, small, st.binary(max_size=4)), max_size=3)
numbers = st.dictionaries(st.sampled_from(["one", "two"]), small, max_size=2)
commits = st.lists(st.builds(Commit, leases, topics, small, numbers), max_size=2)
timers = st.lists(st.builds(Timer, ids, small.map(lambda n: START_MS + 20 * n), topics, partitions, ids), max_size=2)
keys = st.builds(
    IdempotencyEntry, st.just("acme"), st.sampled_from("kl"), ids, ids, small.map(lambda n: START_MS + n * 30)
)
cancellations = st.lists(
    st.builds(Cancellation, st.just("acme"), ids, small.map(lambda n: START_MS + n * 30)), max_size=2
)
cursors = st.lists(st.builds(cursor, ids, partitions, small), max_size=1)
cells = st.lists(st.builds(Cell, partitions, keys_of_cells, st.none() | ids), max_size=3)
waits = st.lists(
    st.builds(Wait, st.just("acme"), ids, ids, topics, partitions, small.map(lambda n: START_MS + n * 30)), max_size=2
)
ended = st.lists(st.builds(WaitEnd, st.just("acme"), ids, ids), max_size=2)
signals = st.lists(st.builds(Signal, st.just("acme"), ids, ids), max_size=1)
# Few slots and times, so that a read is current about as often as it is stale.
changes = st.tuples(st.sampled_from([0, 1, 63]), st.integers(0, 2), st.integers(0, 2))
caps = st.lists(
    st.builds(CapWrite, st.just("acme"), ids, st.integers(0, 1), st.lists(changes, max_size=2).map(tuple)), max_size=2
)
entries = st.builds(IntentEntry, small, st.binary(max_size=4))
intents = st.lists(st.builds(IntentWrite, leases, st.lists(entries, max_size=3), small), max_size=2)
moves = st.lists(st.builds(CursorMove, leases, ids, small, small, small, small, small, st.booleans()), max_size=1)


class TwoBackends(RuleBasedStateMachine):
    """Runs every operation on both backends, under one clock."""

    backend = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = VirtualClock()
        self.data_dir = Path(tempfile.mkdtemp(prefix="journal-machine-"))
        self.model = BACKENDS["memory"](self.data_dir, self.clock, PARTITIONS)
        self.real = self.open()

    def open(self) -> Journal:
        return BACKENDS[self.backend](self.data_dir, self.clock, PARTITIONS)

    def both(self, name: str, *arguments: Any) -> Any:
        """Call one method of both and return their common result, which may be a refusal."""
        answers = [self.runner.run(self.answer(journal, name, arguments)) for journal in (self.model, self.real)]
        assert answers[0] == answers[1]
        return answers[0]

    async def answer(self, journal: Any, name: str, arguments: Any) -> Any:
        try:
            return await getattr(journal, name)(*arguments)
        except StaleKey as refusal:
            return refusal.keys
        except (StaleLease, StaleCursor, StaleCaps) as refusal:
            return type(refusal)

    @initialize()
    def hold_something(self) -> None:
        for group in GROUPS:
            self.both("acquire", group, 0, "one", TTL_MS)
        self.both("commit", StageResult(broadcasts=Broadcasts(cursors=[cursor(b"a")])))

    @rule(ms=st.integers(1, 60))
    def pass_time(self, ms: int) -> None:
        self.clock.pass_ms(ms)

    @rule(ms=st.integers(-500, 500))
    def step_the_wall_clock(self, ms: int) -> None:
        self.clock.wall_ms += ms

    @rule(group=groups, partition=partitions, owner=owners)
    def acquire(self, group: str, partition: int, owner: str) -> None:
        self.both("acquire", group, partition, owner, TTL_MS)

    @rule(asked=st.lists(leases, max_size=3))
    def renew(self, asked: list[Lease]) -> None:
        self.both("renew", asked, TTL_MS)

    @rule(asked=st.lists(leases, max_size=2))
    def release(self, asked: list[Lease]) -> None:
        self.both("release", asked)

    @rule(asked=st.lists(owners, max_size=2))
    def release_dead(self, asked: list[str]) -> None:
        self.both("release_dead", asked)

    @rule(new=frames)
    def append_frames(self, new: list[Frame]) -> None:
        self.both("commit", StageResult(frames=new))

    @rule(
        batch=st.builds(
            StageResult,
            frames=frames,
            timers=timers,
            progress=st.builds(GroupProgress, commits),
            accept_state=st.builds(AcceptState, st.lists(keys, max_size=2), cancellations),
            broadcasts=st.builds(Broadcasts, cursors),
        )
    )
    def append_and_commit(self, batch: StageResult) -> None:
        self.both("commit", batch)

    @rule(new=frames, lease=leases, added=timers, steps=moves)
    def append_under_a_lease(self, new: list[Frame], lease: Lease, added: list[Timer], steps: list[CursorMove]) -> None:
        self.both("commit", StageResult(frames=new, timers=added, lease=lease, broadcasts=Broadcasts(moves=steps)))

    @rule(
        new=frames,
        lease=leases | st.none(),
        kept=cells,
        begun=waits,
        over=ended,
        sent=signals,
        taken=caps,
        opened=intents,
    )
    def append_a_step_of_planning(
        self,
        new: list[Frame],
        lease: Lease | None,
        kept: list[Cell],
        begun: list[Wait],
        over: list[WaitEnd],
        sent: list[Signal],
        taken: list[CapWrite],
        opened: list[IntentWrite],
    ) -> None:
        self.both(
            "commit",
            StageResult(
                frames=new,
                lease=lease,
                plan_state=PlanState(cells=kept, waits=begun, ended_waits=over, signals=sent, caps=taken),
                progress=GroupProgress(intents=opened),
            ),
        )

    @rule(limit=st.integers(1, 3))
    def fire(self, limit: int) -> None:
        self.both("fire", self.clock.now_ms(), limit)

    @rule(name=ids, status=st.sampled_from(["running", "paused", "cancelled"]))
    def set_cursor_status(self, name: bytes, status: str) -> None:
        self.both("set_cursor_status", name, status, ["running", "paused"], self.clock.now_ms())

    @rule(age_ms=st.integers(-10, 200).flatmap(lambda ms: st.sampled_from([ms, ms - HOLD_MS_MAX])))
    def trim(self, age_ms: int) -> None:
        self.both("trim", self.clock.now_ms() - age_ms)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.real.close())
        self.real = self.open()

    @invariant()
    def everything_reads_the_same(self) -> None:
        assert self.seen(self.model) == self.seen(self.real)

    def seen(self, journal: Any) -> list[Any]:
        """Return all state that the port exposes."""
        return self.runner.run(self.look(journal))

    async def look(self, journal: Any) -> list[Any]:
        streams = [(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]
        look = Look(journal)
        return [
            [await look.read(*stream, after, 2) for stream in streams for after in (0, 3)],
            [await look.since(*stream, self.clock.now_ms() - 40) for stream in streams],
            [await look.head(*stream) for stream in streams],
            [await look.committed(group, partition) for group in GROUPS for partition in range(PARTITIONS)],
            [await journal.open_intents(group, partition) for group in GROUPS for partition in (0, 1)],
            [await look.backlog(group) for group in GROUPS],
            [await look.idempotency("acme", key, self.clock.now_ms()) for key in "kl"],
            [await look.cursors(0), await look.cursors(status="running"), await look.cursor(b"a")],
            [await look.cells(partition, [b"a", b"b", b"none"]) for partition in range(PARTITIONS)],
            [await look.cells_under(0, prefix, 2, after) for prefix in (b"", b"b", b"\xff") for after in (b"", b"b")],
            [await look.waits("acme", key, limit) for key in (b"a", b"b") for limit in (1, 9)],
            [await look.caps("acme", rule, [0, 1, 2]) for rule in (b"a", b"b", b"c")],
            [await look.cancelled_since(0), await look.cancelled_since(2), await look.next_due_ms()],
        ]

    def teardown(self) -> None:
        self.runner.run(self.real.close())
        self.runner.close()
        shutil.rmtree(self.data_dir)


class MemoryAndPostgres(TwoBackends):
    backend = "postgres"


TwoBackends.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
MemoryAndPostgres.TestCase.settings = settings(max_examples=15, stateful_step_count=25)
test_sqlite_does_what_the_referee_does = pytest.mark.slow(TwoBackends.TestCase)
test_postgres_does_what_the_referee_does = pytest.mark.engines(MemoryAndPostgres.TestCase)
