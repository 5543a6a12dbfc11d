"""Random workflows with random events: in any order of events, every instance ends once and every event is in
one digest."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import LANES
from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpResponse
from clarion.domain.workflow import Workflow
from clarion.journal import topics
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import PARTITIONS, VirtualClock
from tests.look import Glance
from tests.property.test_workflow_rules import workflows
from tests.stages.flows import ENDINGS, Flow, Shelf, advances, unlucky
from tests.unit.workflow.test_steps import DAY_MS, HOUR_MS

USERS = st.sampled_from(["u1", "u2"])
INDEXES = st.integers(0, 20)
HAPPENINGS = st.one_of(
    st.tuples(st.just("trigger"), USERS),
    st.tuples(st.just("trigger"), USERS),
    st.tuples(st.just("pass"), st.sampled_from([0, 1, 1_999, 60_000, 3_600_000, 86_400_000])),
    st.tuples(st.just("see"), INDEXES),
    st.tuples(st.just("event"), USERS),
    st.tuples(st.just("cancel"), INDEXES),
    st.tuples(st.just("again"), INDEXES),
    st.tuples(st.just("back"), st.sampled_from([1, 5_000, 3_600_000])),
)


class RandomRun:
    """One flow that runs through happenings; `events` are the numbers of the triggered events, by instance."""

    def __init__(self, workflow: Workflow, seed: int, expires: bool) -> None:
        clock = VirtualClock()
        self.flow = Flow(MemoryJournal(clock, PARTITIONS), clock, Shelf())
        self.flow.shelf.workflows["w"] = [workflow]
        self.flow.crashes = unlucky(seed)
        self.flow.server.answers = [_refused, lambda: HttpResponse(200, {}, b"{}")]
        self.expires = expires
        self.triggered: list[tuple[bytes, str]] = []

    async def happen(self, what: str, how: Any) -> None:
        """Let one thing happen."""
        flow = self.flow
        match what:
            case "trigger":
                number = len(self.triggered)
                expires_ms = flow.clock.now_ms() + number * HOUR_MS if self.expires and number % 3 == 0 else None
                data = {"n": number, "at": "2023-11-15T00:00:00Z"}
                self.triggered.append((await flow.trigger("w", how, data=data, expires_ms=expires_ms), how))
            case "pass":
                await flow.pass_ms(how)
            case "event":
                await flow.event("e", how)
            case "back":
                flow.clock.wall_ms -= how
            case "again":
                await self._again(how)
            case _ if self.triggered:
                id_, user_id = self.triggered[how % len(self.triggered)]
                await (flow.cancel(id_) if what == "cancel" else flow.see(id_, user_id))

    async def _again(self, how: int) -> None:
        """Repeat a frame that was processed already."""
        journal = self.flow.journal
        old = [
            one
            for lane in LANES
            for p in range(PARTITIONS)
            for one in Glance(journal).read(topics.accepted(lane), p, 0)
        ]
        moved = [one for one in old if advances(one.payload)]
        if moved:
            one = moved[how % len(moved)]
            await journal.commit(StageResult(frames=[Frame(one.topic, one.partition, one.count, one.payload)]))


def _refused() -> HttpResponse:
    raise EgressError("refused", sent=Sent.NO)


def random_run(workflow: Workflow, happenings: list[tuple[str, Any]], seed: int, expires: bool) -> RandomRun:
    """Run through happenings, and then until everything has ended."""
    life = RandomRun(workflow, seed, expires)

    async def play() -> None:
        for what, how in happenings:
            await life.happen(what, how)
        await life.flow.pass_ms(60 * DAY_MS)

    asyncio.run(play())
    return life


@given(workflows(5), st.lists(HAPPENINGS, max_size=25), st.integers(0, 99), st.booleans())
def test_every_instance_ends_once_and_every_event_is_in_one_digest(workflow, happenings, seed, expires):
    life = random_run(workflow, happenings, seed, expires)
    flow = life.flow
    stories = flow.stories()
    assert len(stories) == len(life.triggered)
    for story in stories.values():
        assert [event in ENDINGS for event in story] == [False] * (len(story) - 1) + [True], story
    assert set(flow.cell_keys()) <= {b"c"}
    assert Glance(flow.journal).next_due_ms() is None
    sent = Counter((one.notification_id, one.request.to[0].user_id, one.step) for one in flow.sent)
    assert not sent or max(sent.values()) == 1


WINDOWS = st.sampled_from([
    {"fixed": "1h"}, {"fixed": "1s"}, {"sliding": "10m", "at_most": "1h"}, {"sliding": "1h"}, {"at": "09:00"},
])  # fmt: skip


@given(
    WINDOWS, st.sampled_from([None, "data.n % 2"]), st.lists(HAPPENINGS, max_size=40), st.integers(0, 99), st.booleans()
)
def test_every_event_is_in_exactly_one_digest_unless_it_was_taken_back(window, key, happenings, seed, expires):
    send = {"kind": "send", "name": "hello", "template": "hello"}
    digest = {"kind": "digest", "name": "d", "window": window, "key": key}
    life = random_run(msgspec.convert({"steps": [digest, send]}, Workflow), happenings, seed, expires)
    ends = {id_[:16]: story[-1] for id_, story in life.flow.stories().items()}
    digested = [item["n"] for one in life.flow.sent for item in one.request.data["digest"]["items"]]
    stayed = [n for n, (id_, _) in enumerate(life.triggered) if ends[id_] in ("completed", "merged")]
    assert sorted(digested) == stayed
    assert Counter(ends.values())["completed"] == len(life.flow.sent)
    for one in life.flow.sent:
        owner = {life.triggered[item["n"]][1] for item in one.request.data["digest"]["items"]}
        assert owner == {one.request.to[0].user_id}, "nobody gets another's events"
