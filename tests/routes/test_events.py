"""Event rules and events, handler by handler over a real control store: one append or nothing, and each no with its reason."""

import asyncio
import itertools
import json

import msgspec
import pytest

from clarion.accept.intake import Intake
from clarion.accept.intake_door import Door
from clarion.accept.routes_events import routes as event_routes
from clarion.accept.worker import AcceptWriter
from clarion.accept.worker_quota import QuotaGate
from clarion.backends.cel.expressions import CelExpressions
from clarion.backends.jsonschema.schemas import JsonSchemas
from clarion.backends.memory.journal import MemoryJournal
from clarion.backends.memory.quotas import MemoryQuotas
from clarion.domain import ids, limits, limits_deciding
from clarion.domain.channel import LANES
from clarion.domain.errors import Conflict, InvalidField, KeyReused, NotFound, QuotaExceeded
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, SignalFrame
from clarion.journal.signals import event_key
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import PlanState, StageResult
from clarion.ports.web import Call, Caller
from tests.contract.controls import House
from tests.look import Glance
from tests.stages.world import Notes

RULE = {
    "event": "ride.completed",
    "if": "data.fare > 0",
    "notify": [
        {"to": "data.rider_id", "template": "receipt", "channels": ["push"], "data": {"text": "'Paid ' + data.price"}},
        {"to": "data.driver_ids", "template": "note", "category": "earnings", "if": "data.fare >= 10"},
    ],
}
RIDE = {"rider_id": "ria", "driver_ids": ["dan"], "fare": 12, "price": "EUR 12"}
PARTITIONS = 3


class Listener(MemoryJournal):
    """Counts appends."""

    def __init__(self, clock):
        super().__init__(clock, PARTITIONS)
        self.appends = []

    async def commit(self, batch):
        self.appends.append(batch)
        return await super().commit(batch)

    def events(self, kind):
        """Every event of a kind on the lanes of accepted requests."""
        frames = [
            decode(frame.payload)
            for lane in LANES
            for partition in range(PARTITIONS)
            for frame in Glance(self).read(topics.accepted(lane), partition, 0, 1_000)
        ]
        return [frame for frame in frames if isinstance(frame, kind)]


class Desk:
    """The control API and the door for events over one folder."""

    def __init__(self, house):
        self.house = house
        self.journal = Listener(house.clock)
        self.quotas = MemoryQuotas()
        notes = Notes()
        gate = QuotaGate(self.quotas, house.clock, notes)
        writer = AcceptWriter(self.journal, house.clock, notes, linger_ms=0)
        door = Door(
            self.journal, house.directory, JsonSchemas(), writer, house.clock, gate,
            house.control.audiences, backlog_max=1_000,
        )  # fmt: skip
        self._routes = {route.path: route for route in event_routes(Intake(door, CelExpressions()))}

    async def reply(self, path, body, *, key=None, tenant="acme"):
        route = self._routes[path]
        raw = msgspec.json.encode(body)
        headers = {} if key is None else {"idempotency-key": key}
        call = Call(
            Caller(tenant, "key", frozenset({"*"})), {}, {}, headers, raw, msgspec.json.decode(raw, type=route.body)
        )
        return await route.handler(call)

    async def happened(self, data=RIDE, type_="ride.completed", **more):
        reply = await self.reply("/v1/events", {"type": type_, "data": data, **more})
        return msgspec.json.decode(reply.raw)

    async def would(self, data=RIDE, type_="ride.completed", **more):
        reply = await self.reply("/v1/events/dry-run", {"type": type_, "data": data, **more})
        return msgspec.json.decode(msgspec.json.encode(reply.body))["rules"]

    async def rule(self, key="ride", body=RULE, **change):
        self.house.settle()
        return await self.house.say("PUT", f"/v1/event-rules/{key}", {**body, **change})


