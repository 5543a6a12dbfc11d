"""The cost of planning alone: one process, its journal and its stores, no HTTP, no sending, no recording.

Preferences, quiet hours, caps and routing all apply: 3,400 profiles in 40 zones with quiet hours from 22:00 to 08:00, a
cap on the category, a route from push to e-mail.
"""

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from clarion.app.config.loading import load
from clarion.app.processes import gc_tuning
from clarion.app.wiring.parts import Parts
from clarion.domain import ids
from clarion.domain.cap import Cap
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Category, CategoryRules, Template
from clarion.domain.limits_processes import LEASE_TTL_MS_MAX
from clarion.domain.policy import Policy
from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.domain.route import Route
from clarion.domain.security_events import SecurityEvent
from clarion.domain.user import Device, UserWrite
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Audience, BroadcastJob, Recipient, Request
from clarion.plan.broadcast.gather_pages import PageGatherer
from clarion.plan.broadcast.worker import BroadcastWorker
from clarion.plan.gather import step_gatherer
from clarion.plan.worker import PlanWorker
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.control_accounts import ProviderWrite
from clarion.ports.stage_store import Broadcasts, Cursor, StageResult
from clarion.ports.streams import Frame
from clarion.runtime.consumer import LeasedPartitions
from clarion.runtime.metering import Meter
from clarion_lab.load import people
from clarion_lab.load.definitions import put_body, put_category, put_template

TENANT: Final = "bench"
USERS: Final = 1_000_000
SINGLES: Final = 100_000
ACTIVE_USERS: Final = 100_000
"""Recipients of single notifications; a broadcast is sent to all users."""
FRAME_EVENTS: Final = 250
USERS_A_WRITE: Final = 2_000
PAGE_USERS: Final = 5_000
BACKLOG_MAX: Final = 10**9
_CATEGORY: Final = people.BROADCAST_CATEGORY
_ENTROPY: Final = ids.ENTROPY_BYTES


class PlanFigures(NamedTuple):
    """CPU microseconds of the plan stage per notification and per recipient of a broadcast, the same with the appends
    of the journal's writer (`_process_us`), and the number of decisions by result."""

    single_us: float
    broadcast_us: float
    single_process_us: float
    broadcast_process_us: float
    singles: dict[str, int]
    broadcast: dict[str, int]
    users: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON line."""
        return {"case": "plan", **self._asdict()}


T = TypeVar("T")


class _Counts:
    """Telemetry that counts decisions, and the CPU seconds that a stage measures itself."""

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()
        self.cpu_s = 0.0

    @contextmanager
    def cpu(self, stage: str) -> Iterator[None]:
        began_s = time.thread_time()
        yield
        self.cpu_s += time.thread_time() - began_s

    async def cpu_of(self, stage: str, work: Coroutine[Any, Any, T]) -> T:
        meter = Meter()
        found = await meter.run(work)
        self.cpu_s += meter.spent_ns / 1e9
        return found

    def count(self, name: str, amount: int, **labels: str) -> None:
        if name == "planned":
            self.decisions[f"{labels['channel']}.{labels['decision']}"] += amount

    def log(self, level: str, event: str, **fields: Any) -> None:
        raise RuntimeError(f"{level}: {event} {fields}")

    def security(self, event: SecurityEvent, **fields: Any) -> None:
        raise RuntimeError(f"{event}: {fields}")


_Work = Callable[[Parts, _Counts, int, int], Awaitable[float]]
"""Does one part of the work for a number of users; returns the CPU seconds of the process that count."""


class _Cost(NamedTuple):
    """CPU seconds of the stage and of its process, and the number of decisions by kind."""

    stage_s: float
    process_s: float
    decisions: dict[str, int]


def measure(folder: Path, users: int, singles: int = SINGLES) -> PlanFigures:
    """Return the figures of planning for the given number of stored users. Seed data, notifications and broadcast have
    a process each, so that none is affected by the memory of another."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        processes.submit(_in_process, _seed_data, folder, users, 0).result()
        single = processes.submit(_in_process, _singles, folder, users, singles).result()
        broadcast = processes.submit(_in_process, _broadcast, folder, users, 0).result()
    return PlanFigures(
        single_us=_us(single.stage_s, singles),
        broadcast_us=_us(broadcast.stage_s, users),
        single_process_us=_us(single.process_s, singles),
        broadcast_process_us=_us(broadcast.process_s, users),
        singles=single.decisions,
        broadcast=broadcast.decisions,
        users=users,
    )


def _in_process(work: _Work, folder: Path, users: int, number: int) -> _Cost:
    return asyncio.run(_with_parts(work, folder, users, number))


async def _with_parts(work: _Work, folder: Path, users: int, number: int) -> _Cost:
    parts = await Parts.open(load(None, {"CLARION_DATA_DIR": str(folder)}), "bench")
    counts = _Counts()
    try:
        process_s = await work(parts, counts, users, number)
        return _Cost(counts.cpu_s, process_s, dict(counts.decisions))
    finally:
        await parts.close()


async def _singles(parts: Parts, counts: _Counts, users: int, number: int) -> float:
    await _accept(parts, users, number)
    gc_tuning.tune()
    return await _plan_singles(parts, counts)


