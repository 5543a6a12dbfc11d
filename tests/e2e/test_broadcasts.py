"""Broadcasts: to all users and to a topic, paused or cancelled while running, and concurrent with other notifications."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import new_tenant, one, until
from tests.e2e.seed import NOTE

USERS = 3_000
SALE = {"inapp": {"title": "{{ percent }} % off", "body": "for {{ user.id }}"}, "push": {"title": "{{ percent }} %"}}
DATA = {"percent": 20}


def ndjson(users):
    return b"\n".join(json.dumps(user).encode() for user in users)


def person(number):
    """Return a user: every 3rd is in the topic, every 4th has no device, every 5th opted out of marketing in the inbox."""
    return {
        "id": f"user-{number:04}",
        "devices": [] if number % 4 == 0 else [{"id": "phone", "channel": "push", "token": f"token-{number:04}"}],
        "topics": ["thirds"] if number % 3 == 0 else [],
        "preferences": {"marketing": {"inapp": False}} if number % 5 == 0 else {},
    }


@pytest.fixture(scope="module")
def home(operator):
    tenant = new_tenant(operator, "crowd")
    tenant.put("/v1/categories/marketing", {"priority": "bulk"})
    tenant.put("/v1/templates/sale", {"channels": SALE, "category": "marketing"})
    tenant.put("/v1/topics/thirds", {})
    tenant.seed_data({"note": NOTE}, ["push", "sms"])
    lines = ndjson(person(number) for number in range(USERS))
    report = tenant.post("/v1/users/bulk", lines + b"\n{broken\n" + ndjson([{"id": "last", "zone": "nowhere"}]))
    assert (report["received"], report["stored"], report["failed"]) == (USERS + 2, USERS, 2)
    assert [(error["line"], error["field"]) for error in report["errors"]] == [(USERS + 1, None), (USERS + 2, "zone")]
    return tenant


def start(home, audience, **more):
    body = {"audience": audience, "template": "sale", "data": DATA, **more}
    made = home.post("/v1/broadcasts", body)
    assert made["status"] == "running"
    return made["id"]


def progress(home, id_):
    return home.get(f"/v1/broadcasts/{id_}")


def at_rest(home, id_):
    """Return the progress of a broadcast once it has ended and no delivery of it is open."""
    result = progress(home, id_)
    ended = sum(result["states"].values()) == result["planned"] + result["skipped"]
    open_ = {"planned", "sending", "retrying", "ambiguous"} & set(result["states"])
    return result if result["status"] in ("done", "cancelled") and ended and not open_ else None


def finished(home, id_, wait_s=30):
    return until(lambda: at_rest(home, id_), f"{id_} at rest", wait_s)


def count(rule, numbers=range(USERS)):
    return sum(1 for number in numbers if rule(number))


def test_everyone_is_reached_and_counted_exactly(home):
    id_ = start(home, {"all": True})
    result = finished(home, id_)
    opted_out, deviceless = count(lambda n: n % 5 == 0), count(lambda n: n % 4 == 0)
    assert (result["status"], result["users"]) == ("done", USERS)
    assert (result["planned"], result["skipped"]) == (2 * USERS - opted_out - deviceless, opted_out + deviceless)
    assert result["states"] == {"sent": result["planned"], "skipped": result["skipped"]}
    assert result["channels"] == {
        "inapp": {"states": {"sent": USERS - opted_out, "skipped": opted_out}, "reasons": {"opted_out": opted_out}},
        "push": {"states": {"sent": USERS - deviceless, "skipped": deviceless}, "reasons": {"no_contact": deviceless}},
    }
    rows = list(home.pages(f"/v1/broadcasts/{id_}/deliveries", limit=200))
    assert len({row["id"] for row in rows}) == len(rows) == 2 * USERS
    skipped = {row["user_id"] for row in rows if (row["channel"], row["state"]) == ("inapp", "skipped")}
    assert skipped == {f"user-{number:04}" for number in range(0, USERS, 5)}
    sent = [row for row in rows if (row["channel"], row["state"]) == ("push", "sent")]
    assert sorted(m["address"] for m in home.captured(channel="push", limit=200)) == sorted(r["address"] for r in sent)


def test_a_topic_is_reached_and_nobody_else(home):
    id_ = start(home, {"topic": "thirds"}, channels=["inapp"])
    members = [number for number in range(USERS) if number % 3 == 0]
    opted_out = count(lambda n: n % 5 == 0, members)
    result = finished(home, id_)
    assert (result["topic"], result["users"]) == ("thirds", len(members))
    assert result["states"] == {"sent": len(members) - opted_out, "skipped": opted_out}
    shown = {number: contents(home, number, id_) for number in (3, 4, 15, 2_997)}
    assert shown[3] == [{"title": "20 % off", "body": "for user-0003"}]
    assert shown[2_997] == [{"title": "20 % off", "body": "for user-2997"}]
    assert shown[4] == shown[15] == []
    one_users = home.get(f"/v1/broadcasts/{id_}/deliveries", user_id="user-0003")["data"]
    assert [(row["user_id"], row["state"]) for row in one_users] == [("user-0003", "sent")]
    assert home.get(f"/v1/broadcasts/{id_}/deliveries", user_id="user-0004")["data"] == []
    item = home.inbox_of("user-0003").get("/v1/inbox")["data"][0]
    home.inbox_of("user-0003").post(f"/v1/inbox/{item['id']}/read")
    assert home.inbox_of("user-0003").get("/v1/inbox")["data"][0]["read_at"]
    assert home.inbox_of("user-0006").get("/v1/inbox")["data"][0]["read_at"] is None


def contents(home, number, id_):
    """Return the items of one broadcast in a user's inbox."""
    items = home.inbox_of(f"user-{number:04}").pages("/v1/inbox")
    return [item["content"] for item in items if item["id"].removeprefix("dlv_").startswith(id_.removeprefix("brd_"))]


