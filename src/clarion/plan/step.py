"""One step of planning: whatever a batch of frames asks for becomes one atomic commit.

`decide` is a function of the batch, of facts that were gathered for it and of the time. What it lacks it names, all at once,
and is asked again from the start.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from clarion.domain.channel import Lane
from clarion.journal.events import AdvanceFrame, ChunkFrame, Event, OccurrenceFrame, ResumeFrame, SignalFrame
from clarion.plan.batch import decide_batch
from clarion.plan.broadcast.release import decide_release
from clarion.plan.columns import Accepted
from clarion.plan.facts import SendFacts
from clarion.plan.merging import digesting
from clarion.plan.notes import Notes
from clarion.plan.outcome import Merged, Plan
from clarion.plan.resume import Resumptions, resumptions
from clarion.plan.rules.need import Lacking, Need, merged
from clarion.plan.schedules.firing import fire
from clarion.plan.wait_facts import STARTS, Starting, WaitFacts
from clarion.plan.work import Work
from clarion.plan.workflow.fetching import FetchJob
from clarion.plan.workflow.turn import Turn
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import CapWrite, Cell, Wait, WaitEnd
from clarion.ports.stage_store import Broadcasts, Commit, Cursor, Lease, PlanState, Progress, StageResult, Timer
from clarion.ports.streams import Frame

ROUNDS_MAX: Final = 64
"""How often what was planned may ask for more in the same step: a digest sends at once, a route goes on at once."""


class StepFacts(NamedTuple):
    """What one step looks at: for what waits, and for what is sent."""

    waits: WaitFacts
    sends: SendFacts


class StepResult(NamedTuple):
    """What one step amounts to. `fetches` are the calls to make once it is durable, `notes` what is counted and logged
    then."""

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
        """Return what is committed to make the step durable."""
        return StageResult(
            lease=lease,
            frames=self.frames,
            timers=self.timers,
            progress=Progress(commits),
            plan_state=PlanState(self.cells, self.caps, self.waits, self.ended_waits),
            broadcasts=Broadcasts(self.cursors),
        )

    def changes(self) -> bool:
        """Return whether there is anything to commit."""
        return any((self.frames, self.timers, self.cells, self.cursors))


def decide(work: Work, facts: StepFacts, expressions: Expressions, now_ms: int) -> StepResult | Need:
    """Return what a batch amounts to at a time (Unix ms), or what deciding it lacks. `expressions` compiles texts and does no
    more than that."""
    step = _Step(facts, expressions, now_ms)
    step.turn.catch_up()
    for lane, event in work.others:
        step.take(lane, event)
    step.plan(work.items, work.started)
    lacking = step.lacks()
    return merged(lacking) if lacking else step.result()


class _Step:
    """One step being decided."""

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
        self._merged: list[Merged] = []
        self._lacking: list[Need] = []
        self.turn = Turn(facts.waits, expressions, self._notes, now_ms)
        self.resumed = Resumptions(facts.waits, now_ms)

    def lacks(self) -> list[Need]:
        """Return what was found lacking so far."""
        return [*self._lacking, *self.turn.lacking, *self.resumed.lacking]

    def take(self, lane: Lane, event: Event) -> None:
        """Take a frame that holds no notifications."""
        match event:
            case AdvanceFrame():
                self.turn.advance(lane, event)
            case SignalFrame():
                self.turn.signal(lane, event)
            case ResumeFrame():
                for row in resumptions(lane, event):
                    self.resumed.take(row)
            case OccurrenceFrame():
                self._fire(event)
            case ChunkFrame():
                self._release(event)
            case _:
                raise TypeError(f"nobody plans a {type(event).__name__}")  # such frames stop their reader

    def plan(self, items: list[Accepted], started: list[Accepted]) -> None:
        """Plan items, and what planning them asks for. Nothing is planned in vain: it ends where something is lacking."""
        turn, resumed = self.turn, self.resumed
        for item in started:
            turn.start(item)
        begun = [digesting(one) for one in self._merged]
        for _ in range(ROUNDS_MAX):
            self._start(begun)
            if self.lacks():
                return
            items = [*items, *turn.sends, *resumed.items]
            started = [*started, *begun]
            turn.sends.clear()
            resumed.items.clear()
            if not items and not started:
                return
            plan = decide_batch(items, started, self._facts.sends, self._claims, self._partition, self._now_ms)
            if isinstance(plan, Need):
                self._lacking.append(plan)
                return
            self._keep(plan)
            items, started, begun = [], [], [digesting(one) for one in plan.merged]
        # Routes get shorter and digests collect, so this is a fault of ours; going on would drop what is left.
        raise RuntimeError(f"a step of planning asked for more {ROUNDS_MAX} times")

    def result(self) -> StepResult:
        """Return what it all amounts to."""
        turn, resumed, notes = self.turn, self.resumed, self._notes
        turn.finish()
        return StepResult(
            frames=[*self._frames, *turn.frames],
            timers=[*self._timers, *turn.timers, *resumed.timers],
            cursors=self._cursors,
            cells=[*self._cells, *turn.cells, *resumed.cells],
            waits=turn.waits,
            ended_waits=turn.ended_waits,
            caps=self._claims.writes(),
            fetches=turn.fetches,
            notes=notes,
        )

    def _start(self, begun: list[Accepted]) -> None:
        """Start the digests of what was merged. What that takes could not be foreseen, so it is asked for as a whole."""
        before = len(self.turn.lacking)
        for item in begun:
            self.turn.start(item)
        if len(self.turn.lacking) > before:
            self._lacking.append(Need({STARTS: map(Starting, begun)}))

    def _fire(self, frame: OccurrenceFrame) -> None:
        try:
            fired = fire(frame, self._facts.waits, self._notes, self._now_ms)
        except Lacking as error:
            self._lacking.append(error.need)
            return
        self._frames += fired.frames
        self._timers += fired.timers
        self._cursors += fired.cursors
        self._cells += fired.cells

    def _release(self, chunk: ChunkFrame) -> None:
        released = decide_release(chunk, self._facts.sends, self._claims, self._partition, self._now_ms)
        if isinstance(released, Need):
            self._lacking.append(released)
            return
        self._frames += released.frames
        self._timers += released.timers
        self._merged += released.merged
        self._count(released.counts)

    def _keep(self, plan: Plan) -> None:
        self._frames += plan.frames
        self._timers += plan.timers
        self._notes.log_all(plan.told)
        self._count(plan.counts)
        for item, to, place in plan.fallen:
            self.resumed.failed(item, to, place)

    def _count(self, counts: dict[tuple[str, str], int]) -> None:
        for (channel, decision), number in counts.items():
            self._notes.count("planned", number, channel=channel, decision=decision)
