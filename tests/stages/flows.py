"""Workflow execution over one journal, with a clock moved from timer to timer.

Definitions and users are in dictionaries. Messages of a turn are recorded once its append is durable, so a dropped turn sent
nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random
from typing import Any

import msgspec

from clarion.domain import ids
from clarion.domain.channel import LANES, Lane
from clarion.domain.content import Category
from clarion.domain.delivery_state import State
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.policy import Policy
from clarion.domain.user import User
from clarion.domain.workflow import Workflow
from clarion.journal import topics
from clarion.journal.codec import decode, encode
from clarion.journal.events import AcceptedFrame, AdvanceFrame, Event, ProgressFrame, Recipient, Request, SignalFrame
from clarion.journal.signals import event_key, seen_key, signal
from clarion.languages.cel.expressions import CelExpressions
from clarion.plan.columns import PlanItem, unpack
from clarion.plan.gather_waits import WaitGatherer
from clarion.plan.notes import Notes as StoredOutcome
from clarion.plan.rules.need import merged
from clarion.plan.wait_facts import WaitFacts
from clarion.plan.work import Batch, work_of
from clarion.plan.workflow.fetch_calls import FetchJob
from clarion.plan.workflow.instance_step import InstanceStep
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.directory import Defined, DefinitionKey
from clarion.ports.expressions import Expressions
from clarion.ports.seen_receipts import Seen
from clarion.ports.stage_store import AcceptState, Cancellation, Commit, GroupProgress, Lease, PlanState, StageResult
from clarion.ports.streams import Frame
from tests.contract.journals import Journal, VirtualClock
from tests.look import Glance
from tests.stages.world import TENANT, Notes

ENDINGS = ("completed", "merged", "cancelled", "expired", "failed")
ZONE_OF_USERS = "Europe/Berlin"


class Shelf:
    """Definitions and users in dictionaries; `workflows[key]` are versions, counted from 1."""

    def __init__(self, **workflows: dict[str, Any]) -> None:
        self.workflows: dict[str, list[Workflow]] = {}
        self.users_: dict[str, User] = {}
        self.policy = Policy()
        self.categories_: dict[str, Category] = {}
        for key, body in workflows.items():
            self.put(key, body)

    def put(self, key: str, body: dict[str, Any]) -> None:
        self.workflows.setdefault(key, []).append(msgspec.convert(body, Workflow))

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        return {tenant: self._known(user_ids) for tenant, user_ids in wanted.items()}

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        found = {key: self._definition(*key) for key in keys}
        return {key: one for key, one in found.items() if one is not None}

    def revision(self, tenant: str) -> int:
        return 1

    def is_current(self) -> bool:
        return True

    async def categories(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Category]:
        return {name: self.categories_[name[1]] for name in names if name[1] in self.categories_}

    def _known(self, user_ids: Collection[str]) -> dict[str, User]:
        known = {user_id: User(user_id, 1, 1, zone=ZONE_OF_USERS) for user_id in user_ids if user_id != "gone"}
        return {**known, **{key: user for key, user in self.users_.items() if key in user_ids}}

    def _definition(self, tenant: str, kind: Any, key: str, version: int | None = None) -> Defined[Any] | None:
        if kind is Policy:
            return Defined(key, 1, self.policy)
        versions = self.workflows.get(key, [])
        number = version or len(versions)
        return Defined(key, number, versions[number - 1]) if 0 < number <= len(versions) else None


class Eyes:
    """Seen events by user."""

    def __init__(self) -> None:
        self.saw: dict[tuple[bytes, str], int] = {}

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        return {seen: self.saw[seen[1:]] for seen in wanted if seen[1:] in self.saw}

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        return sorted((user, at_ms) for (id_, user), at_ms in self.saw.items() if id_ == notification_id)


class Nothing:
    """A lookup of deliveries that finds none."""

    async def states(self, delivery_ids: Iterable[bytes]) -> dict[bytes, tuple[State, int]]:
        return {}

    async def chunk_states(self, chunk_id: bytes) -> bytes | None:
        return None


class Server:
    """Responds to HTTP calls with `answers` in turn, and repeats the last one. A callable may raise."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.answers: list[Callable[[], HttpResponse]] = [lambda: HttpResponse(200, {}, b"{}")]

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer()

    async def close(self) -> None:
        """Nothing is open."""


