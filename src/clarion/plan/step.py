"""One planning step: all results of a batch of frames become one atomic commit.

`decide` is a pure function of the batch, the facts gathered for it and the time. It returns all missing facts at once,
and is then called again from the start.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from clarion.domain.channel import Lane
from clarion.journal.events import AdvanceFrame, ChunkFrame, Event, OccurrenceFrame, ResumeFrame, SignalFrame
from clarion.plan.batch import decide_batch
from clarion.plan.broadcast.release import decide_release
from clarion.plan.cap_digests import digest_start
from clarion.plan.columns import PlanItem
from clarion.plan.facts import SendFacts
from clarion.plan.notes import Notes
from clarion.plan.plan_writer import MergedRecipient, Plan
from clarion.plan.resume import Resumptions, resumptions
from clarion.plan.rules.need import MissingFacts, Need, merged
from clarion.plan.schedules.firing import fire
from clarion.plan.wait_facts import STARTS, Starting, WaitFacts
from clarion.plan.work import Work
from clarion.plan.workflow.fetch_calls import FetchJob
from clarion.plan.workflow.instance_step import InstanceStep
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import CapWrite, Cell, Wait, WaitEnd
from clarion.ports.stage_store import Broadcasts, Commit, Cursor, GroupProgress, Lease, PlanState, StageResult, Timer
from clarion.ports.streams import Frame

ROUNDS_MAX: Final = 64
"""Most rounds of planning in one step, as planning leads to more: a digest may send at once, a route may continue at
once."""


class StepFacts(NamedTuple):
    """The facts of one step: for waiting work, and for sends."""

    waits: WaitFacts
    sends: SendFacts


class PlanStepResult(NamedTuple):
    """The result of one step. `fetches` are the calls to make, and `notes` the counts and log lines to write, once it
    is durable."""

    frames: list[Frame]
    timers: list[Timer]
    cursors: list[Cursor]
    cells: list[Cell]
    waits: list[Wait]
    ended_waits: list[WaitEnd]
    caps: list[CapWrite]
    fetches: list[FetchJob]
    notes: Notes

    def stored(self, lease: Lease, commits: Sequence[Commit]) -> StageResult:
        """Return the stage result that makes the step durable."""
        return StageResult(
            lease=lease,
            frames=self.frames,
            timers=self.timers,
            progress=GroupProgress(commits),
            plan_state=PlanState(self.cells, self.caps, self.waits, self.ended_waits),
            broadcasts=Broadcasts(self.cursors),
        )

    def changes(self) -> bool:
        """Return whether there is anything to commit besides positions."""
        return any((self.frames, self.timers, self.cells, self.cursors))


def decide(work: Work, facts: StepFacts, expressions: Expressions, now_ms: int) -> PlanStepResult | Need:
    """Return the result of a batch at a time (Unix ms), or the missing facts. `expressions` only compiles texts, so the
    result depends on the arguments alone."""
    step = _Step(facts, expressions, now_ms)
    step.turn.catch_up()
    for lane, event in work.others:
        step.decide_frame(lane, event)
    step.plan(work.items, work.started)
    missing_facts = step.missing()
    return merged(missing_facts) if missing_facts else step.result()


class _Step:
    """The decision of one step."""

    def __init__(self, facts: StepFacts, expressions: Expressions, now_ms: int) -> None:
        self._facts = facts
        self._now_ms = now_ms
        self._partition = facts.waits.partition
        self._claims = facts.sends.claims(now_ms)
        self._notes = Notes()
        self._frames: list[Frame] = []
        self._timers: list[Timer] = []
        self._cursors: list[Cursor] = []
        self._cells: list[Cell] = []
        self._merged: list[MergedRecipient] = []
        self._missing_facts: list[Need] = []
        self.turn = InstanceStep(facts.waits, expressions, self._notes, now_ms)
        self.resumed = Resumptions(facts.waits, now_ms)

    def missing(self) -> list[Need]:
        """Return the missing facts found so far."""
        return [*self._missing_facts, *self.turn.lacking, *self.resumed.lacking]

    def decide_frame(self, lane: Lane, event: Event) -> None:
        """Decide a frame without notifications."""
        match event:
            case AdvanceFrame():
                self.turn.advance(lane, event)
            case SignalFrame():
                self.turn.signal(lane, event)
            case ResumeFrame():
                for row in resumptions(lane, event):
                    self.resumed.add(row)
            case OccurrenceFrame():
                self._fire(event)
            case ChunkFrame():
                self._release(event)
            case _:
                raise TypeError(f"planning has no handler for a {type(event).__name__}")  # stops their reader

    def plan(self, items: list[PlanItem], started: list[PlanItem]) -> None:
        """Plan items, and the sends and digests that follow from them. It stops as soon as facts are missing, so that
        nothing is planned in vain."""
        instance_step, resumed = self.turn, self.resumed
        for item in started:
            instance_step.start(item)
        begun = [digest_start(one) for one in self._merged]
        for _ in range(ROUNDS_MAX):
            self._start(begun)
            if self.missing():
                return
            items = [*items, *instance_step.sends, *resumed.items]
            started = [*started, *begun]
            instance_step.sends.clear()
            resumed.items.clear()
            if not items and not started:
                return
            plan = decide_batch(items, started, self._facts.sends, self._claims, self._partition, self._now_ms)
            if isinstance(plan, Need):
                self._missing_facts.append(plan)
                return
            self._keep(plan)
            items, started, begun = [], [], [digest_start(one) for one in plan.merged]
        # Routes get shorter and digests collect, so this is a bug; continuing would drop the remaining items.
        raise RuntimeError(f"a planning step led to more planning {ROUNDS_MAX} times")

    def result(self) -> PlanStepResult:
        """Return the result of the step."""
        instance_step, resumed, notes = self.turn, self.resumed, self._notes
        instance_step.finish()
        return PlanStepResult(
            frames=[*self._frames, *instance_step.frames],
            timers=[*self._timers, *instance_step.timers, *resumed.timers],
            cursors=self._cursors,
            cells=[*self._cells, *instance_step.cells, *resumed.cells],
            waits=instance_step.waits,
            ended_waits=instance_step.ended_waits,
            caps=self._claims.writes(),
            fetches=instance_step.fetches,
            notes=notes,
        )

    def _start(self, begun: list[PlanItem]) -> None:
        """Start the digests of merged deliveries. Their facts cannot be prefetched, so all of them are requested
        together."""
        before = len(self.turn.lacking)
        for item in begun:
            self.turn.start(item)
        if len(self.turn.lacking) > before:
            self._missing_facts.append(Need({STARTS: map(Starting, begun)}))

    def _fire(self, frame: OccurrenceFrame) -> None:
        try:
            fired = fire(frame, self._facts.waits, self._notes, self._now_ms)
        except MissingFacts as error:
            self._missing_facts.append(error.need)
            return
        self._frames += fired.frames
        self._timers += fired.timers
        self._cursors += fired.cursors
        self._cells += fired.cells

    def _release(self, chunk: ChunkFrame) -> None:
        released = decide_release(chunk, self._facts.sends, self._claims, self._partition, self._now_ms)
        if isinstance(released, Need):
            self._missing_facts.append(released)
            return
        self._frames += released.frames
        self._timers += released.timers
        self._merged += released.merged
        self._count(released.counts)

    def _keep(self, plan: Plan) -> None:
        self._frames += plan.frames
        self._timers += plan.timers
        self._notes.log_all(plan.log_lines)
        self._count(plan.counts)
        for item, to, place in plan.held_back:
            self.resumed.failed(item, to, place)

    def _count(self, counts: dict[tuple[str, str], int]) -> None:
        for (channel, decision), number in counts.items():
            self._notes.count("planned", number, channel=channel, decision=decision)
