"""A small installation without sockets, threads or real time: memory journal, real rules, real vendors.

Definitions come from a real control store; outcomes are folded by the real fold into a ledger of dictionaries.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from clarion.content.gather import Contents
from clarion.deliver.accounts.grants import Grant, HealthTransition
from clarion.deliver.accounts.limit_request import CallDemand
from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.partition.worker_handover import Handovers
from clarion.deliver.rules.retry import RetryPolicy
from clarion.deliver.send.worker import Sender
from clarion.deliver.worker import ChannelPool
from clarion.domain import ids
from clarion.domain.account_health import HealthState
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.content import Account, Category, Template
from clarion.domain.delivery_state import State
from clarion.domain.history import Attempt, Changes, ChunkState, DeadLetter, Delivery
from clarion.domain.message import LocalReply, LocalRequest, Message
from clarion.domain.outcome import Outcome
from clarion.domain.user import Device, UserWrite
from clarion.journal import topics
from clarion.journal.codec import decode, encode
from clarion.journal.events import AcceptedFrame, Event, Recipient, Request
from clarion.languages.cel.expressions import CelExpressions
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.plan.gather import step_gatherer
from clarion.plan.worker import PlanWorker
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.control_accounts import ProviderWrite, Suppression
from clarion.ports.directory import Directory
from clarion.ports.seen_receipts import Seen
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.ports.vendor import Traits
from clarion.providers.inapp import inapp
from clarion.providers.sandbox import sandbox
from clarion.record.gather import OpenRows
from clarion.runtime.consumer import LeasedPartitions
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.controls import ControlPlane
from tests.folding import fold_rows
from tests.look import Glance
from tests.registries import categories_of, templates_of
from tests.stages.virtual import LoopClock, kill

TENANT = "acme"
GROUP = topics.group_deliver(Channel.SMS)
POLICY = RetryPolicy(pauses_ms=(1_000, 2_000, 4_000, 8_000), age_max_ms=60_000)

SCRIPTS: dict[str, Any] = {
    "accepted": "accepted",
    "throttled": [{"outcome": "throttled", "after_ms": 7_000}, "accepted"],
    "transient": ["transient", "transient", "accepted"],
    "hopeless": "transient",
    "ambiguous": ["ambiguous", "accepted"],
    "refused": "refused",
    "dead-token": "invalid_recipient",
    "misconfigured": "misconfigured",
}
"""What the sandbox answers to addresses that start with these words."""


def address(script: str, number: int = 0) -> str:
    return f"{script}-{number}"


class Notes:
    """Telemetry that records counts and log lines for assertions."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.lines: list[str] = []

    def cpu(self, stage: str) -> nullcontext[None]:
        return nullcontext()

    async def cpu_of(self, stage: str, work: Awaitable[Any]) -> Any:
        return await work

    def count(self, name: str, amount: int, **labels: str) -> None:
        self.counts[name, *labels.values()] += amount

    def log(self, level: str, event: str, **fields: Any) -> None:
        self.lines.append(event)

    def security(self, event, **fields):
        self.lines.append(event.value)


class WatchedSandbox:
    """The sandbox vendor with its calls recorded; `traits` can be those of other vendors."""

    def __init__(self, **traits: Any) -> None:
        self.TRAITS: Traits = msgspec.structs.replace(sandbox.TRAITS, **traits)
        self.calls: list[tuple[str, int]] = []
        self.accepted: list[tuple[str, int]] = []

    def build(self, message: Message, account: Account, *, now_ms: int, token: str | None) -> LocalRequest:
        self.calls.append((message.address, message.attempt))
        return sandbox.build(message, account, now_ms=now_ms, token=token)

    def read(self, response: LocalReply, message: Message, account: Account, *, now_ms: int) -> Outcome:
        outcome = sandbox.read(response, message, account, now_ms=now_ms)
        if type(outcome).__name__ == "Accepted":
            self.accepted.append((message.delivery_id, message.attempt))
        return outcome


class NoEgress:
    """An egress that must not be called: the sandbox sends nothing over the network."""

    async def send(self, request: Any) -> Any:
        raise AssertionError(f"nothing should go out: {request!r}")

    async def close(self) -> None:
        """Nothing is open."""


class Unhindered:
    """Accounts that always work and have no limits: breakers, pace and retry budgets in one."""

    is_due = is_urgent = False

    async def refresh(self, accounts: Sequence[Account] = ()) -> None:
        """Nothing changes."""

    async def refresh_early(self) -> None:
        """Nothing changes."""

    async def flush(self) -> None:
        """Nothing is written."""

    async def admit_each(self, asked: Sequence[tuple[Account, int]]) -> list[Grant]:
        return [Grant(wanted) for _, wanted in asked]

    def noting(self, changed: asyncio.Event) -> AbstractContextManager[None]:
        """Nothing changes."""
        return nullcontext()

    def state(self, account: Account) -> HealthState:
        return "closed"

    def open_detail(self, account: Account) -> str:
        return ""

    def report(self, account: Account, outcome: Outcome, began_ms: int | None = None) -> None:
        """Nothing is counted."""

    def has_changes(self) -> bool:
        return False

    def changes(self) -> list[HealthTransition]:
        return []

    async def draw_each(self, wanted: Sequence[CallDemand]) -> list[list[int | None]]:
        return [[None] * len(one.addresses) for one in wanted]

    def pace_m(self, account: Account) -> int:
        return 0

    def give_back(self, account: Account, count: int = 1, now_ms: int = 0) -> None:
        """Nothing was taken."""

    def end_call(self, account: Account) -> None:
        """Nothing is counted."""

    def add_attempts(self, account: Account, attempts: int, now_ms: int) -> None:
        """Nothing is counted."""

    def take_retry(self, account: Account, now_ms: int) -> bool:
        return True


