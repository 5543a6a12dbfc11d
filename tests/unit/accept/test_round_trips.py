"""How often one request waits for a store: every port is as far away as a round trip takes, in virtual time."""

import asyncio
import itertools

import msgspec
import pytest

from clarion.accept.shapes import AudienceIn, BroadcastIn, NotificationIn
from clarion.accept.shapes_events import EventIn
from clarion.accept.submissions import Batch, Item, Key, Marked
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField, Overloaded
from clarion.domain.limits import BACKLOG_CHECK_MS
from clarion.domain.quota import TENANT as WHOLE
from clarion.domain.quota import Quota
from clarion.ports.web import Caller
from clarion_lab.load.delays import Delayed, Delays, Waits
from tests.contract.controls import House
from tests.stages.virtual import run
from tests.stages.world import TENANT, furnish
from tests.unit.accept.entrance import Entrance

CALLER = Caller(TENANT, "key", frozenset({"*"}))
NEWS = {"template": "news", "data": {}}
RULE = {"event": "paid", "notify": [{"to": "data.who", "template": "news"}, {"to": "'u2'", "workflow": "flow"}]}
STEPS = {"steps": [{"kind": "send", "name": "tell", "template": "news"}], "category": "letters"}
SINGLE = NotificationIn(to="u1", **NEWS)
BATCH = Batch([Item(NotificationIn(to=f"u{n}", idempotency_key=f"i{n}", **NEWS), digest=b"i") for n in range(1, 4)])
EVERYONE = BroadcastIn(audience=AudienceIn(all=True), **NEWS)
EVENT = EventIn(type="paid", data={"who": ["u1", "u3"]})
RTT_MS = 50
numbers = itertools.count()


