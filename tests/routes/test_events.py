"""Event rules and events, handler by handler over a real control store: one append or none, and each refusal with its reason."""

import asyncio
import itertools
import json

import msgspec
import pytest

from clarion.accept.intake import Intake
from clarion.accept.intake_context import IntakeContext
from clarion.accept.worker import AcceptWriter
from clarion.accept.worker_quota import QuotaGate
from clarion.domain import ids, limits
from clarion.domain.channel import LANES
from clarion.domain.errors import Conflict, InvalidField, KeyReused, NotFound, QuotaExceeded
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, SignalFrame
from clarion.journal.signals import event_key
from clarion.languages.cel.expressions import CelExpressions
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import PlanState, StageResult
from clarion.ports.web import Call
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.quotas import MemoryQuotas
from clarion.ways_in.http.routes_events import routes as event_routes
from tests.callers import by_key
from tests.contract.controls import ControlPlane
from tests.look import Glance
from tests.registries import lose
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
        """Return every event of a kind on the lanes of accepted requests."""
        frames = [
            decode(frame.payload)
            for lane in LANES
            for partition in range(PARTITIONS)
            for frame in Glance(self).read(topics.accepted(lane), partition, 0, 1_000)
        ]
        return [frame for frame in frames if isinstance(frame, kind)]


class EventApi:
    """The control API and the event API over one folder."""

    def __init__(self, control_plane):
        self.control_plane = control_plane
        self.journal = Listener(control_plane.clock)
        self.quotas = MemoryQuotas()
        notes = Notes()
        gate = QuotaGate(self.quotas, control_plane.clock, notes)
        writer = AcceptWriter(self.journal, control_plane.clock, notes, linger_ms=0)
        context = IntakeContext(
            self.journal, control_plane.directory, JsonSchemas(), writer, control_plane.clock, gate,
            control_plane.control.audiences, backlog_max=1_000,
        )  # fmt: skip
        self._routes = {route.path: route for route in event_routes(Intake(context, CelExpressions()))}

    async def reply(self, path, body, *, key=None, tenant="acme"):
        route = self._routes[path]
        raw = msgspec.json.encode(body)
        headers = {} if key is None else {"idempotency-key": key}
        call = Call(by_key(tenant), {}, {}, headers, raw, msgspec.json.decode(raw, type=route.body))
        return await route.handler(call)

    async def send_event(self, data=RIDE, type_="ride.completed", **more):
        reply = await self.reply("/v1/events", {"type": type_, "data": data, **more})
        return msgspec.json.decode(reply.raw)

    async def dry_run(self, data=RIDE, type_="ride.completed", **more):
        reply = await self.reply("/v1/events/dry-run", {"type": type_, "data": data, **more})
        return msgspec.json.decode(msgspec.json.encode(reply.body))["rules"]

    async def rule(self, key="ride", body=RULE, **change):
        self.control_plane.settle()
        return await self.control_plane.say("PUT", f"/v1/event-rules/{key}", {**body, **change})