@pytest.fixture
async def desk(engine, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, engine)
    await house.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    await house.call("PUT", "/v1/categories/earnings", {"priority": "high"})
    receipt = {"push": {"title": "{{ text }}"}, "email": {"subject": "Receipt", "text": "{{ text }}"}}
    await house.call("PUT", "/v1/templates/receipt", {"channels": receipt})
    await house.call("PUT", "/v1/templates/note", {"channels": {"push": {"title": "Well done"}}})
    for user in ("ria", "dan", "dee"):
        await house.call("PUT", f"/v1/users/{user}", {})
    yield Desk(house)
    await house.close()


async def test_a_rule_is_put_shown_listed_and_removed(desk):
    shown = await desk.rule()
    assert shown | RULE | {"key": "ride", "version": 1} == shown
    assert await desk.rule() == shown, "the same body again is the version it already is"
    assert (await desk.rule(enabled=False))["version"] == 2
    say, call = desk.house.say, desk.house.call
    assert (await say("GET", "/v1/event-rules/ride"))["enabled"] is False
    assert [one["key"] for one in (await say("GET", "/v1/event-rules"))["data"]] == ["ride"]
    assert (await say("GET", "/v1/event-rules", tenant="other"))["data"] == []
    assert (await call("DELETE", "/v1/event-rules/ride")).status == 204
    for method in ("GET", "DELETE"):
        with pytest.raises(NotFound):
            await call(method, "/v1/event-rules/ride")


def entry(**change):
    return {"notify": [RULE["notify"][0], {**RULE["notify"][1], **change}]}


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"event": "ride completed"}, "event", "invalid_field"),
        ({"if": "data.fare >"}, "if", "bad_expression"),
        ({"if": "user.plan == 'pro'"}, "if", "bad_expression"),
        ({"notify": []}, "notify", "invalid_field"),
        ({"notify": [RULE["notify"][1]] * 51}, "notify", "invalid_field"),
        ({"notify": [{**RULE["notify"][1], "data": {f"k{n}": "1" for n in range(9)}}] * 20}, "notify", "invalid_field"),
        (entry(to="data."), "notify[1].to", "bad_expression"),
        (entry(**{"if": "1 +"}), "notify[1].if", "bad_expression"),
        (entry(data={"text": "nobody()"}), "notify[1].data.text", "bad_expression"),
        (entry(workflow="onboarding"), "notify[1]", "invalid_field"),
        (entry(template=None), "notify[1]", "invalid_field"),
        (entry(template="gone"), "notify[1].template", "unknown_template"),
        (entry(template=None, workflow="gone"), "notify[1].workflow", "unknown_workflow"),
        (entry(template=None, workflow="gone", channels=["push"]), "notify[1].channels", "invalid_field"),
        (entry(category="gone"), "notify[1].category", "unknown_category"),
        (entry(channels=["push", "email"]), "notify[1].channels[1]", "invalid_field"),
        (entry(channels=["push", "push"]), "notify[1].channels", "invalid_field"),
        ({"name": "two\nlines"}, "name", "invalid_field"),
    ],
)
async def test_a_bad_rule_is_refused_with_its_path_and_not_stored(desk, change, field, code):
    with pytest.raises(InvalidField) as refused:
        await desk.rule(**change)
    assert (refused.value.field, refused.value.code) == (field, code)
    with pytest.raises(NotFound):
        await desk.house.call("GET", "/v1/event-rules/ride")


async def test_one_event_is_one_append_of_all_its_notifications(desk):
    await desk.rule()
    answer = await desk.happened()
    assert answer["skipped"] == []
    assert [(one["rule"], one["index"], one["to"]) for one in answer["notifications"]] == [
        ("ride", 0, ["ria"]),
        ("ride", 1, ["dan"]),
    ]
    assert len(desk.journal.appends) == 1
    found = {
        id_: request
        for frame in desk.journal.events(AcceptedFrame)
        for id_, request in zip(frame.notification_ids, frame.requests, strict=True)
    }
    rider, driver = (found[ids.read(ids.NOTIFICATION_PREFIX, one["id"])] for one in answer["notifications"])
    assert (rider.template, rider.channels, rider.data) == ("receipt", ["push"], {**RIDE, "text": "Paid EUR 12"})
    assert (driver.template, driver.category, driver.lane, driver.data) == ("note", "earnings", "high", RIDE)
    assert rider.metadata == {"event_id": answer["id"], "event_rule": "ride"}