class Afar(Entrance):
    """A door whose stores are all far away, with what requests name defined."""

    def __init__(self, house, **options):
        self._waits = waits = Waits(Delays(RTT_MS, "unused"), "api")
        self.house = house
        super().__init__(
            house.directory, audiences=house.control.audiences, linger_ms=0,
            far=lambda port, name: Delayed(port, name, waits), **options,
        )  # fmt: skip

    def asked(self, port):
        """How often a port was asked, by method."""
        calls = self._waits.counts().calls["accept"]
        return {name: number for name, number in calls.items() if name.partition(".")[0] == port}

    async def round_trips(self, request, *, key=True):
        """How many round trips one request takes."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await self.intake.submit(CALLER, request, Key(f"k{next(numbers)}", b"d") if key else None)
        return round((loop.time() - began_s) * 1_000 / RTT_MS)


async def afar(folder, **options):
    house = await furnish(House(folder, engine="memory"))
    control = house.control
    await control.categories.put(TENANT, Category("letters"))
    await control.templates.put(TENANT, Template("news", 0, "letters", {"sms": {"body": "Hi"}}))
    await control.definitions.put(TENANT, "workflow", "flow", msgspec.json.encode(STEPS))
    await control.definitions.put(TENANT, "event_rule", "rule", msgspec.json.encode(RULE))
    await control.quotas.put(TENANT, WHOLE, Quota(daily=1_000_000, audience_max=1_000))
    return Afar(house, **options)


def told(folder, story, **options):
    async def all_of_it():
        return await story(await afar(folder, **options))

    return run(all_of_it())


WAYS = {
    "single": (SINGLE, 2),
    "workflow": (NotificationIn(to=["u1", "u2"], workflow="flow"), 2),
    "marked": (Marked(SINGLE, {"name": "Ana"}), 2),
    "batch": (msgspec.UNSET, 2),
    "broadcast": (EVERYONE, 3),
    "event": (EVENT, 3),
}


def of_way(name):
    if name != "batch":
        return WAYS[name][0]
    return Batch([item._replace(body=msgspec.structs.replace(item.body, idempotency_key=f"i{next(numbers)}"))
                  for item in BATCH.items])  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_a_warm_request_takes_three_round_trips_at_most(tmp_path, name):
    async def story(afar):
        for _ in range(2):  # the first one asks for definitions and draws from the quota
            await afar.round_trips(of_way(name))
        return await afar.round_trips(of_way(name))

    assert told(tmp_path, story) <= WAYS[name][1]


@pytest.mark.parametrize("name", ["single", "batch"])
def test_a_cold_request_asks_for_all_at_once_and_then_for_what_that_implies(tmp_path, name):
    async def story(afar):
        await afar.round_trips(EVENT)
        await afar.house.control.categories.put(TENANT, Category("letters", critical=True))
        return await afar.round_trips(of_way(name))

    assert told(tmp_path, story) <= 3


def test_a_shared_quota_is_one_round_trip_more_only_when_what_is_held_does_not_pay(tmp_path):
    async def story(afar):
        return [await afar.round_trips(SINGLE) for _ in range(3)]

    assert told(tmp_path, story) == [3 + 1, 2, 2]


def test_neither_an_invalid_field_nor_an_answer_given_again_draws_from_a_quota(tmp_path):
    async def story(afar):
        for request in (NotificationIn(to="nobody", **NEWS), NotificationIn(to="u1", template="gone")):
            with pytest.raises(InvalidField):
                await afar.round_trips(request)
        assert afar.asked("quotas") == {}
        key = Key("same", b"d")
        first = await afar.intake.submit(CALLER, SINGLE, key)
        drawn = afar.asked("quotas")
        assert (await afar.intake.submit(CALLER, SINGLE, key)).told == first.told
        assert afar.asked("quotas") == drawn != {}

    told(tmp_path, story)


def test_who_comes_while_too_much_waits_is_refused_without_asking(tmp_path):
    async def story(afar):
        asked = []
        for _ in range(2):
            with pytest.raises(Overloaded):
                await afar.round_trips(SINGLE, key=False)
            asked.append(afar.asked("store"))
        return asked

    assert told(tmp_path, story, backlog_max=0) == [{"store.backlog_of": 1}] * 2


@pytest.mark.parametrize("name", ["single", "batch", "event"])
def test_a_full_backlog_draws_nothing_from_a_quota(tmp_path, name):
    async def story(afar):
        for key in (True, False):
            with pytest.raises(Overloaded):
                await afar.round_trips(of_way(name), key=key)
        return afar.asked("quotas")

    assert told(tmp_path, story, backlog_max=0) == {}


def test_those_that_come_together_look_once_how_much_waits(tmp_path):
    async def story(afar):
        await asyncio.gather(*(afar.round_trips(SINGLE) for _ in range(20)))
        return afar.asked("store")["store.backlog_of"]

    assert told(tmp_path, story) == 1


def test_how_much_waits_is_looked_at_more_often_where_it_may_soon_be_too_much(tmp_path):
    async def story(afar):
        looks = []
        for _ in range(10):
            await afar.round_trips(SINGLE)
            looks.append(afar.asked("store").get("store.backlog_of", 0))
            await asyncio.sleep(BACKLOG_CHECK_MS / 1_000)
        return looks[-1]

    assert told(tmp_path, story, backlog_max=1_000_000) == 3
    assert told(tmp_path, story, backlog_max=11) > 5


@pytest.mark.parametrize("name", ["single", "batch"])
def test_a_request_carried_out_while_its_repetition_gathers_is_charged_once(tmp_path, monkeypatch, name):
    async def story(afar):
        door, charged, key = afar.intake._door, [], Key("same", b"d")
        for charge in ("charge", "charge_each"):
            monkeypatch.setattr(door.quotas, charge, noting(charged, getattr(door.quotas, charge)))
        gather, slow = door.gather, [True]

        async def slowly(*asked):
            facts = await gather(*asked)
            if slow.pop() if slow else False:
                await asyncio.sleep(10)
            return facts

        monkeypatch.setattr(door, "gather", slowly)
        again = asyncio.create_task(afar.intake.submit(CALLER, of_way(name), key))
        await asyncio.sleep(5)
        first = await afar.intake.submit(CALLER, of_way(name), key)
        repeated = await again
        assert (repeated.told, repeated.replayed, first.replayed) == (first.told, True, False)
        assert len(charged) == 1
        assert afar.intake._once._looks == {}

    told(tmp_path, story)


def noting(calls, method):
    async def noted(*asked):
        calls.append(asked)
        return await method(*asked)

    return noted
