"""Builds the stages of a worker, for a process and for `clarion.testing`. The caller decides when they run."""

from typing import Final, TypeVar

from clarion.app.wiring.parts import Shared
from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.accounts.worker_pace import Pace
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.partition.worker_handover import Handovers
from clarion.deliver.send.worker import Sender
from clarion.deliver.worker import ChannelPool
from clarion.domain.channel import Channel
from clarion.outbound.apprise.egress import FencedApprise
from clarion.plan.broadcast.gather_pages import PageGatherer
from clarion.plan.broadcast.worker import BroadcastWorker
from clarion.plan.gather import step_gatherer
from clarion.plan.worker import PlanWorker
from clarion.plan.workflow.worker import FetchPool
from clarion.record.worker import RecordWorker
from clarion.runtime.consumer import LeasedPartitions

S = TypeVar("S", bound=Sender)

PAGE_USERS: Final = 5_000
WINDOW_FACTOR: Final = 4
"""Deliveries prefetched per sender of a channel."""
OUTCOME_LINGER_MS: Final = 20
"""How long results of attempts wait for a fuller frame."""
BROADCAST_BACKLOG_MAX: Final = 200_000
"""Planned deliveries of a channel that may wait before broadcast planning pauses."""


def plan_worker(
    parts: Shared, leases: LeasedPartitions, fetches: FetchPool, handovers: Handovers | None = None
) -> PlanWorker:
    """Return the worker that plans notifications, workflows and occurrences of schedules."""
    return PlanWorker(
        parts.streams,
        parts.store,
        step_gatherer(parts.store, parts.directory, parts.expressions, parts.state.ledger, parts.state.history),
        parts.expressions,
        fetches,
        leases,
        parts.clock,
        parts.telemetry,
        batch_events=parts.config.plan.batch_events,
        linger_ms=parts.config.plan.linger_ms,
        handover=handovers,
    )


def fetch_pool(parts: Shared) -> FetchPool:
    """Return the pool that makes the calls of fetch steps."""
    return FetchPool(parts.store, parts.http(), parts.clock, parts.telemetry, parts.secrets, parts.vault)


def broadcast_worker(parts: Shared, leases: LeasedPartitions) -> BroadcastWorker:
    """Return the worker that plans broadcasts page by page."""
    pages = PageGatherer(parts.store, parts.directory, parts.contents(), PAGE_USERS)
    return BroadcastWorker(
        parts.streams, parts.store, pages, leases, parts.clock, parts.telemetry, backlog_max=BROADCAST_BACKLOG_MAX
    )


def sender(parts: Shared, kind: type[S]) -> S:
    """Return a sender of the given class, which makes the attempts of every channel."""
    http, smtp = parts.http(), parts.smtp()
    return kind(
        parts.directory,
        parts.vendors,
        parts.contents(),
        http,
        smtp,
        parts.clock,
        parts.telemetry,
        parts.unsubscribe_links,
        FencedApprise(http),
        parts.secrets,
    )


def accounts(parts: Shared, worker: str) -> Accounts:
    """Return the account state of one process: the accounts of all tenants on all channels."""
    breakers = Breakers(parts.account_health, parts.clock, parts.telemetry)
    pace = Pace(parts.quotas, parts.clock, parts.telemetry, worker)
    return Accounts(parts.directory, parts.vendors, breakers, pace, Budgets(), parts.clock)


def channel_pool(
    parts: Shared,
    leases: LeasedPartitions,
    sends: Sender,
    used: Accounts,
    cancelled: CancellationCache,
    channel: Channel,
    worker: str,
    handovers: Handovers,
) -> ChannelPool:
    """Return the pool that delivers on one channel."""
    concurrency = getattr(parts.config.deliver.concurrency, channel.value)
    context = ChannelContext(
        channel=channel,
        streams=parts.streams,
        store=parts.store,
        sender=sends,
        states=parts.state.ledger,
        suppressions=parts.control.suppressions,
        cancelled=cancelled,
        clock=parts.clock,
        telemetry=parts.telemetry,
        policy=parts.policy(channel),
        accounts=used,
        worker=worker,
        window=concurrency * WINDOW_FACTOR,
        linger_ms=OUTCOME_LINGER_MS,
        handovers=handovers,
        onlookers=parts.onlookers,
    )
    return ChannelPool(context, leases, concurrency=concurrency)


def record_worker(parts: Shared, leases: LeasedPartitions) -> RecordWorker:
    """Return the worker that folds outcome events into history."""
    return RecordWorker(
        parts.streams,
        parts.store,
        parts.state.ledger,
        leases,
        parts.clock,
        parts.telemetry,
        linger_ms=parts.config.record.linger_ms,
        onlookers=parts.onlookers,
    )
