"""Late but unread: what arrives late is on top and unread, and what expired, was replaced or withdrawn is gone for everyone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.outside import new_tenant, until

NOTE = {
    "inapp": {
        "title": "{{ text }}",
        "body": "{{ body }}",
        "actions": [{"label": "Open", "url": "/o"}],
        "image": "https://a.example/i.png",
    }
}
ORDER = {"inapp": {"title": "{{ text }}", "collapse_key": "order-{{ order }}"}}
LATE_S = 4
FIRST_ZONE = "Pacific/Kiritimati"
"""Where the day begins first: no other zone has a later wall clock."""
NASTY = "<img src=x onerror=alert(1)>\u202edrowssap\u2066"


@pytest.fixture
def home(tenant):
    tenant.seed_data({"note": NOTE, "order": ORDER}, ["inapp"])
    tenant.put("/v1/categories/orders", {})
    for user in ("ada", "bob"):
        tenant.user(user, zone=FIRST_ZONE)
    return tenant


def titles(page):
    return [item["content"]["title"] for item in page["data"]]


def note(home, text, to="ada", template="note", **more):
    data = {"text": text, "body": "", **more.pop("data", {})}
    return home.post("/v1/notifications", {"to": to, "template": template, "data": data, **more})["id"]


def everyone(home, text, template="note", **more):
    data = {"text": text, "body": "", **more.pop("data", {})}
    return home.post("/v1/broadcasts", {"audience": {"all": True}, "template": template, "data": data, **more})["id"]


def shows(inbox, *expected, **query):
    """Wait until a list shows these titles, in this order."""
    until(lambda: titles(inbox.get("/v1/inbox", **query)) == list(expected), f"the inbox shows {expected}")


def test_late_but_unread(home):
    inbox, other = home.inbox_of("ada"), home.inbox_of("bob")
    due = datetime.now(UTC) + timedelta(seconds=LATE_S)
    note(home, "late", send_at=due.isoformat())
    everyone(home, "late for all", local_time=f"{due.astimezone(ZoneInfo(FIRST_ZONE)):%Y-%m-%dT%H:%M:%S}")
    everyone(home, "for all")
    shows(inbox, "for all")
    note(home, "early")
    shows(inbox, "early", "for all")
    seen = inbox.get("/v1/inbox")["position"]
    inbox.post("/v1/inbox/read-all")
    assert inbox.get("/v1/inbox/counts") == {"total": 2, "unseen": 0, "unread": 0, "more": False}

    until(lambda: inbox.get("/v1/inbox/counts")["total"] == 4, "the late ones came", LATE_S + 15)
    assert inbox.get("/v1/inbox/counts") == {"total": 4, "unseen": 2, "unread": 2, "more": False}
    page = inbox.get("/v1/inbox")
    assert titles(page)[2:] == ["early", "for all"] and set(titles(page)[:2]) == {"late", "late for all"}
    assert [item["read_at"] is None for item in page["data"]] == [True, True, False, False]
    assert inbox.get("/v1/inbox", since=seen)["data"] == page["data"][:2]
    assert [item["content"]["title"] for item in inbox.pages("/v1/inbox", limit=1)] == titles(page)
    assert titles(other.get("/v1/inbox")) == ["late for all", "for all"]
    assert inbox.post("/v1/inbox/marks", {"action": "archive", "all": True, "position": seen})["marked"] == 2
    assert set(titles(inbox.get("/v1/inbox"))) == {"late", "late for all"}


def test_withdrawn_replaced_and_expired_items_are_gone_everywhere(home):
    inbox, other = home.inbox_of("ada"), home.inbox_of("bob")
    single = note(home, "oops", to=["ada", "bob"])
    shows(inbox, "oops")
    shows(other, "oops")
    blast = everyone(home, "oops, all")
    shows(inbox, "oops, all", "oops")
    home.post(f"/v1/notifications/{single}/withdraw")
    assert titles(inbox.get("/v1/inbox")) == titles(other.get("/v1/inbox")) == ["oops, all"]
    home.post(f"/v1/broadcasts/{blast}/withdraw")
    for one in (inbox, other):
        assert one.get("/v1/inbox", show="all")["data"] == []
        assert one.get("/v1/inbox/counts") == {"total": 0, "unseen": 0, "unread": 0, "more": False}

    note(home, "ordered", template="order", data={"order": 7})
    shows(inbox, "ordered")
    note(home, "another", template="order", data={"order": 8})
    note(home, "shipped", template="order", data={"order": 7})
    until(lambda: set(titles(inbox.get("/v1/inbox"))) == {"shipped", "another"}, "the order's item is replaced")
    everyone(home, "all orders", template="order", data={"order": 8})
    until(lambda: set(titles(inbox.get("/v1/inbox"))) == {"all orders", "shipped"}, "by a broadcast, too")

    soon = (datetime.now(UTC) + timedelta(seconds=LATE_S)).isoformat()
    note(home, "for a moment", to="bob", expires_at=soon, category="orders")
    shows(other, "for a moment", category="orders")
    (item,) = other.get("/v1/inbox", category="orders")["data"]
    assert item["category"] == "orders" and item["expires_at"] is not None
    until(lambda: titles(other.get("/v1/inbox")) == ["all orders"], "it expired", LATE_S + 10)


def test_strangers_reach_nothing_and_markup_stays_text(home, operator):
    inbox = home.inbox_of("ada")
    note(home, NASTY, data={"body": NASTY})
    until(lambda: inbox.get("/v1/inbox")["data"], "the item is there")
    note(home, "second")
    until(lambda: len(inbox.get("/v1/inbox")["data"]) == 2, "both are there")
    page = inbox.get("/v1/inbox", limit=1)
    item = inbox.get("/v1/inbox")["data"][1]
    assert item["content"]["title"] == item["content"]["body"] == NASTY
    assert item["content"]["actions"] == [{"label": "Open", "url": "/o"}]
    assert item["notification_id"].startswith("ntf_")

    elsewhere = new_tenant(operator, "elsewhere").seed_data({"note": NOTE}, ["inapp"])
    elsewhere.user("ada")
    stranger = elsewhere.inbox_of("ada")
    assert stranger.get("/v1/inbox", show="all")["data"] == []
    for path in (f"/v1/inbox/{item['id']}/read", f"/v1/notifications/{item['notification_id']}/seen"):
        assert stranger.refused(404, "POST", path)["field"] == "id"
    assert (
        stranger.refused(404, "POST", "/v1/inbox/marks", {"action": "read", "ids": [item["id"]]})["field"] == "ids[0]"
    )
    assert stranger.refused(422, "GET", "/v1/inbox", query={"after": page["next"]})["field"] == "after"
    assert stranger.refused(422, "GET", "/v1/inbox", query={"since": page["position"]})["field"] == "since"
    assert elsewhere.refused(404, "POST", f"/v1/notifications/{item['notification_id']}/withdraw")["field"] == "id"
    inbox.refused(403, "POST", f"/v1/notifications/{item['notification_id']}/withdraw")
    assert inbox.get("/v1/inbox/counts")["unread"] == 2