class Ledger:
    """Folded state in dictionaries: `ports.state.Ledger.load` and `DeliveryStates` over the real fold's changes."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._offsets: Counter[int] = Counter()
        self._recent = OpenRows()
        self.rows: dict[bytes, Delivery] = {}
        self.chunks: dict[bytes, ChunkState] = {}
        self.attempts: list[Attempt] = []
        self.dead: dict[bytes, DeadLetter] = {}
        self.seen_receipts: dict[tuple[str, bytes, str], int] = {}

    def load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        rows = {id_: self.rows[id_] for id_ in delivery_ids if id_ in self.rows}
        wanted = {row.chunk_id for row in rows.values() if row.chunk_id}.union(chunk_ids)
        return rows, {id_: self.chunks[id_] for id_ in wanted if id_ in self.chunks}

    def fold(self) -> None:
        """Fold all frames appended since the last fold."""
        for partition in range(self._journal.partitions):
            while frames := Glance(self._journal).read(topics.OUTCOMES, partition, self._offsets[partition]):
                self._offsets[partition] = frames[-1].offset
                self._keep(fold_rows(frames, self.load, self._recent))

    def _keep(self, changes: Changes) -> None:
        self.rows.update(changes.deliveries)
        self.chunks.update(changes.chunk_states)
        self.attempts += changes.attempts
        self.dead.update(changes.dead_letters)
        for *key, at_ms in changes.seen_receipts:
            self.seen_receipts[tuple(key)] = max(at_ms, self.seen_receipts.get(tuple(key), 0))

    async def states(self, delivery_ids: Iterable[bytes]) -> dict[bytes, tuple[State, int]]:
        return {id_: (row.state, row.attempt) for id_ in delivery_ids if (row := self.rows.get(id_))}

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        return {seen: self.seen_receipts[seen] for seen in wanted if seen in self.seen_receipts}

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        return sorted(
            (key[2], at_ms) for key, at_ms in self.seen_receipts.items() if key[:2] == (tenant, notification_id)
        )

    async def chunk_states(self, chunk_id: bytes) -> bytes | None:
        return self.chunks[chunk_id].states if chunk_id in self.chunks else None


class SuppressionNotes:
    """Suppressions recorded instead of stored: the control store writes in a thread, which virtual time does not wait for."""

    def __init__(self) -> None:
        self.added: list[tuple[str, str]] = []

    async def add_missing(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        self.added += [(tenant, one.address) for one in suppressions]


class World:
    """One journal with the stages around it. `vendor` serves every channel."""

    def __init__(
        self,
        directory: Directory,
        *,
        seed: int = 0,
        partitions: int = 1,
        vendor: WatchedSandbox | None = None,
        journal: type[MemoryJournal] = MemoryJournal,
    ) -> None:
        self.clock = LoopClock(seed)
        self.journal = journal(self.clock, partitions)
        self.directory = directory
        self.vendor = vendor or WatchedSandbox()
        self.notes = Notes()
        self.ledger = Ledger(self.journal)
        self.suppressions = SuppressionNotes()
        self._accepted = 0

    def leases(self, group: str, owner: str = "worker-0") -> LeasedPartitions:
        return LeasedPartitions(self.journal, group, owner, self.clock)

    def tools(self, channel: Channel = Channel.SMS, **other: Any) -> ChannelContext:
        egress = NoEgress()
        vendors = {(each, "sandbox"): self.vendor for each in CHANNELS} | {(Channel.INAPP, "inapp"): inapp}
        contents = Contents(self.directory, {"liquid": LiquidRenderer()})
        sender = Sender(self.directory, vendors, contents, egress, egress, self.clock, self.notes)  # type: ignore[arg-type]
        values: dict[str, Any] = {"policy": POLICY, "worker": "worker-0", "window": 64, "linger_ms": 5, **other}
        values.setdefault("handovers", Handovers())
        journal = values.pop("journal", self.journal)
        values |= {"streams": journal, "store": journal}
        is_unlimited = Unhindered()
        values.setdefault(
            "accounts", Accounts(self.directory, vendors, is_unlimited, is_unlimited, is_unlimited, self.clock)
        )  # type: ignore[arg-type]
        values.setdefault("cancelled", CancellationCache(journal, self.clock))
        return ChannelContext(
            channel=channel,
            sender=sender,
            states=self.ledger,
            suppressions=self.suppressions,  # type: ignore[arg-type]
            clock=self.clock,
            telemetry=self.notes,
            **values,
        )

    async def pool(self, *, channel: Channel = Channel.SMS, owner: str = "worker-0", **other: Any) -> "RunningPool":
        """Start a pool whose leases do not expire."""
        return self.start(self.tools(channel, **other), await self.held(topics.group_deliver(channel), owner))

    async def held(self, group: str, owner: str = "worker-0") -> LeasedPartitions:
        """Return leases of a group, acquired once."""
        leases = self.leases(group, owner)
        await leases.step()
        return leases

    def start(self, context: ChannelContext, leases: LeasedPartitions) -> "RunningPool":
        return RunningPool(context, leases)

    async def accept(self, *to: str | Recipient, lane: Lane = Lane.NORMAL, **request: Any) -> bytes:
        """Put one accepted notification on the journal and return its id; texts are phone numbers."""
        recipients = [Recipient(contacts={"phone": one}) if isinstance(one, str) else one for one in to]
        values: dict[str, Any] = {"template": "hello", "category": None, "channels": ["sms"], "data": {}, **request}
        self._accepted += 1
        partition = self._accepted % self.journal.partitions
        id_ = ids.notification_id(self.clock.now_ms(), partition, self._accepted.to_bytes(ids.ENTROPY_BYTES, "big"))
        frame = AcceptedFrame([id_], [TENANT], [self.clock.now_ms()], [Request(to=recipients, lane=lane, **values)])
        await self.journal.commit(StageResult(frames=[Frame(topics.accepted(lane), partition, 1, encode(frame, 1))]))
        return id_

    async def plan(self) -> int:
        """Plan all accepted notifications; return their number."""
        worker = self.planner()
        planned = 0
        for partition in range(self.journal.partitions):
            lease = await self.journal.acquire(topics.GROUP_PLAN, partition, "planner", 10_000)
            assert lease is not None
            while number := await worker.step(partition, lease):
                planned += number
        return planned

    def planner(self, journal: Any = None, leases: LeasedPartitions | None = None, **bounds: Any) -> PlanWorker:
        journal = journal or self.journal
        leases = leases or self.leases(topics.GROUP_PLAN)
        expressions = CelExpressions()
        gatherer = step_gatherer(journal, self.directory, expressions, self.ledger, self.ledger)
        fetches = FetchPool(journal, NoEgress(), self.clock, self.notes)  # type: ignore[arg-type]
        values = {"batch_events": 100, "linger_ms": 1, **bounds}
        return PlanWorker(journal, journal, gatherer, expressions, fetches, leases, self.clock, self.notes, **values)

    def states(self) -> dict[str, State]:
        """Fold, then return the state of every delivery by its address."""
        self.ledger.fold()
        return {row.address: row.state for row in self.ledger.rows.values()}

    def events(self, topic: str = topics.OUTCOMES) -> list[Event]:
        partitions = range(self.journal.partitions)
        return [decode(one.payload) for p in partitions for one in Glance(self.journal).read(topic, p, 0, 1_000_000)]


class RunningPool:
    """A channel's running pool. `crash` ends it as a kill does, `drain` as SIGTERM does."""

    def __init__(self, context: ChannelContext, leases: LeasedPartitions, concurrency: int = 4) -> None:
        self.stop = asyncio.Event()
        self._release = asyncio.Event()
        self._keeping = asyncio.create_task(leases.run(self._release))
        self.running = asyncio.create_task(ChannelPool(context, leases, concurrency=concurrency).run(self.stop))

    async def drain(self) -> None:
        self.stop.set()
        await self.running
        self._release.set()
        await self._keeping

    async def crash(self) -> None:
        await kill(self.running, self._keeping)