def test_content_that_cannot_be_rendered_fails_those_it_fails_for(tenant):
    share = {"inapp": {"title": "{{ total | divided_by: user.parts }} in {{ user.zone }}"}}
    tenant.seed_data({"share": share, "all": {"inapp": {"title": "{{ total | divided_by: 0 }}"}}}, [])
    for user_id, parts in (("ada", 2), ("bob", 0)):
        tenant.user(user_id, zone="Europe/London", attributes={"parts": parts})
    for template, states in (("share", {"sent": 1, "failed": 1}), ("all", {"failed": 2})):
        id_ = tenant.post("/v1/broadcasts", {"audience": {"all": True}, "template": template, "data": {"total": 6}})[
            "id"
        ]
        result = finished(tenant, id_)
        assert result["channels"]["inapp"] == {"states": states, "reasons": {"render_failed": states["failed"]}}
    items = {user_id: tenant.inbox_of(user_id).get("/v1/inbox")["data"] for user_id in ("ada", "bob")}
    assert [item["content"] for item in items["ada"]] == [{"title": "3 in Europe/London"}]
    assert items["bob"] == []


def soon(seconds=1.0):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_pause_resume_and_cancel_before_anyone_is_reached(home):
    when = soon(0.4)
    paused, resumed, cancelled = (start(home, {"topic": "thirds"}, channels=["inapp"], send_at=when) for _ in range(3))
    for id_ in (paused, resumed, cancelled):
        assert home.post(f"/v1/broadcasts/{id_}/pause")["status"] == "paused"
    assert home.post(f"/v1/broadcasts/{cancelled}/cancel")["status"] == "cancelled"
    marker = start(home, {"topic": "thirds"}, channels=["inapp"], send_at=when)
    finished(home, marker)
    assert [progress(home, id_)["users"] for id_ in (paused, resumed, cancelled)] == [0, 0, 0]
    assert home.post(f"/v1/broadcasts/{resumed}/resume")["status"] == "running"
    assert finished(home, resumed)["users"] == USERS // 3
    assert progress(home, paused)["status"] == "paused"
    assert home.refused(409, "POST", f"/v1/broadcasts/{resumed}/pause")["code"] == "broadcast_state"
    assert home.refused(409, "POST", f"/v1/broadcasts/{cancelled}/resume")["code"] == "broadcast_state"
    assert contents(home, 3, cancelled) == contents(home, 3, paused) == []
    home.post(f"/v1/broadcasts/{paused}/cancel")


@pytest.fixture
def slow(operator):
    """Return a tenant of 1,200 users whose push and mail providers are slow."""
    tenant = new_tenant(operator, "slow").seed_data({"sale": {"push": {"title": "s"}, "sms": {"body": "s"}}}, [])
    tenant.sandbox("push", latency_ms=250)
    tenant.put("/v1/categories/security", {"critical": True, "priority": "critical"})
    tenant.post("/v1/users/bulk", ndjson(person(n) | {"topics": [], "preferences": {}} for n in range(1, 4_800, 4)))
    return tenant


def test_cancelled_on_its_way_stops_what_has_not_been_sent(slow):
    id_ = start(slow, {"all": True}, channels=["push"])
    until(lambda: progress(slow, id_)["states"].get("sent", 0) > 0, "the first were sent")
    slow.post(f"/v1/broadcasts/{id_}/cancel")
    result = finished(slow, id_)
    assert set(result["states"]) == {"sent", "cancelled"}
    assert sum(result["states"].values()) == result["planned"] == 1_200
    assert result["channels"]["push"]["reasons"] == {"cancelled": result["states"]["cancelled"]}
    assert len(slow.captured(limit=200)) == result["states"]["sent"]


@pytest.mark.parametrize("urgent", [{"priority": "high"}, {"category": "security"}])
def test_a_single_overtakes_a_broadcast_under_way(slow, urgent):
    broadcast = start(slow, {"all": True}, channels=["push"])
    until(lambda: progress(slow, broadcast)["states"].get("sent", 0) > 0, "the first were sent")
    # Several, so that every partition has one: none may wait for deliveries that its partition has read ahead.
    singles = [slow.send({"push": f"urgent-{n}"}, "sale", channels=["push"], **urgent) for n in range(8)]
    for id_ in singles:
        assert one(slow.ended(id_)["deliveries"])["state"] == "sent"
    left = 1_200 - progress(slow, broadcast)["states"].get("sent", 0)
    assert left > 400, f"{left} of the broadcast were left when the singles were sent"
    assert finished(slow, broadcast)["states"] == {"sent": 1_200}


def test_a_small_broadcast_does_not_wait_for_a_big_one_of_another_tenant(operator, home):
    big, small = new_tenant(operator, "big"), new_tenant(operator, "small")
    for tenant, users in ((big, 16_000), (small, 40)):
        tenant.seed_data({"sale": {"inapp": {"title": "{{ percent }}"}}}, [])
        tenant.post("/v1/users/bulk", ndjson({"id": f"u{number}"} for number in range(users)))
    when = soon()
    started = [(tenant, start(tenant, {"all": True}, send_at=when)) for tenant in (big, big, small)]
    ended = [datetime.fromisoformat(finished(tenant, id_)["updated_at"]) for tenant, id_ in started]
    assert [progress(tenant, id_)["states"] for tenant, id_ in started] == [{"sent": n} for n in (16_000, 16_000, 40)]
    assert ended[2] < max(ended[:2])
