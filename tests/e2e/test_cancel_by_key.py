"""Cancelling notifications by the caller's own key: all that carry it, no other tenant's, and only while they are unsent."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import new_tenant, until
from tests.e2e.seed import NOTE

CANCEL = "/v1/notifications/cancel"
BODY = {"to": "ada", "template": "note", "data": {"text": "your table"}, "channels": ["inapp"]}


@pytest.fixture
def home(tenant):
    tenant.seed_data({"note": NOTE}, [])
    tenant.user("ada")
    tenant.user("bob")
    return tenant


def later(**ahead):
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


def send(home, **fields):
    return home.post("/v1/notifications", BODY | fields)["id"]


def status_of(home, id_):
    return home.get(f"/v1/notifications/{id_}")["status"]


def test_everything_with_the_key_is_cancelled_and_the_rest_is_sent(home):
    keyed = {"cancellation_key": "booking 18", "send_at": later(hours=1)}
    one = send(home, **keyed)
    both = send(home, **keyed, to=["ada", "bob"])
    batch = [BODY | keyed, BODY | {"cancellation_key": "booking 19"}, BODY]
    in_batch, other_key, no_key = (
        result["id"] for result in home.post("/v1/notifications/batch", {"notifications": batch})["results"]
    )
    answer = home.call("POST", CANCEL, {"cancellation_key": "booking 18"})
    assert (answer.status, answer.json) == (
        202,
        {"cancellation_key": "booking 18", "notifications": 3, "more": False},
    )
    for id_ in (one, both, in_batch):
        until(lambda id_=id_: status_of(home, id_) == "cancelled", "it is cancelled")
    for id_ in (other_key, no_key):
        assert {delivery["state"] for delivery in home.ended(id_)["deliveries"]} == {"sent"}
    again = home.post(CANCEL, {"cancellation_key": "booking 18"})
    assert (again["notifications"], again["more"]) == (0, False)


def test_what_is_due_after_its_cancellation_is_not_sent(home):
    gone = send(home, cancellation_key="soon", send_at=later(seconds=1))
    stays = send(home, send_at=later(seconds=1), data={"text": "another table"})
    assert home.post(CANCEL, {"cancellation_key": "soon"})["notifications"] == 1
    home.ended(stays)
    assert status_of(home, gone) == "cancelled"
    items = home.inbox_of("ada").get("/v1/inbox")["data"]
    assert [item["content"]["title"] for item in items] == ["another table"]


def test_what_has_been_sent_stays_sent(home):
    id_ = send(home, cancellation_key="late")
    assert [delivery["state"] for delivery in home.ended(id_)["deliveries"]] == ["sent"]
    assert home.post(CANCEL, {"cancellation_key": "late"})["notifications"] == 1
    home.ended(send(home))
    assert [delivery["state"] for delivery in home.get(f"/v1/notifications/{id_}")["deliveries"]] == ["sent"]


def test_a_key_can_be_used_again_after_its_cancellation(home):
    first = send(home, cancellation_key="again", send_at=later(hours=1))
    home.post(CANCEL, {"cancellation_key": "again"})
    second = send(home, cancellation_key="again")
    assert home.ended(second)["deliveries"][0]["state"] == "sent"
    until(lambda: status_of(home, first) == "cancelled", "it is cancelled")


def test_workflows_that_wait_end_at_once(home):
    steps = [
        {"kind": "delay", "name": "rest", "for": "1h"},
        {"kind": "send", "name": "tell", "template": "note", "channels": ["inapp"]},
    ]
    home.put("/v1/workflows/remind", {"steps": steps})
    request = {"to": ["ada", "bob"], "workflow": "remind", "data": {"text": "soon"}, "cancellation_key": "trip"}
    id_ = home.post("/v1/notifications", request)["id"]

    def instances(state):
        shown = home.get(f"/v1/notifications/{id_}").get("instances", [])
        return sorted(one["user_id"] for one in shown if one["state"] == state)

    until(lambda: instances("waiting") == ["ada", "bob"], "both wait")
    assert home.post(CANCEL, {"cancellation_key": "trip"})["notifications"] == 1
    until(lambda: instances("cancelled") == ["ada", "bob"], "both have ended")


def test_a_key_is_its_tenants_alone(home, operator):
    other = new_tenant(operator)
    id_ = send(home, cancellation_key="shared", send_at=later(hours=1))
    assert other.post(CANCEL, {"cancellation_key": "shared"})["notifications"] == 0
    assert home.post(CANCEL, {"cancellation_key": "shared"})["notifications"] == 1
    until(lambda: status_of(home, id_) == "cancelled", "it is cancelled")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "cancellation_key"),
        ({"cancellation_key": ""}, "cancellation_key"),
        ({"cancellation_key": "x" * 256}, "cancellation_key"),
        ({"cancellation_key": 7}, "cancellation_key"),
        ({"cancellation_key": "k", "id": "ntf_1"}, "id"),
    ],
)
def test_bad_keys_are_refused_where_they_stand(home, body, field):
    assert home.refused(422, "POST", CANCEL, body)["field"] == field
    if "id" not in body and body:
        assert home.refused(422, "POST", "/v1/notifications", BODY | body)["field"] == field