@pytest.fixture
async def api(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await control_plane.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    await control_plane.call("PUT", "/v1/categories/earnings", {"priority": "high"})
    receipt = {"push": {"title": "{{ text }}"}, "email": {"subject": "Receipt", "text": "{{ text }}"}}
    await control_plane.call("PUT", "/v1/templates/receipt", {"channels": receipt})
    await control_plane.call("PUT", "/v1/templates/note", {"channels": {"push": {"title": "Well done"}}})
    for user in ("ria", "dan", "dee"):
        await control_plane.call("PUT", f"/v1/users/{user}", {})
    yield EventApi(control_plane)
    await control_plane.close()


async def test_a_rule_is_put_shown_listed_and_removed(api):
    shown = await api.rule()
    assert shown | RULE | {"key": "ride", "version": 1} == shown
    assert await api.rule() == shown, "the same body again is the same version"
    assert (await api.rule(enabled=False))["version"] == 2
    say, call = api.control_plane.say, api.control_plane.call
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
async def test_a_bad_rule_is_refused_with_its_path_and_not_stored(api, change, field, code):
    with pytest.raises(InvalidField) as refused:
        await api.rule(**change)
    assert (refused.value.field, refused.value.code) == (field, code)
    with pytest.raises(NotFound):
        await api.control_plane.call("GET", "/v1/event-rules/ride")


async def test_one_event_is_one_append_of_all_its_notifications(api):
    await api.rule()
    answer = await api.send_event()
    assert answer["skipped"] == []
    assert [(one["rule"], one["index"], one["to"]) for one in answer["notifications"]] == [
        ("ride", 0, ["ria"]),
        ("ride", 1, ["dan"]),
    ]
    assert len(api.journal.appends) == 1
    found = {
        id_: request
        for frame in api.journal.events(AcceptedFrame)
        for id_, request in zip(frame.notification_ids, frame.requests, strict=True)
    }
    rider, driver = (found[ids.read(ids.NOTIFICATION_PREFIX, one["id"])] for one in answer["notifications"])
    assert (rider.template, rider.channels, rider.data) == ("receipt", ["push"], {**RIDE, "text": "Paid EUR 12"})
    assert (driver.template, driver.category, driver.lane, driver.data) == ("note", "earnings", "high", RIDE)
    assert rider.metadata == {"event_id": answer["id"], "event_rule": "ride"}


async def test_only_enabled_rules_of_that_type_and_tenant_count(api):
    await api.rule()
    await api.rule("off", enabled=False)
    await api.rule("other", event="ride.cancelled")
    assert {one["rule"] for one in (await api.send_event())["notifications"]} == {"ride"}
    nothing = await api.reply("/v1/events", {"type": "ride.completed", "data": RIDE}, tenant="other")
    assert msgspec.json.decode(nothing.raw)["notifications"] == []


async def test_who_cannot_be_notified_is_reported_and_the_others_are(api):
    await api.rule()
    answer = await api.send_event({**RIDE, "rider_id": None, "driver_ids": ["dan", "nobody", "dee"]})
    assert [(one["index"], one["to"]) for one in answer["notifications"]] == [(1, ["dan", "dee"])]
    assert [(skip.get("index"), skip["reason"], skip.get("user_id")) for skip in answer["skipped"]] == [
        (0, "no_recipient", None),
        (1, "unknown_user", "nobody"),
    ]
    answer = await api.send_event({**RIDE, "rider_id": "x\ny", "fare": 1})
    assert answer["notifications"] == []
    assert [(skip["index"], skip["reason"]) for skip in answer["skipped"]] == [
        (1, "condition_false"),
        (0, "invalid_field"),
    ]
    answer = await api.send_event({**RIDE, "fare": 0})
    assert answer["skipped"] == [{"rule": "ride", "reason": "condition_false"}]


async def test_what_a_rule_names_may_be_gone_by_then(api):
    await api.rule()
    await lose(api.control_plane.control, "template", "note")
    api.control_plane.settle()
    answer = await api.send_event()
    assert [one["index"] for one in answer["notifications"]] == [0]
    assert [(skip["index"], skip["reason"]) for skip in answer["skipped"]] == [(1, "unknown_template")]


async def test_a_dry_run_returns_the_same_and_stores_nothing(api):
    await api.rule()
    await api.rule("off", enabled=False)
    data = {**RIDE, "driver_ids": ["dan", "nobody"]}
    off, ride = await api.dry_run(data)
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
    assert api.journal.appends == []
    real = await api.send_event(data)
    assert [one["to"] for one in real["notifications"]] == [one["to"] for one in ride["notifications"]]
    assert real["skipped"] == ride["skipped"]


async def test_the_same_key_makes_its_notifications_once(api):
    await api.rule()
    body = {"type": "ride.completed", "data": RIDE}
    first = await api.reply("/v1/events", body, key="ride-7")
    again = await api.reply("/v1/events", body, key="ride-7")
    assert (again.raw, again.headers) == (first.raw, {"Idempotency-Replayed": "true"})
    assert len(api.journal.appends) == 1
    with pytest.raises(KeyReused):
        await api.reply("/v1/events", {**body, "type": "ride.cancelled"}, key="ride-7")
    nothing = {"type": "nobody.cares", "idempotency_key": "k"}
    assert (await api.reply("/v1/events", nothing)).raw == (await api.reply("/v1/events", nothing)).raw


async def test_of_two_with_one_key_at_a_time_one_runs(api):
    await api.rule()
    body = {"type": "ride.completed", "data": RIDE}
    result = await asyncio.gather(*(api.reply("/v1/events", body, key="k") for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in result) == ["Conflict", "Conflict", "Reply"]
    assert any(isinstance(one, Conflict) for one in result)
    assert len(api.journal.appends) == 1


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
async def test_a_bad_event_is_refused_with_its_path_and_leaves_nothing(api, body, field):
    for path in ("/v1/events", "/v1/events/dry-run"):
        with pytest.raises(InvalidField) as refused:
            await api.reply(path, body)
        assert refused.value.field == field
    assert api.journal.appends == []


async def test_an_event_that_would_make_too_many_is_refused_as_a_whole(api):
    many = {"event": "flood", "notify": [{"to": "'ria'", "template": "note"}] * limits.EVENT_RULE_NOTIFY_MAX}
    await api.rule("one", many)
    await api.rule("two", many)
    assert len((await api.send_event({}, "flood"))["notifications"]) == limits.EVENT_NOTIFICATIONS_MAX
    await api.rule("three", many)
    api.journal.appends.clear()
    with pytest.raises(InvalidField) as refused:
        await api.send_event({}, "flood")
    assert refused.value.code == "too_many_notifications"
    assert api.journal.appends == []


async def test_an_event_too_large_for_all_it_goes_to_is_refused(api):
    await api.control_plane.import_pieces([b'{"id": "u%d"}\n' % n for n in range(1_000)])
    await api.rule("all", {"event": "big", "notify": [{"to": "data.to", "template": "note"}]})
    api.control_plane.settle()
    data = {"to": [f"u{n}" for n in range(900)], "text": "x" * 10_000}
    assert len((await api.send_event(data, "big"))["notifications"][0]["to"]) == 900
    await api.rule("more", {"event": "big", "notify": [{"to": "data.to", "template": "note"}]})
    with pytest.raises(InvalidField) as refused:
        await api.send_event(data, "big")
    assert refused.value.field == "data"


async def test_rules_that_take_too_long_are_refused_rather_than_waited_for(api, monkeypatch):
    await api.rule(notify=RULE["notify"] * 10)
    times = itertools.count(0, limits.EVENT_WORK_MS_MAX // 10)
    monkeypatch.setattr(api.control_plane.clock, "monotonic_ms", lambda: next(times))
    with pytest.raises(InvalidField) as refused:
        await api.send_event()
    assert "too much work" in refused.value.detail
    assert api.journal.appends == []


@pytest.mark.parametrize(
    ("about", "data", "result"),
    [
        ("ria", {}, True),
        (None, {"user_id": "ria"}, True),
        ("dan", {"user_id": "ria"}, False),
        (None, {}, False),
        (None, {"user_id": ["ria"]}, False),
    ],
)
async def test_a_waiter_for_an_event_about_a_user_is_signalled_with_its_data(api, about, data, result):
    wait = Wait("acme", event_key("paid", "ria"), b"instance", topics.accepted(LANES[0]), 1, 1 << 50)
    await api.journal.commit(StageResult(plan_state=PlanState(waits=[wait])))
    await api.send_event({**data, "amount": 3}, "paid", **({} if about is None else {"user_id": about}))
    assert [(frame.keys, frame.data) for frame in api.journal.events(SignalFrame)] == (
        [([event_key("paid", "ria")], [{**data, "amount": 3}])] if result else []
    )


async def test_an_event_counts_as_many_as_it_notifies(api):
    await api.rule()
    await api.control_plane.call("PUT", "/v1/tenants/acme/quota", {"rate_per_s": 1, "burst": 3})
    api.control_plane.settle()
    await api.send_event()
    with pytest.raises(QuotaExceeded):
        await api.send_event()
    assert len(api.journal.appends) == 1
