"""Events over HTTP: one ride makes a receipt for the rider and a message for the driver; failures are reported."""

import pytest

from tests.e2e.outside import new_tenant, one, until
from tests.e2e.seed import ADA

RECEIPT = {
    "push": {"title": "Thanks, {{ name }}", "body": "You paid {{ price }}"},
    "email": {"subject": "Your receipt", "text": "{{ name }}, you paid {{ price }}."},
    "sms": {"body": "{{ price }}"},
}
EARNED = {"push": {"title": "Ride done", "body": "You earned {{ share }}"}, "email": {"subject": "-", "text": "-"}}
RULE = {
    "event": "ride.completed",
    "if": "data.fare > 0",
    "notify": [
        {"to": "data.rider_id", "template": "receipt", "channels": ["push", "email"],
         "data": {"price": "data.currency + ' ' + string(data.fare)", "name": "data.rider_name"}},
        {"to": "data.driver_id", "template": "earned", "channels": ["push"],
         "data": {"share": "data.currency + ' ' + string(data.fare * 8 / 10)"}},
    ],
}  # fmt: skip
RIDE = {"rider_id": "ria", "rider_name": "Ria", "driver_id": "dan", "fare": 20, "currency": "EUR"}


@pytest.fixture(scope="module")
def home(operator):
    """Return a tenant with a rider, a driver and an event rule for both."""
    tenant = new_tenant(operator).seed_data({"receipt": RECEIPT, "earned": EARNED}, ("push", "email", "sms"))
    for user in ("ria", "dan"):
        device = {"id": "phone", "channel": "push", "token": f"token-of-{user}"}
        tenant.user(user, email=f"{user}@example.com", phone=ADA["phone"], devices=[device])
    tenant.put("/v1/event-rules/ride", RULE)
    return tenant


def happened(tenant, data=RIDE, **more):
    return tenant.post("/v1/events", {"type": "ride.completed", "data": data, **more})


def test_one_ride_is_push_and_email_for_the_rider_and_push_alone_for_the_driver(home):
    answer = happened(home)
    assert answer["skipped"] == []
    ended = [home.ended(made["id"]) for made in answer["notifications"]]
    rider, driver = ({(d["user_id"], d["channel"], d["state"]) for d in one["deliveries"]} for one in ended)
    assert rider == {("ria", "push", "sent"), ("ria", "email", "sent")}
    assert driver == {("dan", "push", "sent")}
    own = {delivery["id"] for one in ended for delivery in one["deliveries"]}
    captured = {(m["user_id"], m["channel"]): m["content"] for m in home.captured() if m["delivery_id"] in own}
    assert captured["ria", "push"]["parts"] == {"title": "Thanks, Ria", "body": "You paid EUR 20"}
    assert captured["ria", "email"]["parts"]["text"] == "Ria, you paid EUR 20."
    assert captured["dan", "push"]["parts"]["body"] == "You earned EUR 16"
    for one_ in ended:
        assert one_["metadata"] == {"event_id": answer["id"], "event_rule": "ride"}


def test_a_dry_run_says_what_would_happen_and_nothing_does(home):
    before = [item["id"] for item in home.pages("/v1/notifications")]
    body = {"type": "ride.completed", "data": {**RIDE, "driver_id": "nobody"}}
    rule = one(home.post("/v1/events/dry-run", body)["rules"])
    assert (rule["rule"], rule["version"], rule["matched"]) == ("ride", 1, True)
    would = one(rule["notifications"])
    assert (would["to"], would["template"], would["channels"]) == (["ria"], "receipt", ["push", "email"])
    assert would["data"]["price"] == "EUR 20"
    assert [(skip["index"], skip["reason"], skip["user_id"]) for skip in rule["skipped"]] == [
        (1, "unknown_user", "nobody")
    ]
    free = one(home.post("/v1/events/dry-run", {"type": "ride.completed", "data": {**RIDE, "fare": 0}})["rules"])
    assert (free["matched"], free["notifications"], free["skipped"][0]["reason"]) == (False, [], "condition_false")
    assert home.post("/v1/events/dry-run", {"type": "ride.cancelled"}) == {"rules": []}
    assert [item["id"] for item in home.pages("/v1/notifications")] == before


