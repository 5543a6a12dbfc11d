"""Group commit at the door: requests that arrive together share frames and one durable commit."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from clarion.accept.cancelling import key_wait
from clarion.accept.intake_apart import apart
from clarion.accept.shapes import NotificationOut
from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.limits import FRAME_BYTES_MAX, FRAME_RECIPIENTS_MAX, FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Request
from clarion.ports.clock import Clock
from clarion.ports.journal_cells import Signal
from clarion.ports.stage_store import Admission, IdempotencyEntry, PlanState, StageResult, StageStore, StaleKey
from clarion.ports.streams import Frame
from clarion.ports.telemetry import Telemetry

TURN_REQUESTS = 8
"""Requests that are checked in one go, at most, where they come one by one."""


class Taken(NamedTuple):
    """A checked notification on its way to the journal."""

    notification_id: bytes
    tenant: str
    accepted_ms: int
    lane: Lane
    partition: int
    request: Request

    @property
    def status(self) -> str:
        """What the caller is told: `accepted`, or `scheduled` when it is to be sent later."""
        return "accepted" if self.request.send_at_ms is None else "scheduled"

    @property
    def accepted_at(self) -> datetime:
        """When it was accepted, in UTC."""
        return datetime.fromtimestamp(self.accepted_ms / 1000, UTC)


def told_of(taken: Taken) -> NotificationOut:
    """Return what the caller is told of a notification."""
    return NotificationOut(ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id), taken.status, taken.accepted_at)


class _Bundle(NamedTuple):
    """What one caller wants stored, together or not at all."""

    items: Sequence[Taken]
    entries: Sequence[IdempotencyEntry]
    signals: Sequence[Signal]
    stored: asyncio.Future[frozenset[tuple[str, str]]]
    """Ends with those of its own keys that were answered meanwhile."""
    large: bool

    def keys(self) -> frozenset[tuple[str, str]]:
        return frozenset((entry.tenant, entry.key) for entry in self.entries)


class AcceptWriter:
    """Collects what is taken and commits it: at once when idle, at most every `linger_ms` under load."""

    def __init__(self, store: StageStore, clock: Clock, telemetry: Telemetry, *, linger_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._linger_ms = linger_ms
        self._bundles: list[_Bundle] = []
        self._last_ms = 0
        self._turn: asyncio.Event | None = None
        self._in_turn = 0
        self._flushes: set[asyncio.Task[None]] = set()

    async def turn(self) -> None:
        """Wait for the next commit, as whoever comes a moment after the last one has to: those that wait are then checked in one
        go, which costs half of what it costs one by one. Never waited when idle, nor for more than `TURN_REQUESTS`."""
        pause_ms = self._last_ms + self._linger_ms - self._clock.monotonic_ms()
        if pause_ms <= 0:
            return
        if self._turn is None:
            self._turn, self._in_turn = asyncio.Event(), 0
            asyncio.get_running_loop().call_later(pause_ms / 1000, self._begin, self._turn)
        turn = self._turn
        self._in_turn += 1
        if self._in_turn >= TURN_REQUESTS:
            self._begin(turn)
        await turn.wait()

    def _begin(self, turn: asyncio.Event) -> None:
        turn.set()
        if self._turn is turn:
            self._turn = None

    async def take(
        self,
        items: Sequence[Taken],
        entries: Sequence[IdempotencyEntry] = (),
        signals: Sequence[Signal] = (),
        *,
        large: bool = False,
    ) -> None:
        """Return when everything given is durable, together or not at all; what is large is encoded in a thread. Raises what
        the store raises; `StaleKey` names those of the caller's own keys that another process has answered meanwhile."""
        if not (items or entries or signals):
            return
        # A future of its own: a client that hangs up must not cancel what others wait for.
        bundle = _Bundle(items, entries, signals, asyncio.get_running_loop().create_future(), large)
        self._bundles.append(bundle)
        if len(self._bundles) == 1:
            flush = asyncio.create_task(self._flush())
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        if stale := await bundle.stored:
            raise StaleKey(stale)

    async def _flush(self) -> None:
        pause_ms = self._last_ms + self._linger_ms - self._clock.monotonic_ms()
        # Even when idle, whatever arrived in the same turn of the loop goes along.
        await asyncio.sleep(max(pause_ms, 0) / 1000)
        self._last_ms = self._clock.monotonic_ms()
        bundles, self._bundles = self._bundles, []
        try:
            stale = await self._stored(bundles)
        except Exception as error:  # noqa: BLE001 - every waiter gets the error, whatever it is
            for bundle in bundles:
                if not bundle.stored.done():
                    bundle.stored.set_exception(error)
            return
        for bundle in bundles:
            if not bundle.stored.done():
                bundle.stored.set_result(stale & bundle.keys() if stale else stale)

    async def _stored(self, bundles: list[_Bundle]) -> frozenset[tuple[str, str]]:
        """Commit what has no key that is answered already, and return the keys that are."""
        stale: frozenset[tuple[str, str]] = frozenset()
        while bundles:
            batch = await apart(any(bundle.large for bundle in bundles), self._result, bundles)
            try:
                await self._store.commit(batch)
            except StaleKey as refused:
                stale |= refused.keys
                # Each refusal names a key of one of them, so this ends.
                bundles = [bundle for bundle in bundles if not refused.keys & bundle.keys()]
            else:
                break
        for lane, number in Counter(item.lane for bundle in bundles for item in bundle.items).items():
            self._telemetry.count("accepted", number, lane=lane)
        return stale

    def _result(self, bundles: Sequence[_Bundle]) -> StageResult:
        with self._telemetry.cpu("accept"):
            return _result(bundles)


def _result(bundles: Sequence[_Bundle]) -> StageResult:
    items = [item for bundle in bundles for item in bundle.items]
    waits = (key_wait(item.tenant, item.notification_id, item.accepted_ms, item.request) for item in items)
    return StageResult(
        frames=_frames(items),
        admission=Admission([entry for bundle in bundles for entry in bundle.entries]),
        plan_state=PlanState(
            signals=[signal for bundle in bundles for signal in bundle.signals],
            waits=[wait for wait in waits if wait is not None],
        ),
    )


def _frames(taken: Sequence[Taken]) -> list[Frame]:
    groups: dict[tuple[Lane, int], list[Taken]] = {}
    for item in taken:
        groups.setdefault((item.lane, item.partition), []).append(item)
    return [
        frame
        for (lane, partition), members in groups.items()
        for part in _parts(members)
        for frame in _cut(topics.accepted(lane), partition, part)
    ]


def _parts(members: Sequence[Taken]) -> Iterator[Sequence[Taken]]:
    """Yield members in order, as many at a time as a frame may hold: requests with many recipients are dear to plan."""
    first = recipients = 0
    for place, item in enumerate(members):
        recipients += len(item.request.to)
        if place > first and (recipients > FRAME_RECIPIENTS_MAX or place - first == FRAME_RECORDS_MAX):
            yield members[first:place]
            first, recipients = place, len(item.request.to)
    yield members[first:]


def _cut(topic: str, partition: int, part: Sequence[Taken]) -> list[Frame]:
    """Return the frame of these, or several where one would be too large."""
    event = AcceptedFrame(
        [item.notification_id for item in part],
        [item.tenant for item in part],
        [item.accepted_ms for item in part],
        [item.request for item in part],
    )
    payload = encode(event, len(part))
    if len(payload) <= FRAME_BYTES_MAX or len(part) == 1:
        return [Frame(topic, partition, len(part), payload)]
    half = (len(part) + 1) // 2
    return [*_cut(topic, partition, part[:half]), *_cut(topic, partition, part[half:])]