async def test_only_enabled_rules_of_that_type_and_tenant_count(desk):
    await desk.rule()
    await desk.rule("off", enabled=False)
    await desk.rule("other", event="ride.cancelled")
    assert {one["rule"] for one in (await desk.happened())["notifications"]} == {"ride"}
    nothing = await desk.reply("/v1/events", {"type": "ride.completed", "data": RIDE}, tenant="other")
    assert msgspec.json.decode(nothing.raw)["notifications"] == []


async def test_who_cannot_be_notified_is_reported_and_the_others_are(desk):
    await desk.rule()
    answer = await desk.happened({**RIDE, "rider_id": None, "driver_ids": ["dan", "nobody", "dee"]})
    assert [(one["index"], one["to"]) for one in answer["notifications"]] == [(1, ["dan", "dee"])]
    assert [(skip.get("index"), skip["reason"], skip.get("user_id")) for skip in answer["skipped"]] == [
        (0, "no_recipient", None),
        (1, "unknown_user", "nobody"),
    ]
    answer = await desk.happened({**RIDE, "rider_id": "x\ny", "fare": 1})
    assert answer["notifications"] == []
    assert [(skip["index"], skip["reason"]) for skip in answer["skipped"]] == [
        (1, "condition_false"),
        (0, "invalid_field"),
    ]
    answer = await desk.happened({**RIDE, "fare": 0})
    assert answer["skipped"] == [{"rule": "ride", "reason": "condition_false"}]


async def test_what_a_rule_names_may_be_gone_by_then(desk):
    await desk.rule()
    await desk.house.call("DELETE", "/v1/templates/note")
    desk.house.settle()
    answer = await desk.happened()
    assert [one["index"] for one in answer["notifications"]] == [0]
    assert [(skip["index"], skip["reason"]) for skip in answer["skipped"]] == [(1, "unknown_template")]


async def test_a_dry_run_tells_the_same_and_stores_nothing(desk):
    await desk.rule()
    await desk.rule("off", enabled=False)
    data = {**RIDE, "driver_ids": ["dan", "nobody"]}
    off, ride = await desk.would(data)
    assert (off["rule"], off["matched"], off["skipped"][0]["reason"]) == ("off", False, "disabled")
    assert (ride["version"], ride["matched"]) == (1, True)
    assert ride["notifications"][0] == {
        "index": 0,
        "to": ["ria"],
        "data": {**data, "text": "Paid EUR 12"},
        "template": "receipt",
        "channels": ["push"],
        "priority": "normal",
    }
    assert desk.journal.appends == []
    real = await desk.happened(data)
    assert [one["to"] for one in real["notifications"]] == [one["to"] for one in ride["notifications"]]
    assert real["skipped"] == ride["skipped"]


async def test_the_same_key_makes_its_notifications_once(desk):
    await desk.rule()
    body = {"type": "ride.completed", "data": RIDE}
    first = await desk.reply("/v1/events", body, key="ride-7")
    again = await desk.reply("/v1/events", body, key="ride-7")
    assert (again.raw, again.headers) == (first.raw, {"Idempotency-Replayed": "true"})
    assert len(desk.journal.appends) == 1
    with pytest.raises(KeyReused):
        await desk.reply("/v1/events", {**body, "type": "ride.cancelled"}, key="ride-7")
    nothing = {"type": "nobody.cares", "idempotency_key": "k"}
    assert (await desk.reply("/v1/events", nothing)).raw == (await desk.reply("/v1/events", nothing)).raw


