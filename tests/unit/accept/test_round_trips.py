"""How often one request waits for a store: every port is as far away as a round trip takes, in virtual time."""

import asyncio
import itertools

import msgspec
import pytest

from clarion.accept.admit import parse_body
from clarion.accept.shapes import AudienceIn, BroadcastIn, NotificationIn
from clarion.accept.shapes_events import EventIn
from clarion.accept.submissions import Batch, Item, Key, NotificationTest
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField, Overloaded
from clarion.domain.limits_processes import BACKLOG_CHECK_MS
from clarion.domain.quota import TENANT as WHOLE
from clarion.domain.quota import Quota
from clarion_lab.load.delays import Delayed, Delays, Waits
from tests.callers import by_key
from tests.contract.controls import ControlPlane
from tests.registries import categories_of, definitions_of, templates_of
from tests.stages.virtual import run
from tests.stages.world import TENANT, seed_data
from tests.unit.accept.harness import IntakeHarness

CALLER = by_key(TENANT)
NEWS = {"template": "news", "data": {}}
RULE = {"event": "paid", "notify": [{"to": "data.who", "template": "news"}, {"to": "'u2'", "workflow": "flow"}]}
STEPS = {"steps": [{"kind": "send", "name": "tell", "template": "news"}], "category": "letters"}
SINGLE = NotificationIn(to="u1", **NEWS)
BATCH = Batch(
    [Item(parse_body(NotificationIn(to=f"u{n}", idempotency_key=f"i{n}", **NEWS)), digest=b"i") for n in range(1, 4)]
)
EVERYONE = BroadcastIn(audience=AudienceIn(all=True), **NEWS)
EVENT = EventIn(type="paid", data={"who": ["u1", "u3"]})
RTT_MS = 50
numbers = itertools.count()


