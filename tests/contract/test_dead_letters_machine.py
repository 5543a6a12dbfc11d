"""Any order of failing, replaying, editing, sending and cancelling: no successful delivery is repeated or sent twice."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.delivery_state import Event
from clarion.journal.codec import decode
from clarion.journal.rows import deliver_rows
from tests.contract import ledgers as world
from tests.contract.journals import PARTITIONS, VirtualClock
from tests.contract.states import STATES, shut
from tests.contract.test_dead_letters import DeadLetterApi, user_of
from tests.look import Glance

pytestmark = pytest.mark.slow
PEOPLE = range(world.SINGLES)
SOMEBODY = st.sampled_from(PEOPLE)
ASKING = st.fixed_dictionaries(
    {},
    optional={
        "rate_per_s": st.sampled_from([0.5, 2, 1_000]),
        "dry_run": st.booleans(),
        "edit": st.sampled_from([{"data": {"x": 1}}, {"template": "hello"}, {"template": "mail"}]),
    },
)
STEPS = st.one_of(
    st.tuples(st.just("ids"), st.lists(SOMEBODY, min_size=1, max_size=3, unique=True), ASKING),
    st.tuples(st.just("filter"), st.integers(1, 3), ASKING),
    st.tuples(st.just("fold")),
    st.tuples(st.just("pass"), st.sampled_from([0, 400, 61_000])),
    st.tuples(st.just("send"), st.booleans()),
    st.tuples(st.just("suppress"), SOMEBODY),
    st.tuples(st.just("cancel"), SOMEBODY),
)


class Model:
    """A model of each delivery, compared with the results of the endpoints."""

    def __init__(self, api):
        self.api = api
        self.read_to = dict.fromkeys(range(PARTITIONS), 0)
        self.waiting = []
        self.begun = dict.fromkeys(map(user_of, PEOPLE), 0)
        self.taken = dict.fromkeys(map(user_of, PEOPLE), 0)
        self.sent = set()
        self.attempts = set()

    async def begin(self):
        """Make every delivery fail once."""
        for person in PEOPLE:
            await self.api.kill(person, expires_ms=None if person else world.AT_MS + 90_000)

    async def step(self, kind, *given):
        await getattr(self, f"_{kind}")(*given)
        await self._take()

    async def _ids(self, people, asked):
        await self._ask(asked, ids=[user_of(person) for person in people])

    async def _filter(self, limit, asked):
        await self._ask(asked, filter={}, limit=limit)

    async def _ask(self, asked, **which):
        answer = await self.api.replay(**which, **asked)
        for result in answer["results"]:
            if result["status"] == "replayed":
                assert result["id"] not in self.sent
                self.begun[result["id"]] += 1
        assert not (asked.get("dry_run") and answer["results"])

    async def _fold(self):
        await self.api.fold_replays()

    async def _pass(self, ms):
        self.api.clock.pass_ms(ms)
        await self.api.journal.fire(self.api.clock.now_ms(), 100)

    async def _suppress(self, person):
        self.api.directory.gone.add(f"token-{person}")

    async def _cancel(self, person):
        await self.api.fold(world.cancelled(person))

    async def _take(self):
        """Read the deliveries to send, as the worker does."""
        for partition in range(PARTITIONS):
            for frame in Glance(self.api.journal).read("deliver.push.high", partition, self.read_to[partition]):
                self.read_to[partition] = frame.offset
                for row in deliver_rows(decode(frame.payload)):
                    id_ = user_of(world.SINGLE_IDS.index(row.delivery_id))
                    assert (id_, row.attempt) not in self.attempts
                    assert id_ not in self.sent
                    assert row.expires_ms is None or row.trail.since_ms < row.expires_ms
                    self.attempts.add((id_, row.attempt))
                    self.taken[id_] += 1
                    self.waiting.append(row)

    async def _send(self, well):
        """Send the delivery that waits longest; its replay has been folded by then."""
        if not self.waiting:
            return
        row = self.waiting.pop(0)
        person = world.SINGLE_IDS.index(row.delivery_id)
        await self.api.fold_replays()
        if well:
            await self.api.fold(world.intent(person, row.attempt), world.attempted(person, Event.ACCEPTED, row.attempt))
            self.sent.add(user_of(person))
        else:
            await self.api.kill(person, row.attempt, at_ms=self.api.clock.now_ms(), expires_ms=row.expires_ms)

    async def end(self):
        """Pass the time of every timer: each delivery reported as replayed was sent exactly once."""
        await self._pass(10**8)
        await self._take()
        assert self.taken == self.begun


async def lived(name, steps):
    with TemporaryDirectory() as folder:
        clock = VirtualClock()
        api = DeadLetterApi(STATES[name](Path(folder)), clock)
        try:
            model = Model(api)
            await model.begin()
            for step in steps:
                await model.step(*step)
            await model.end()
        finally:
            await shut(api.state)


@pytest.mark.parametrize("name", [name for name in STATES if name != "memory"])
@given(steps=st.lists(STEPS, max_size=25))
def test_no_order_of_calls_sends_twice(name, steps):
    asyncio.run(lived(name, steps))