async def test_of_two_with_one_key_at_a_time_one_runs(desk):
    await desk.rule()
    body = {"type": "ride.completed", "data": RIDE}
    told = await asyncio.gather(*(desk.reply("/v1/events", body, key="k") for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in told) == ["Conflict", "Conflict", "Reply"]
    assert any(isinstance(one, Conflict) for one in told)
    assert len(desk.journal.appends) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "ride completed"}, "type"),
        ({"type": "ride", "user_id": " ria"}, "user_id"),
        ({"type": "ride", "data": {"deep": json.loads("[" * 99 + "]" * 99)}}, "data.deep"),
        ({"type": "ride", "data": {"n": 1 << 64}}, "data.n"),
        ({"type": "ride", "data": {"text": "x" * limits.DATA_BYTES_MAX}}, "data"),
    ],
)
async def test_a_bad_event_is_refused_with_its_path_and_leaves_nothing(desk, body, field):
    for path in ("/v1/events", "/v1/events/dry-run"):
        with pytest.raises(InvalidField) as refused:
            await desk.reply(path, body)
        assert refused.value.field == field
    assert desk.journal.appends == []


async def test_an_event_that_would_make_too_many_is_refused_as_a_whole(desk):
    many = {"event": "flood", "notify": [{"to": "'ria'", "template": "note"}] * limits_deciding.EVENT_RULE_NOTIFY_MAX}
    await desk.rule("one", many)
    await desk.rule("two", many)
    assert len((await desk.happened({}, "flood"))["notifications"]) == limits_deciding.EVENT_NOTIFICATIONS_MAX
    await desk.rule("three", many)
    desk.journal.appends.clear()
    with pytest.raises(InvalidField) as refused:
        await desk.happened({}, "flood")
    assert refused.value.code == "too_many_notifications"
    assert desk.journal.appends == []


async def test_an_event_too_large_for_all_it_goes_to_is_refused(desk):
    await desk.house.import_pieces([b'{"id": "u%d"}\n' % n for n in range(1_000)])
    await desk.rule("all", {"event": "big", "notify": [{"to": "data.to", "template": "note"}]})
    desk.house.settle()
    data = {"to": [f"u{n}" for n in range(900)], "text": "x" * 10_000}
    assert len((await desk.happened(data, "big"))["notifications"][0]["to"]) == 900
    await desk.rule("more", {"event": "big", "notify": [{"to": "data.to", "template": "note"}]})
    with pytest.raises(InvalidField) as refused:
        await desk.happened(data, "big")
    assert refused.value.field == "data"


async def test_rules_that_take_too_long_are_refused_rather_than_waited_for(desk, monkeypatch):
    await desk.rule(notify=RULE["notify"] * 10)
    times = itertools.count(0, limits_deciding.EVENT_WORK_MS_MAX // 10)
    monkeypatch.setattr(desk.house.clock, "monotonic_ms", lambda: next(times))
    with pytest.raises(InvalidField) as refused:
        await desk.happened()
    assert "too much work" in refused.value.detail
    assert desk.journal.appends == []


@pytest.mark.parametrize(
    ("about", "data", "told"),
    [
        ("ria", {}, True),
        (None, {"user_id": "ria"}, True),
        ("dan", {"user_id": "ria"}, False),
        (None, {}, False),
        (None, {"user_id": ["ria"]}, False),
    ],
)
async def test_whoever_waits_for_an_event_about_a_user_is_told_with_its_data(desk, about, data, told):
    wait = Wait("acme", event_key("paid", "ria"), b"instance", topics.accepted(LANES[0]), 1, 1 << 50)
    await desk.journal.commit(StageResult(plan_state=PlanState(waits=[wait])))
    await desk.happened({**data, "amount": 3}, "paid", **({} if about is None else {"user_id": about}))
    assert [(frame.keys, frame.data) for frame in desk.journal.events(SignalFrame)] == (
        [([event_key("paid", "ria")], [{**data, "amount": 3}])] if told else []
    )


async def test_an_event_counts_as_many_as_it_notifies(desk):
    await desk.rule()
    await desk.house.call("PUT", "/v1/tenants/acme/quota", {"rate_per_s": 1, "burst": 3})
    desk.house.settle()
    await desk.happened()
    with pytest.raises(QuotaExceeded):
        await desk.happened()
    assert len(desk.journal.appends) == 1