async def _broadcast(parts: Parts, counts: _Counts, _users: int, _number: int) -> float:
    gc_tuning.tune()
    return await _plan_broadcast(parts, counts)


def _us(seconds: float, number: int) -> float:
    return round(seconds * 1e6 / number, 2)


async def _seed_data(parts: Parts, _counts: _Counts, users: int, _number: int) -> float:
    control = parts.control
    await control.tenants.put(TENANT, "Bench")
    quiet = QuietHours((QuietWindow("22:00", "08:00"),))
    policy = Policy(quiet_hours=quiet)
    await put_body(control.documents, TENANT, Policy.KIND, "tenant", policy)
    route = Route(first=(Channel.PUSH, Channel.EMAIL))
    rules = CategoryRules(caps=(Cap(3, "1d"),), route=route)
    await put_category(control.documents, TENANT, Category(_CATEGORY, rules=rules))
    for key in people.CATEGORIES[1:]:
        await put_category(control.documents, TENANT, Category(key))
    parts_of: dict[Channel, dict[str, Any]] = {Channel.PUSH: people.PUSH_PARTS, Channel.EMAIL: people.EMAIL_PARTS}
    await put_template(control.documents, TENANT, Template(people.TEMPLATE, 0, _CATEGORY, parts_of))
    for channel in (Channel.PUSH, Channel.EMAIL):
        await control.providers.put(TENANT, ProviderWrite(channel.value, channel, "sandbox", 0, True, {}, {}))
    for start in range(0, users, USERS_A_WRITE):
        await control.users.put_many(TENANT, [_user(n) for n in range(start, min(start + USERS_A_WRITE, users))])
    return 0.0


def _user(number: int) -> UserWrite:
    body = people.user(number, profiles=True)
    (device,) = body["devices"]
    return UserWrite(
        body["id"],
        email=body["email"],
        locale=body["locale"],
        zone=body["zone"],
        preferences=msgspec.json.encode(body["preferences"], order="sorted").decode(),
        devices=(Device(device["id"], device["channel"], device["token"]),),
    )


async def _accept(parts: Parts, users: int, singles: int) -> None:
    chance = random.Random(1)
    now_ms = parts.clock.now_ms()
    for start in range(0, singles, FRAME_EVENTS):
        numbers = range(start, min(start + FRAME_EVENTS, singles))
        asked = [
            Request([Recipient(people.user_id(chance.randrange(min(users, ACTIVE_USERS))))], people.TEMPLATE, _CATEGORY, None, Lane.NORMAL,
                    dict(people.data(number)))
            for number in numbers
        ]  # fmt: skip
        made = [ids.notification_id(now_ms, 0, number.to_bytes(_ENTROPY, "big")) for number in numbers]
        frame = AcceptedFrame(made, [TENANT] * len(made), [now_ms] * len(made), asked)
        stored = Frame(topics.accepted(Lane.NORMAL), 0, len(made), encode(frame, len(made)))
        await parts.store.commit(StageResult(frames=[stored]))


async def _plan_singles(parts: Parts, counts: _Counts) -> float:
    """Return the CPU seconds of the process while it plans all accepted notifications."""
    gatherer = step_gatherer(parts.store, parts.directory, parts.expressions, parts.state.ledger, parts.state.history)
    leases = _leases(parts, topics.GROUP_PLAN)
    await leases.step()
    plan = parts.config.plan
    worker = PlanWorker(
        parts.streams,
        parts.store,
        gatherer,
        parts.expressions,
        FetchPool(parts.store, parts.http(), parts.clock, counts),
        leases,
        parts.clock,
        counts,
        batch_events=plan.batch_events,
        linger_ms=plan.linger_ms,
    )
    lease = leases.held()[0]
    began_s = time.process_time()
    while await worker.step(0, lease):
        pass
    return time.process_time() - began_s


async def _plan_broadcast(parts: Parts, counts: _Counts) -> float:
    """Return the CPU seconds of the process while it plans one broadcast to all users."""
    now_ms = parts.clock.now_ms()
    id_ = ids.notification_id(now_ms, 0, bytes(_ENTROPY))
    request = Request([], people.TEMPLATE, _CATEGORY, None, Lane.BULK, dict(people.data(0)))
    job = msgspec.msgpack.encode(BroadcastJob(Audience(), request))
    cursor = Cursor(id_, TENANT, 0, "running", 0, 0, 0, 0, now_ms, now_ms, job)
    await parts.store.commit(StageResult(broadcasts=Broadcasts([cursor])))
    leases = _leases(parts, topics.GROUP_BROADCAST)
    await leases.step()
    pages = PageGatherer(parts.store, parts.directory, parts.contents(), PAGE_USERS)
    worker = BroadcastWorker(parts.streams, parts.store, pages, leases, parts.clock, counts, backlog_max=BACKLOG_MAX)
    began_s = time.process_time()
    while await worker.turn():
        pass
    return time.process_time() - began_s


def _leases(parts: Parts, group: str) -> LeasedPartitions:
    return LeasedPartitions(parts.store, group, "bench", parts.clock, ttl_ms=LEASE_TTL_MS_MAX)