class RemoteIntake(IntakeHarness):
    """Intake whose stores are all a round trip away, with the definitions that requests name."""

    def __init__(self, installation, **options):
        self._waits = waits = Waits(Delays(RTT_MS, "unused"), "api")
        self.installation = installation
        super().__init__(
            installation.directory, audiences=installation.control.audiences, linger_ms=0,
            far=lambda port, name: Delayed(port, name, waits), **options,
        )  # fmt: skip

    def asked(self, port):
        """Return the number of calls of a port, by method."""
        calls = self._waits.counts().calls["accept"]
        return {name: number for name, number in calls.items() if name.partition(".")[0] == port}

    async def round_trips(self, request, *, key=True):
        """Return the number of round trips that one request takes."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await self.intake.submit(CALLER, request, Key(f"k{next(numbers)}", b"d") if key else None)
        return round((loop.time() - began_s) * 1_000 / RTT_MS)


async def remote(folder, **options):
    installation = await seed_data(ControlPlane(folder, backend="memory"))
    control = installation.control
    await categories_of(control).put(TENANT, Category("letters"))
    await templates_of(control).put(TENANT, Template("news", 0, "letters", {"sms": {"body": "Hi"}}))
    await definitions_of(control).put(TENANT, "workflow", "flow", msgspec.json.encode(STEPS))
    await definitions_of(control).put(TENANT, "event_rule", "rule", msgspec.json.encode(RULE))
    await control.quotas.put(TENANT, WHOLE, Quota(daily=1_000_000, audience_max=1_000))
    return RemoteIntake(installation, **options)


def count_trips(folder, scenario, **options):
    async def all_of_it():
        return await scenario(await remote(folder, **options))

    return run(all_of_it())


WAYS = {
    "single": (SINGLE, 2),
    "workflow": (NotificationIn(to=["u1", "u2"], workflow="flow"), 2),
    "marked": (NotificationTest(SINGLE, {"name": "Ana"}), 2),
    "batch": (msgspec.UNSET, 2),
    "broadcast": (EVERYONE, 3),
    "event": (EVENT, 3),
}


def of_way(name):
    if name != "batch":
        return WAYS[name][0]
    bodies = [msgspec.structs.replace(item.parsed.body, idempotency_key=f"i{next(numbers)}") for item in BATCH.items]
    return Batch([item._replace(parsed=parse_body(body)) for item, body in zip(BATCH.items, bodies, strict=True)])


@pytest.mark.parametrize("name", WAYS)
def test_a_warm_request_takes_three_round_trips_at_most(tmp_path, name):
    async def scenario(remote):
        for _ in range(2):  # the first one asks for definitions and draws from the quota
            await remote.round_trips(of_way(name))
        return await remote.round_trips(of_way(name))

    assert count_trips(tmp_path, scenario) <= WAYS[name][1]


@pytest.mark.parametrize("name", ["single", "batch"])
def test_a_cold_request_reads_all_at_once_and_then_the_implied_names(tmp_path, name):
    async def scenario(remote):
        await remote.round_trips(EVENT)
        await categories_of(remote.installation.control).put(TENANT, Category("letters", critical=True))
        return await remote.round_trips(of_way(name))

    assert count_trips(tmp_path, scenario) <= 3


def test_a_shared_quota_is_one_round_trip_more_only_when_the_local_bucket_does_not_suffice(tmp_path):
    async def scenario(remote):
        return [await remote.round_trips(SINGLE) for _ in range(3)]

    assert count_trips(tmp_path, scenario) == [3 + 1, 2, 2]


def test_neither_an_invalid_field_nor_a_replayed_answer_draws_from_a_quota(tmp_path):
    async def scenario(remote):
        for request in (NotificationIn(to="nobody", **NEWS), NotificationIn(to="u1", template="gone")):
            with pytest.raises(InvalidField):
                await remote.round_trips(request)
        assert remote.asked("quotas") == {}
        key = Key("same", b"d")
        first = await remote.intake.submit(CALLER, SINGLE, key)
        drawn = remote.asked("quotas")
        assert (await remote.intake.submit(CALLER, SINGLE, key)).response == first.response
        assert remote.asked("quotas") == drawn != {}

    count_trips(tmp_path, scenario)


def test_a_request_during_overload_is_refused_without_reads(tmp_path):
    async def scenario(remote):
        asked = []
        for _ in range(2):
            with pytest.raises(Overloaded):
                await remote.round_trips(SINGLE, key=False)
            asked.append(remote.asked("store"))
        return asked

    assert count_trips(tmp_path, scenario, backlog_max=0) == [{"store.backlog_of": 1}] * 2


@pytest.mark.parametrize("name", ["single", "batch", "event"])
def test_a_full_backlog_draws_nothing_from_a_quota(tmp_path, name):
    async def scenario(remote):
        for key in (True, False):
            with pytest.raises(Overloaded):
                await remote.round_trips(of_way(name), key=key)
        return remote.asked("quotas")

    assert count_trips(tmp_path, scenario, backlog_max=0) == {}


def test_concurrent_requests_check_the_backlog_once(tmp_path):
    async def scenario(remote):
        await asyncio.gather(*(remote.round_trips(SINGLE) for _ in range(20)))
        return remote.asked("store")["store.backlog_of"]

    assert count_trips(tmp_path, scenario) == 1


def test_the_backlog_is_checked_more_often_near_its_bound(tmp_path):
    async def scenario(remote):
        looks = []
        for _ in range(10):
            await remote.round_trips(SINGLE)
            looks.append(remote.asked("store").get("store.backlog_of", 0))
            await asyncio.sleep(BACKLOG_CHECK_MS / 1_000)
        return looks[-1]

    assert count_trips(tmp_path, scenario, backlog_max=1_000_000) == 3
    assert count_trips(tmp_path, scenario, backlog_max=11) > 5


@pytest.mark.parametrize("name", ["single", "batch"])
def test_a_request_that_completes_while_its_repeat_gathers_is_charged_once(tmp_path, monkeypatch, name):
    async def scenario(remote):
        context, charged, key = remote.intake._context, [], Key("same", b"d")
        for charge in ("charge", "charge_each"):
            monkeypatch.setattr(context.quotas, charge, recording(charged, getattr(context.quotas, charge)))
        gather, slow = context.gather, [True]

        async def slowly(*asked):
            facts = await gather(*asked)
            if slow.pop() if slow else False:
                await asyncio.sleep(10)
            return facts

        monkeypatch.setattr(context, "gather", slowly)
        again = asyncio.create_task(remote.intake.submit(CALLER, of_way(name), key))
        await asyncio.sleep(5)
        first = await remote.intake.submit(CALLER, of_way(name), key)
        repeated = await again
        assert (repeated.response, repeated.replayed, first.replayed) == (first.response, True, False)
        assert len(charged) == 1
        assert remote.intake._once._looks == {}

    count_trips(tmp_path, scenario)


def recording(calls, method):
    async def recorded(*asked):
        calls.append(asked)
        return await method(*asked)

    return recorded
