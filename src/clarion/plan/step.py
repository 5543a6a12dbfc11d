"""One step of planning: whatever a batch of frames asks for becomes one atomic append."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.journal.events import (
    AcceptedFrame,
    AdvanceFrame,
    ChunkFrame,
    Event,
    OccurrenceFrame,
    ResumeFrame,
    SignalFrame,
)
from clarion.plan.batch import decide_batch
from clarion.plan.broadcast.release import decide_release
from clarion.plan.claims import Claims
from clarion.plan.columns import Accepted, unpack
from clarion.plan.facts import SendFacts
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.outcome import Merged
from clarion.plan.resume import Resumptions, resumptions
from clarion.plan.rules.need import Need, merged
from clarion.plan.schedules.firing import Occurrences
from clarion.plan.told import Told
from clarion.plan.workflow.engine import Engine, Turn
from clarion.plan.workflow.fetching import FetchJob
from clarion.ports.journal import Append, Cell, Commit, Cursor, Frame, Journal, Lease, Timer
from clarion.ports.sightings import Sightings
from clarion.ports.state import DeliveryStates

ROUNDS_MAX = 64
"""How often what was planned may ask for more in the same step: a digest sends at once, a route goes on at once."""

Batch = Sequence[tuple[Lane, Event]]


class Step:
    """What one step amounts to."""

    def __init__(self, turn: Turn, resumed: Resumptions, facts: SendFacts, claims: Claims) -> None:
        self.turn = turn
        self.resumed = resumed
        self.facts = facts
        self.claims = claims
        self.needs: list[Need] = []
        self.told: list[Told] = []
        self.frames: list[Frame] = []
        self.timers: list[Timer] = []
        self.cursors: list[Cursor] = []
        self.cells: list[Cell] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.merged: list[Merged] = []

    def append(self, lease: Lease, commits: Sequence[Commit]) -> Append:
        """Return the append that makes the step durable."""
        turn, resumed = self.turn, self.resumed
        return Append(
            frames=[*self.frames, *turn.frames],
            timers=[*self.timers, *turn.timers, *resumed.timers],
            commits=commits,
            cursors=self.cursors,
            lease=lease,
            cells=[*self.cells, *turn.cells, *resumed.cells],
            waits=turn.waits,
            ended_waits=turn.ended_waits,
            caps=self.claims.writes(),
        )

    def changes(self) -> bool:
        """Return whether there is anything to append."""
        turn, resumed = self.turn, self.resumed
        parts = (
            self.frames,
            self.timers,
            self.cells,
            self.cursors,
            turn.frames,
            turn.timers,
            turn.cells,
            resumed.cells,
        )
        return any(parts)

    def fetches(self) -> list[FetchJob]:
        """Return the calls to make once the append is durable."""
        return self.turn.fetches

    def count(self, counts: dict[tuple[str, str], int]) -> None:
        """Add to what was planned per (channel, decision)."""
        for key, number in counts.items():
            self.counts[key] = self.counts.get(key, 0) + number


def notifications(batch: Batch) -> list[Accepted]:
    """Return the notifications of a batch."""
    return [item for lane, event in batch if isinstance(event, AcceptedFrame) for item in unpack(lane, event)]


class StepPlanner:
    """Plans the steps of one process."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        occurrences: Occurrences,
        states: DeliveryStates,
        sightings: Sightings,
        sends: SendGatherer,
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._occurrences = occurrences
        self._states = states
        self._sightings = sightings
        self.sends = sends

    def plan(
        self, batch: Batch, items: Sequence[Accepted], facts: SendFacts, partition: int, now_ms: int
    ) -> Step | Need:
        """Return the step that a batch of one partition amounts to at a time (Unix ms), or what deciding it lacks. `items`
        are the notifications in it."""
        turn = self._engine.turn(partition, now_ms)
        turn.foresee(event for _, event in batch)
        resumed = Resumptions(self._journal, self._states, self._sightings, partition, now_ms)
        step = Step(turn, resumed, facts, facts.claims(now_ms))
        for lane, event in batch:
            self._take(lane, event, step, partition, now_ms)
        started = [item for item in items if item.request.workflow and (item.request.send_at_ms or 0) <= now_ms]
        if started:
            items = [item for item in items if not item.request.workflow or (item.request.send_at_ms or 0) > now_ms]
        self._plan_all(items, started, step, partition, now_ms)
        if step.needs:
            return merged(step.needs)
        turn.finish()
        return step

    def _take(self, lane: Lane, event: Event, step: Step, partition: int, now_ms: int) -> None:
        match event:
            case AdvanceFrame():
                step.turn.advance(lane, event)
            case SignalFrame():
                step.turn.signal(lane, event)
            case ResumeFrame():
                for row in resumptions(lane, event):
                    step.resumed.take(row)
            case OccurrenceFrame():
                fired = self._occurrences.fire(event, partition, now_ms)
                step.frames += fired.frames
                step.timers += fired.timers
                step.cursors += fired.cursors
                step.cells += fired.cells
            case ChunkFrame():
                released = decide_release(event, step.facts, step.claims, partition, now_ms)
                if isinstance(released, Need):
                    step.needs.append(released)
                    return
                step.frames += released.frames
                step.timers += released.timers
                step.count(released.counts)
                step.merged += released.merged
            case _:
                pass

    def _plan_all(
        self, items: Sequence[Accepted], started: list[Accepted], step: Step, partition: int, now_ms: int
    ) -> None:
        """Plan items, and what planning them asks for."""
        turn, resumed = step.turn, step.resumed
        started = [*started, *map(_digesting, step.merged)]
        for _ in range(ROUNDS_MAX):
            for item in started:
                turn.start(item)
            items = [*items, *turn.sends, *resumed.items]
            turn.sends.clear()
            resumed.items.clear()
            if not items and not started:
                return
            plan = decide_batch(items, started, step.facts, step.claims, partition, now_ms)
            if isinstance(plan, Need):
                step.needs.append(plan)
                return
            step.told += plan.told
            step.frames += plan.frames
            step.timers += plan.timers
            step.count(plan.counts)
            for item, to, place in plan.fallen:
                resumed.failed(item, to, place)
            items, started = [], [_digesting(merged) for merged in plan.merged]
        # Routes get shorter and digests collect, so this is a fault of ours; going on would drop what is left.
        raise RuntimeError(f"a step of planning asked for more {ROUNDS_MAX} times")


def _digesting(merged: Merged) -> Accepted:
    """Return the start of the digest workflow that a merged delivery goes into, as a notification of its own."""
    item, to = merged.item, merged.to
    who = f"{item.step}:{to.user_id}:{merged.workflow}".encode()
    rest = blake2b(who, key=item.notification_id, digest_size=ids.ENTROPY_BYTES).digest()
    request = msgspec.structs.replace(
        item.request,
        to=[to],
        template="",
        channels=None,
        workflow=merged.workflow,
        workflow_version=merged.version,
    )
    return Accepted(
        item.lane, item.notification_id[: -ids.ENTROPY_BYTES] + rest, item.tenant, item.accepted_ms, request
    )