def test_an_unknown_user_is_reported_and_blocks_no_other(home):
    answer = happened(home, {**RIDE, "rider_id": ["ria", "nobody"], "driver_id": None})
    assert [made["to"] for made in answer["notifications"]] == [["ria"]]
    assert [(skip["index"], skip["reason"]) for skip in answer["skipped"]] == [(1, "no_recipient"), (0, "unknown_user")]
    assert home.ended(one(answer["notifications"])["id"])["status"] == "completed"


def test_the_same_event_again_makes_nothing_more(home):
    body = {"type": "ride.completed", "data": RIDE}
    first = home.call("POST", "/v1/events", body, {"Idempotency-Key": "ride-4711"})
    again = home.call("POST", "/v1/events", body, {"Idempotency-Key": "ride-4711"})
    assert (first.status, again.status) == (202, 202)
    assert again.body == first.body
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = {**body, "data": {**RIDE, "fare": 21}}
    home.refused(422, "POST", "/v1/events", other, headers={"Idempotency-Key": "ride-4711"})
    event_id = first.json["id"]
    made = [item["id"] for item in first.json["notifications"]]
    until(lambda: all(home.ended(id_) for id_ in made), "both sent")
    listed = [home.seen(item["id"]) for item in home.pages("/v1/notifications")]
    assert sorted(item["id"] for item in listed if item["metadata"]["event_id"] == event_id) == sorted(made)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"if": "data.fare >"}, "if"),
        ({"notify": [{**RULE["notify"][0], "to": "__import__('os')"}]}, "notify[0].to"),
        ({"notify": [RULE["notify"][0], {**RULE["notify"][1], "data": {"share": "1 +"}}]}, "notify[1].data.share"),
        ({"notify": [{**RULE["notify"][0], "template": "gone"}]}, "notify[0].template"),
        ({"notify": [{**RULE["notify"][0], "workflow": "both"}]}, "notify[0]"),
        ({"notify": [{**RULE["notify"][0], "channels": ["webhook"]}]}, "notify[0].channels[0]"),
        ({"notify": [{"template": "receipt"}]}, "notify[0].to"),
    ],
)
def test_a_bad_rule_is_refused_by_its_path(home, change, field):
    problem = home.refused(422, "PUT", "/v1/event-rules/bad", {**RULE, **change})
    assert problem["field"] == field
    home.refused(404, "GET", "/v1/event-rules/bad")


@pytest.mark.parametrize(
    ("body", "field"),
    [({"data": {}}, "type"), ({"type": "a b"}, "type"), ({"type": "a", "occurred_at": "today"}, "occurred_at"),
     ({"type": "a", "extra": 1}, "extra"), ({"type": "a", "data": {"n": 1 << 70}}, "data.n")],
)  # fmt: skip
def test_a_bad_event_is_refused_by_its_path(home, body, field):
    for path in ("/v1/events", "/v1/events/dry-run"):
        assert home.refused(422, "POST", path, body)["field"] == field


def test_what_an_app_says_was_seen_stands_in_the_timeline(home):
    made = happened(home)["notifications"]
    rider, driver = (home.ended(one["id"])["id"] for one in made)
    assert home.inbox_of("ria").call("POST", f"/v1/notifications/{rider}/seen").status == 204
    assert home.call("POST", f"/v1/notifications/{driver}/seen", {"user_id": "dan"}).status == 204

    def seen_by(id_):
        return [line["user_id"] for line in home.seen(id_)["timeline"] if line["event"] == "seen"]

    until(lambda: seen_by(rider) == ["ria"] and seen_by(driver) == ["dan"], "both seen events")
    assert home.inbox_of("dan").call("POST", f"/v1/notifications/{rider}/seen").status == 404
    problem = home.refused(422, "POST", f"/v1/notifications/{rider}/seen", {"user_id": "dan"})
    assert problem["field"] == "user_id"
    home.refused(400, "POST", f"/v1/notifications/{rider}/seen")