class Flow:
    """`crashes` decides before each append whether the process dies there; `fetching` whether calls are made. `rounds` counts
    turns that were repeated because facts were missing."""

    def __init__(self, journal: Journal, clock: VirtualClock, shelf: Shelf) -> None:
        self.journal, self.clock, self.shelf = journal, clock, shelf
        self.eyes, self.server, self.notes = Eyes(), Server(), Notes()
        self.crashes: Callable[[], bool] = lambda: False
        self.fetching = True
        self.died = self.rounds = 0
        self.sent: list[PlanItem] = []
        self.called: list[FetchJob] = []
        self._leases: dict[int, Lease] = {}
        self._made = 0
        self.reborn()

    def reborn(self) -> None:
        """Restart the process: its memory is lost."""
        self.expressions = CelExpressions()
        self.gatherer = WaitGatherer(self.journal, self.shelf, Nothing(), self.eyes, self.expressions)  # type: ignore[arg-type]
        self.pool = FetchPool(self.journal, self.server, self.clock, self.notes)

    async def trigger(self, workflow: str, *to: str | Recipient, lane: Lane = Lane.NORMAL, **request: Any) -> bytes:
        """Put a request with a workflow on the journal as accept does and return its id; texts are user ids."""
        recipients = [Recipient(user_id=one) if isinstance(one, str) else one for one in to]
        slot = ids.slot_for(TENANT, recipients[0].user_id, self.journal.partitions)
        partition = slot % self.journal.partitions
        self._made += 1
        id_ = ids.notification_id(self.clock.now_ms(), slot, self._made.to_bytes(ids.ENTROPY_BYTES, "big"))
        values: dict[str, Any] = {"template": "", "category": None, "channels": None, "data": {}, **request}
        values.setdefault("workflow_version", len(self.shelf.workflows.get(workflow, [])))
        asked = Request(to=recipients, lane=lane, workflow=workflow, **values)
        payload = encode(AcceptedFrame([id_], [TENANT], [self.clock.now_ms()], [asked]), 1)
        await self.journal.commit(StageResult(frames=[Frame(topics.accepted(lane), partition, 1, payload)]))
        return id_

    async def see(self, notification_id: bytes, user_id: str) -> None:
        """Report a notification as seen by a user: folded and signalled."""
        self.eyes.saw[notification_id, user_id] = self.clock.now_ms()
        await self._signal(seen_key(notification_id, user_id), {})

    async def event(self, type_: str, user_id: str, **data: Any) -> None:
        """Append an event about a user."""
        await self._signal(event_key(type_, user_id), data)

    async def cancel(self, notification_id: bytes) -> None:
        """Cancel a notification."""
        gone = Cancellation(TENANT, notification_id, self.clock.now_ms())
        await self.journal.commit(StageResult(accept_state=AcceptState(cancellations=[gone])))

    async def settle(self) -> None:
        """Plan until there is no work left."""
        while True:
            worked = [await self.step(partition) for partition in range(self.journal.partitions)]
            await self.pool.idle()
            if not any(worked):
                return

    async def pass_ms(self, ms: int) -> None:
        """Move the clock from one timer to the next."""
        end_ms = self.clock.now_ms() + ms
        await self.settle()
        while (due_ms := Glance(self.journal).next_due_ms()) is not None and due_ms <= end_ms:
            self.clock.pass_ms(max(due_ms - self.clock.now_ms(), 0))
            await self.journal.fire(self.clock.now_ms(), 1_000)
            await self.settle()
        self.clock.pass_ms(end_ms - self.clock.now_ms())

    async def step(self, partition: int) -> bool:
        """Plan one batch of a partition and return whether it had any work."""
        lease = await self._lease(partition)
        now_ms, (batch, commits) = self.clock.now_ms(), self._read(partition, lease)
        result = StoredOutcome()
        await self.gatherer.refresh([lease])
        facts, _ = await self.gatherer.gather(work_of(batch, now_ms), lease, now_ms)
        turn = _taken(batch, facts, self.expressions, result, now_ms)
        while turn.lacking:
            self.rounds += 1
            facts, result = await self.gatherer.more(facts, merged(turn.lacking)), StoredOutcome()
            turn = _taken(batch, facts, self.expressions, result, now_ms)
        turn.finish()
        if not commits and not turn.cells:
            return False
        if self.crashes():
            self.died += 1
            self.reborn()
            return True
        await self.journal.commit(
            StageResult(frames=turn.frames, timers=turn.timers, lease=lease, progress=GroupProgress(commits=commits), plan_state=PlanState(cells=turn.cells, waits=turn.waits, ended_waits=turn.ended_waits))
        )  # fmt: skip
        self.gatherer.cancelled.mark_read(lease)
        for level, event, fields in result.lines:
            self.notes.log(level, event, **fields)
        self.sent += turn.sends
        self.called += turn.fetches
        if self.fetching:
            self.pool.begin(turn.fetches)
        return True

    def _read(self, partition: int, lease: Lease) -> tuple[list[tuple[Lane, Event]], list[Commit]]:
        commits = []
        batch = []
        committed = Glance(self.journal).committed(topics.GROUP_PLAN, partition)
        for lane in LANES:
            topic = topics.accepted(lane)
            after = committed[topic].offset if topic in committed else 0
            frames = Glance(self.journal).read(topic, partition, after)
            batch += [(lane, decode(stored.payload)) for stored in frames]
            if frames:
                commits.append(Commit(lease, topic, frames[-1].offset))
        return batch, commits

    def stories(self) -> dict[bytes, list[str]]:
        """Return the history of each instance, event by event."""
        result: dict[bytes, list[str]] = defaultdict(list)
        for frame in self.progress():
            for id_, event in zip(frame.instance_ids, frame.events, strict=True):
                result[id_].append(event)
        return result

    def progress(self) -> list[ProgressFrame]:
        """Return the frames of `outcomes`, partition by partition."""
        partitions = range(self.journal.partitions)
        stored = [one for p in partitions for one in Glance(self.journal).read(topics.OUTCOMES, p, 0, 1_000_000)]
        return [frame for one in stored if isinstance(frame := decode(one.payload), ProgressFrame)]

    def endings(self) -> Counter[str]:
        """Return the final events of instances."""
        return Counter(event for story in self.stories().values() for event in story if event in ENDINGS)

    def details(self, event: str) -> list[str]:
        """Return the details of the events of a kind."""
        rows = [zip(frame.events, frame.details, strict=True) for frame in self.progress()]
        return [detail for row in rows for name, detail in row if name == event]

    def sent_to(self, user_id: str) -> list[tuple[str, str]]:
        """Return (step, template) of the messages to a user, in order."""
        return [(item.step, item.request.template) for item in self.sent if item.request.to[0].user_id == user_id]

    def cell_keys(self) -> list[bytes]:
        """Return the keys of the cells that exist."""
        return [
            key for p in range(self.journal.partitions) for key, _ in Glance(self.journal).cells_under(p, b"", 10_000)
        ]

    async def _signal(self, key: bytes, data: dict[str, Any]) -> None:
        await self.journal.commit(
            StageResult(plan_state=PlanState(signals=[signal(TENANT, key, self.clock.now_ms(), data)]))
        )

    async def _lease(self, partition: int) -> Lease:
        lease = await self.journal.acquire(topics.GROUP_PLAN, partition, "planner", 60_000)
        assert lease is not None
        return lease


def _taken(
    batch: Batch, facts: WaitFacts, expressions: Expressions, result: StoredOutcome, now_ms: int
) -> InstanceStep:
    """Return a turn that took a batch."""
    turn = InstanceStep(facts, expressions, result, now_ms)
    turn.catch_up()
    for lane, event in batch:
        match event:
            case AcceptedFrame():
                for item in unpack(lane, event):
                    turn.start(item)
            case AdvanceFrame():
                turn.advance(lane, event)
            case SignalFrame():
                turn.signal(lane, event)
            case other:
                raise AssertionError(f"nobody plans {type(other).__name__} here")
    return turn


def advances(payload: bytes) -> bool:
    """Return whether a frame moves instances that have begun."""
    frame = decode(payload)
    return isinstance(frame, AdvanceFrame) and "start" not in frame.causes


def unlucky(seed: int, chance: float = 0.3) -> Callable[[], bool]:
    """Return a function that crashes at random, but lets every second try succeed."""
    random, last = Random(seed), [False]

    def dies() -> bool:
        last[0] = not last[0] and random.random() < chance
        return last[0]

    return dies