async def seed_data(control_plane: ControlPlane) -> ControlPlane:
    """Fill a control store with the definitions and users of stage tests."""
    control = control_plane.control
    await control.tenants.put(TENANT, "Acme")
    parts: dict[Channel, dict[str, Any]] = {
        Channel.SMS: {"body": "Hello"},
        Channel.PUSH: {"title": "Hello"},
        Channel.INAPP: {"title": "Hello"},
    }
    await templates_of(control).put(TENANT, Template("hello", 0, None, parts))
    await templates_of(control).put(TENANT, Template("texting", 0, None, {Channel.SMS: {"body": "Hi"}}))
    await categories_of(control).put(TENANT, Category("marketing", defaults={"push": False}))
    settings = {"by_address": {f"{word}-*": script for word, script in SCRIPTS.items()}, "latency_ms": 40}
    for channel in (Channel.SMS, Channel.PUSH):
        await control.providers.put(TENANT, ProviderWrite(channel.value, channel, "sandbox", 0, True, settings, {}))
    for number in range(30):
        devices = tuple(Device(f"d{n}", "push", address("accepted", n * 100 + number)) for n in range(number % 3))
        phone = address("accepted", number) if number % 4 else None
        out = '{"*":{"sms":false}}' if number % 5 == 0 else None
        await control.users.put_many(TENANT, [UserWrite(f"u{number}", phone=phone, preferences=out, devices=devices)])
    return control_plane