def test_a_rule_starts_a_workflow_that_waits_for_a_seen_event_and_then_for_an_event(home):
    steps = [
        {"kind": "send", "name": "ask", "template": "receipt", "channels": ["push"]},
        {"kind": "wait_until", "name": "look", "seen": "ask", "timeout": "1h"},
        {"kind": "wait_until", "name": "pay", "event": "ride.paid", "where": "event.ride == data.ride", "timeout": "1h"},
        {"kind": "send", "name": "thank", "template": "receipt", "channels": ["email"],
         "data": {"price": "steps.pay.event.price"}},
    ]  # fmt: skip
    home.put("/v1/workflows/collect", {"steps": steps, "variables": ["ride"]})
    home.put("/v1/event-rules/due", {"event": "ride.due", "notify": [{"to": "event.user_id", "workflow": "collect"}]})
    due = {"type": "ride.due", "user_id": "ria", "data": {"ride": 7, "name": "Ria", "price": "EUR 1"}}
    assert one(home.post("/v1/events/dry-run", due)["rules"])["notifications"][0]["workflow"] == "collect"
    id_ = one(home.post("/v1/events", due)["notifications"])["id"]

    def sent(*channels):
        return {d["channel"] for d in home.seen(id_)["deliveries"] if d["state"] == "sent"} == set(channels)

    def stands_in(step):
        return [one_["step"] for one_ in home.seen(id_).get("instances") or []] == [step]

    until(lambda: sent("push"), "the push")
    assert home.inbox_of("ria").call("POST", f"/v1/notifications/{id_}/seen").status == 204
    until(lambda: stands_in("pay"), "the seen event to arrive")
    for ride, price in ((8, "EUR 8"), (7, "EUR 7")):
        paid = {"type": "ride.paid", "user_id": "ria", "data": {"ride": ride, "price": price}}
        assert home.post("/v1/events", paid)["notifications"] == []
    until(lambda: sent("push", "email"), "the thanks")
    deliveries = {delivery["id"] for delivery in home.seen(id_)["deliveries"]}
    mail = one(message for message in home.captured(channel="email") if message["delivery_id"] in deliveries)
    assert mail["content"]["parts"]["text"] == "Ria, you paid EUR 7."


def test_each_message_of_a_workflow_is_seen_on_its_own(home):
    def step(kind, name, **more):
        return {"kind": kind, "name": name, **more}

    steps = [
        step("send", "first", template="receipt", channels=["push"]),
        step("wait_until", "one", seen="first", timeout="1h"),
        step("send", "second", template="earned", channels=["push"], data={"share": "'two'"}),
        step("wait_until", "two", seen="second", timeout="1h"),
        step("condition", "check", **{"if": "steps.second.seen"}, otherwise="end"),
        step("send", "third", template="receipt", channels=["email"]),
    ]
    home.put("/v1/workflows/twice", {"steps": steps})
    data = {"name": "Ria", "price": "EUR 1"}
    sent = home.post("/v1/notifications", {"to": "ria", "workflow": "twice", "data": data})
    path, app = f"/v1/notifications/{sent['id']}", home.inbox_of("ria")

    def stands_in(name):
        return [run["step"] for run in home.get(path).get("instances", [])] == [name]

    for name in ("one", "two"):
        until(lambda name=name: stands_in(name), f"the wait in {name}")
        assert app.call("POST", f"{path}/seen").status == 204
    until(lambda: {"email"} <= {d["channel"] for d in home.get(path)["deliveries"]}, "the third message")
