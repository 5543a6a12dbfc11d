"""Runs the stages of one installation in rounds, and advances its clock from one due time to the next."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec

from clarion.app.wiring.assembly import (
    accounts,
    broadcast_worker,
    channel_pool,
    fetch_pool,
    plan_worker,
    record_worker,
    sender,
)
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_handover import Handovers
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.limits_processes import LEASE_TTL_MS_MAX
from clarion.journal import topics
from clarion.journal.events import BroadcastJob
from clarion.runtime.consumer import LeasedPartitions
from clarion.testing.clock import SetClock
from clarion.testing.inapp import InappChunks
from clarion.testing.installation import Installation
from clarion.testing.sending import Sent, WatchedSender

ROUNDS_MAX: Final = 10_000
"""Rounds of planning and sending that one instant may take; more means an endless loop."""
TIMERS_A_TURN: Final = 1_000
DELIVERY_CHECK_S: Final = 0.02
"""Seconds of the loop's time for which senders work before they are checked for completion."""
DELIVERY_WAIT_S: Final = 3_600
"""Seconds of the loop's time that sending all due deliveries may take; more means an endless loop."""
TRIM_MS: Final = 3_600_000
_OWNER: Final = "testing"
_JOB: Final = msgspec.msgpack.Decoder(BroadcastJob)


class Turns:
    """All stages of an installation, run in rounds."""

    def __init__(self, parts: Installation, clock: SetClock, sent: Sent) -> None:
        self._parts = parts
        self._clock = clock
        self._store = parts.store
        self._leases: dict[str, LeasedPartitions] = {}
        self._fetches = fetch_pool(parts)
        self._planner = plan_worker(parts, self._leased(topics.GROUP_PLAN), self._fetches)
        self._broadcasts = broadcast_worker(parts, self._leased(topics.GROUP_BROADCAST))
        self._recorder = record_worker(parts, self._leased(topics.GROUP_RECORD))
        self._sender = sender(parts, WatchedSender)
        self._sender.sent = sent
        self._accounts = accounts(parts, _OWNER)
        self._cancelled = CancellationCache(parts.store, clock)
        self._inapp = InappChunks(parts.streams, sent)
        self._pools: dict[Channel, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._cancelled_seen = 0
        self._trimmed_ms = clock.now_ms()

    async def settle(self) -> None:
        """Do all work that is due now. Raises `RuntimeError` when it does not end."""
        for _ in range(ROUNDS_MAX):
            for leases in self._leases.values():
                await leases.step()
            if not await self._round():
                return
        raise RuntimeError(f"{ROUNDS_MAX:,} rounds at one instant: endless loop")

    async def run_until(self, end_ms: int) -> None:
        """Settle at every instant at which work is due, up to and including the last one."""
        await self.settle()
        while (due_ms := await self._next_due_ms()) is not None and due_ms <= end_ms:
            self._clock.set(due_ms)
            while await self._store.fire(self._clock.now_ms(), TIMERS_A_TURN):
                await self.settle()
            await self.settle()
            await self._trim()
        self._clock.set(end_ms)
        await self.settle()

    async def close(self) -> None:
        """Stop the senders and the calls of fetch steps."""
        self._stop.set()
        await self._fetches.close()
        await asyncio.gather(*self._pools.values())

    async def _round(self) -> bool:
        """Let each stage do its due work; return whether any stage did some."""
        worked = await self._plan()
        await self._fetches.idle()
        worked |= await self._broadcasts.turn()
        worked |= await self._deliver()
        while await self._recorder.step(None):
            worked = True
        await self._inapp.look()
        return worked

    async def _plan(self) -> bool:
        before = self._cancelled_seen
        self._cancelled_seen, _ = await self._store.cancellations_after(before)
        cancelled = self._cancelled_seen != before
        held = self._leases[topics.GROUP_PLAN].held().items()
        planned = [await self._planner.step(partition, lease) for partition, lease in held]
        return any(planned) or cancelled

    async def _deliver(self) -> bool:
        waiting = await self._waiting(CHANNELS)
        for channel in waiting:
            if channel not in self._pools:
                self._pools[channel] = asyncio.create_task(await self._deliverer(channel))
        async with asyncio.timeout(DELIVERY_WAIT_S):
            while sending := await self._waiting(waiting):
                for channel in sending:
                    if self._pools[channel].done():
                        self._pools[channel].result()
                await asyncio.sleep(DELIVERY_CHECK_S)
        return bool(waiting)

    async def _deliverer(self, channel: Channel) -> Coroutine[Any, Any, None]:
        leases = self._leased(topics.group_deliver(channel))
        await leases.step()
        parts, used = self._parts, self._accounts
        return channel_pool(parts, leases, self._sender, used, self._cancelled, channel, _OWNER, Handovers()).run(
            self._stop
        )

    async def _waiting(self, channels: Sequence[Channel]) -> list[Channel]:
        groups = {topics.group_deliver(channel): channel for channel in channels}
        backlogs = await self._store.backlog_of(groups) if groups else {}
        return [groups[group] for group, events in backlogs.items() if events]

    async def _next_due_ms(self) -> int | None:
        """Return the time (Unix ms) of the next timer or broadcast, or None."""
        running = await self._store.cursors_in(range(self._store.partitions), "running")
        begins = (_JOB.decode(cursor.payload).request.send_at_ms or 0 for cursor in running)
        later = [due_ms for due_ms in begins if due_ms > self._clock.now_ms()]
        timer_ms = await self._store.next_due()
        return min(later if timer_ms is None else [timer_ms, *later], default=None)

    async def _trim(self) -> None:
        """Remove the data that an installation would have removed by now."""
        now_ms = self._clock.now_ms()
        if now_ms - self._trimmed_ms >= TRIM_MS:
            self._trimmed_ms = now_ms
            await self._store.trim(now_ms - self._parts.config.journal.retention_hours * TRIM_MS)

    def _leased(self, group: str) -> LeasedPartitions:
        leases = LeasedPartitions(self._store, group, _OWNER, self._clock, ttl_ms=LEASE_TTL_MS_MAX)
        self._leases[group] = leases
        return leases
