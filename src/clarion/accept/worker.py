"""Group commit at intake: requests that arrive together share frames and one durable commit."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clarion.accept.cancellations import key_wait
from clarion.accept.intake_threads import run_off_loop
from clarion.accept.shapes import NotificationOut
from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.limits_processes import FRAME_BYTES_MAX, FRAME_RECIPIENTS_MAX, FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Request
from clarion.ports.clock import Clock
from clarion.ports.journal_cells import Signal
from clarion.ports.stage_store import AcceptState, IdempotencyEntry, PlanState, StageResult, StageStore, StaleKey
from clarion.ports.streams import Frame
from clarion.ports.telemetry import Telemetry

MANY_REQUESTS = 3
"""Number of requests within `linger_ms` from which more are expected: the next commit then waits for them."""
COMMIT_WAITERS_MAX = 64
"""Most requests that wait for one commit where they arrive one by one."""
WAIT_MS_MIN = 2
"""A request that may wait for less does not wait."""
CHECKS_WAIT_MS = 10
"""How long a commit waits for requests that are being checked."""


class Admitted(NamedTuple):
    """A checked notification on its way to the journal."""

    notification_id: bytes
    tenant: str
    accepted_ms: int
    lane: Lane
    partition: int
    request: Request

    @property
    def status(self) -> str:
        """The status in the response: `accepted`, or `scheduled` when it is to be sent later."""
        return "accepted" if self.request.send_at_ms is None else "scheduled"

    @property
    def accepted_at(self) -> datetime:
        """When it was accepted, in UTC."""
        return datetime.fromtimestamp(self.accepted_ms / 1000, UTC)


def response_of(admitted: Admitted) -> NotificationOut:
    """Return the response for an admitted notification."""
    return NotificationOut(
        ids.write(ids.NOTIFICATION_PREFIX, admitted.notification_id), admitted.status, admitted.accepted_at
    )


class _Bundle(NamedTuple):
    """The records of one request, stored together or not at all."""

    items: Sequence[Admitted]
    entries: Sequence[IdempotencyEntry]
    signals: Sequence[Signal]
    stored: asyncio.Future[frozenset[tuple[str, str]]]
    """Resolves to those of its own keys that another process has answered meanwhile."""
    large: bool

    def keys(self) -> frozenset[tuple[str, str]]:
        return frozenset((entry.tenant, entry.key) for entry in self.entries)


class _CommitWait:
    __slots__ = ("_may_wait_ms", "_writer")

    def __init__(self, writer: "AcceptWriter", may_wait_ms: float) -> None:
        self._writer = writer
        self._may_wait_ms = may_wait_ms

    async def __aenter__(self) -> None:
        await self._writer.wait(self._may_wait_ms)

    async def __aexit__(self, *_: object) -> None:
        self._writer.end_check()


class AcceptWriter:
    """Collects admitted requests and commits them: at once when one comes alone, at most every `linger_ms` when
    requests come together."""

    def __init__(self, store: StageStore, clock: Clock, telemetry: Telemetry, *, linger_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._linger_ms = linger_ms
        self._bundles: list[_Bundle] = []
        self._last_ms = -linger_ms
        self._is_under_load = False
        """Whether the next commit waits for more requests."""
        self._recent: deque[tuple[int, int]] = deque()
        """The commits of the last `linger_ms`: when they began, and for how many requests."""
        self._commits = 0
        """Commits under way."""
        self._next_commit: asyncio.Event | None = None
        self._waiters = 0
        self._due_s = 0.0
        """When the waiting requests go on at the latest, on the loop's clock."""
        self._gathered = 0
        """Requests that came since the last commit began and may wait."""
        self._is_next_due = False
        """Whether the next commit begins when the one under way ends."""
        self._has_open_arrivals = False
        """Whether a request came while the last commit was under way, so from a client that does not wait for
        responses."""
        self._waiters_max = COMMIT_WAITERS_MAX
        """Number of waiters that a commit does not keep waiting for more."""
        self._checking: set[asyncio.Task[Any] | None] = set()
        """Requests that have ended their wait and not called `append` yet."""
        self._checked = asyncio.Event()
        self._flushes: set[asyncio.Task[None]] = set()

    def next_commit(self, may_wait_ms: float = math.inf) -> "_CommitWait":
        """Return a context that waits for the next commit before its block, which checks a request and appends it. The
        waiting requests are then checked together, which costs half as much as one by one, and the commit waits for
        their checks: a request that missed it would wait twice.

        A request never waits when no commit is under way and few others come. While one is under way, requests wait for
        its end. Where many come they are gathered for up to `linger_ms`, or until one of them has waited as long as
        it may: `may_wait_ms` is how long its connection was idle before it, so a client that sends the next request after each
        response gets at least half as many responses as without gathering. Where none came while the last commit was
        under way, no more are waited for than that commit had, because then clients wait for responses, too."""
        return _CommitWait(self, may_wait_ms)

    async def wait(self, may_wait_ms: float) -> None:
        """Wait for the next commit, and count this request as being checked until `append` or `end_check`."""
        is_due = may_wait_ms < WAIT_MS_MIN
        if not is_due:
            self._gathered += 1
        if self._commits:
            self._is_next_due |= is_due
            await self._wait_with_others(may_wait_ms)
        elif is_due:
            if self._next_commit is not None:
                self._release_waiters(self._next_commit)
        elif self._next_commit is not None or self._pause_ms() > 0:
            await self._wait_with_others(may_wait_ms)
        self._checking.add(asyncio.current_task())

    def end_check(self) -> None:
        """Tell a commit that waits for checks that this request's has ended."""
        checking = self._checking
        if checking:
            checking.discard(asyncio.current_task())
            if not checking:
                self._checked.set()

    async def _wait_with_others(self, may_wait_ms: float) -> None:
        loop, next_commit = asyncio.get_running_loop(), self._next_commit
        if next_commit is None:
            next_commit, self._waiters = asyncio.Event(), 0
            pause_ms = self._pause_ms()
            bound_ms = pause_ms if pause_ms > 0 else self._linger_ms
            self._due_s = loop.time() + bound_ms / 1000
            loop.call_at(self._due_s, self._release_waiters, next_commit)
            self._next_commit = next_commit
        self._waiters += 1
        if may_wait_ms >= WAIT_MS_MIN:
            due_s = loop.time() + may_wait_ms / 1000
            if due_s < self._due_s:
                self._due_s = due_s
                loop.call_at(due_s, self._make_due, next_commit)
            if self._commits:
                self._has_open_arrivals = True
        if self._waiters >= (COMMIT_WAITERS_MAX if self._commits else self._waiters_max):
            self._release_waiters(next_commit)
        await next_commit.wait()

    def _pause_ms(self) -> int:
        """Return how long to wait for more requests."""
        return self._linger_left_ms() if self._is_under_load else 0

    def _linger_left_ms(self) -> int:
        return self._last_ms + self._linger_ms - self._clock.monotonic_ms()

    def _make_due(self, next_commit: asyncio.Event) -> None:
        if self._commits and self._next_commit is next_commit:
            self._is_next_due = True
        else:
            self._release_waiters(next_commit)

    def _release_waiters(self, next_commit: asyncio.Event) -> None:
        next_commit.set()
        if self._next_commit is next_commit:
            self._next_commit = None
            self._last_ms = self._clock.monotonic_ms() - self._linger_ms  # they have waited

    async def append(
        self,
        items: Sequence[Admitted],
        entries: Sequence[IdempotencyEntry] = (),
        signals: Sequence[Signal] = (),
        *,
        large: bool = False,
    ) -> None:
        """Store everything given, together or not at all, and return once it is durable. Large batches are encoded in a
        thread. Raises the store's errors; `StaleKey` names those of the request's own keys that another process has
        answered meanwhile."""
        if not (items or entries or signals):
            return
        # A separate future: a client that disconnects must not cancel the commit that other requests wait for.
        bundle = _Bundle(items, entries, signals, asyncio.get_running_loop().create_future(), large)
        self._bundles.append(bundle)
        self.end_check()
        if len(self._bundles) == 1:
            flush = asyncio.create_task(self._flush())
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        if stale := await bundle.stored:
            raise StaleKey(stale)

    async def _flush(self) -> None:
        # Even when idle, requests that arrived in the same turn of the loop join this commit.
        await asyncio.sleep(0)
        self._commits += 1
        if self._checking:
            await self._wait_for_checks()
        bundles, self._bundles = self._bundles, []
        self._count()
        try:
            try:
                stale = await self._commit(bundles)
            finally:
                self._commits -= 1
                self._waiters_max = COMMIT_WAITERS_MAX if self._has_open_arrivals else len(bundles)
                if self._next_commit is not None and (self._is_next_due or self._pause_ms() <= 0):
                    self._release_waiters(self._next_commit)
        except Exception as error:  # noqa: BLE001 - every waiter gets the error, of any kind
            for bundle in bundles:
                if not bundle.stored.done():
                    bundle.stored.set_exception(error)
            return
        for bundle in bundles:
            if not bundle.stored.done():
                bundle.stored.set_result(stale & bundle.keys() if stale else stale)

    def _count(self) -> None:
        """Count the requests of a commit that begins, without those that may not wait. Many within `linger_ms` are
        load if they come together, or one while another is being stored."""
        requests, self._gathered = self._gathered, 0
        self._last_ms = self._clock.monotonic_ms()
        while self._recent and self._recent[0][0] <= self._last_ms - self._linger_ms:
            self._recent.popleft()
        self._recent.append((self._last_ms, requests))
        comes_together = requests > 1 or self._has_open_arrivals
        self._is_under_load = comes_together and sum(number for _, number in self._recent) >= MANY_REQUESTS
        self._has_open_arrivals = self._is_next_due = False

    async def _wait_for_checks(self) -> None:
        self._checked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECKS_WAIT_MS / 1000):
                await self._checked.wait()

    async def _commit(self, bundles: list[_Bundle]) -> frozenset[tuple[str, str]]:
        """Commit the bundles whose keys have no response yet, and return the keys that have one."""
        stale: frozenset[tuple[str, str]] = frozenset()
        while bundles:
            batch = await run_off_loop(any(bundle.large for bundle in bundles), self._result, bundles)
            try:
                await self._store.commit(batch)
            except StaleKey as refused:
                stale |= refused.keys
                # Each refusal names a key of one of the bundles, so the loop ends.
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
    waits = (
        key_wait(item.tenant, item.notification_id, item.partition, item.accepted_ms, item.request) for item in items
    )
    return StageResult(
        frames=_frames(items),
        accept_state=AcceptState([entry for bundle in bundles for entry in bundle.entries]),
        plan_state=PlanState(
            signals=[signal for bundle in bundles for signal in bundle.signals],
            waits=[wait for wait in waits if wait is not None],
        ),
    )


def _frames(admitted: Sequence[Admitted]) -> list[Frame]:
    groups: dict[tuple[Lane, int], list[Admitted]] = {}
    for item in admitted:
        groups.setdefault((item.lane, item.partition), []).append(item)
    return [
        frame
        for (lane, partition), members in groups.items()
        for part in _parts(members)
        for frame in _cut(topics.accepted(lane), partition, part)
    ]


def _parts(members: Sequence[Admitted]) -> Iterator[Sequence[Admitted]]:
    """Yield members in order, as many at a time as a frame may hold: requests with many recipients are expensive to
    plan."""
    first = recipients = 0
    for place, item in enumerate(members):
        recipients += len(item.request.to)
        if place > first and (recipients > FRAME_RECIPIENTS_MAX or place - first == FRAME_RECORDS_MAX):
            yield members[first:place]
            first, recipients = place, len(item.request.to)
    yield members[first:]


def _cut(topic: str, partition: int, part: Sequence[Admitted]) -> list[Frame]:
    """Return one frame, or several where one would be too large."""
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
