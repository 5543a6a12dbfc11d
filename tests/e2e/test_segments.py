"""Segments: counted before use, and a broadcast to one reaches exactly the users that match."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import new_tenant, until

USERS = 12_500
"""More than one page of a filtered audience looks at."""
RARE = USERS - 7
FILTER = {
    "all": [
        {"locale": "pt"},
        {"any": [{"attribute": "plan", "is": "pro"}, {"attribute": "trips", "at_least": 99}]},
        {"not": {"topic": "muted"}},
        {"reachable": "push"},
    ]
}


def person(number):
    return {
        "id": f"user-{number:05}",
        "locale": ("pt-BR", "pt", "en-GB")[number % 3],
        "attributes": {"plan": "pro" if number % 10 == 0 else "free", "trips": number % 100, "rare": number == RARE},
        "topics": ["muted"] if number % 20 == 0 else [],
        "devices": [] if number % 4 == 1 else [{"id": "phone", "channel": "push", "token": f"token-{number}"}],
    }


def matches(number):
    """Return whether a user matches `FILTER`."""
    paying_or_travelling = number % 10 == 0 or number % 100 == 99
    return number % 3 != 2 and paying_or_travelling and number % 20 != 0 and number % 4 != 1


WANTED = [f"user-{number:05}" for number in range(USERS) if matches(number)]


@pytest.fixture(scope="module")
def home(operator):
    tenant = new_tenant(operator, "segments").seed_data({"offer": {"inapp": {"title": "For {{ user.plan }}"}}}, [])
    tenant.put("/v1/topics/muted", {})
    report = tenant.post("/v1/users/bulk", b"\n".join(json.dumps(person(number)).encode() for number in range(USERS)))
    assert report["stored"] == USERS
    tenant.put("/v1/segments/best", {"filter": FILTER})
    return tenant


def reached(home, audience, **more):
    """Send to an audience and return the finished broadcast and the users it reached."""
    body = {"audience": audience, "template": "offer", "channels": ["inapp"], **more}
    id_ = home.post("/v1/broadcasts", body)["id"]

    def over():
        result = home.get(f"/v1/broadcasts/{id_}")
        return result if result["status"] == "done" and sum(result["states"].values()) == result["users"] else None

    result = until(over, f"{id_} at rest", 30)
    return result, [row["user_id"] for row in home.pages(f"/v1/broadcasts/{id_}/deliveries", limit=200)]


def test_a_preview_counts_whom_a_broadcast_then_reaches(home):
    result = home.post("/v1/segments/preview", {"filter": FILTER})
    assert (result["count"], result["at_least"], result["sample"]) == (len(WANTED), False, WANTED[:10])
    assert home.get("/v1/segments/best/preview")["count"] == len(WANTED)
    broadcast, users = reached(home, {"segment": "best"})
    assert sorted(users) == WANTED
    assert (broadcast["segment"], broadcast["topic"], broadcast["users"]) == ("best", None, len(WANTED))
    assert broadcast["states"] == {"sent": len(WANTED)}


@pytest.mark.parametrize(
    ("filter_", "wanted"), [({"attribute": "rare", "is": True}, [f"user-{RARE:05}"]), ({"zone": "Europe/Rome"}, [])]
)
def test_few_or_nobody_among_many_are_found(home, filter_, wanted):
    home.put("/v1/segments/few", {"filter": filter_})
    assert home.get("/v1/segments/few/preview")["sample"] == wanted
    broadcast, users = reached(home, {"segment": "few"})
    assert (users, broadcast["users"]) == (wanted, len(wanted))


def test_a_broadcast_keeps_the_filter_it_was_accepted_with(home):
    home.put("/v1/segments/changing", {"filter": {"attribute": "rare", "is": True}})
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    body = {"audience": {"segment": "changing"}, "template": "offer", "channels": ["inapp"], "send_at": soon}
    id_ = home.post("/v1/broadcasts", body)["id"]
    home.put("/v1/segments/changing", {"filter": {"reachable": "inapp"}})
    home.delete("/v1/segments/changing")
    home.refused(422, "POST", "/v1/broadcasts", body)
    until(lambda: home.get(f"/v1/broadcasts/{id_}")["states"] == {"sent": 1}, "the one who matched", 30)
    assert home.get(f"/v1/broadcasts/{id_}")["users"] == 1


def test_faults_are_named_and_nothing_is_stored(home):
    for body, field in (
        ({"filter": {"all": [FILTER, {"zone": "Mars"}]}}, "filter.all[1].zone"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"any": [{"reachable": "fax"}]}}, "filter.any[0].reachable"),
        ({"filter": {"attribute": 'a") OR 1=1 --', "is": 1}}, "filter.attribute"),
    ):
        assert home.refused(422, "PUT", "/v1/segments/faulty", body)["field"] == field
        assert home.refused(422, "POST", "/v1/segments/preview", body)["field"] == field
    home.refused(404, "GET", "/v1/segments/faulty")
    problem = home.refused(422, "POST", "/v1/broadcasts", {"audience": {"segment": "faulty"}, "template": "offer"})
    assert (problem["field"], problem["code"]) == ("audience.segment", "unknown_segment")


def test_a_segment_is_its_tenants_own(home, tenant):
    tenant.refused(404, "GET", "/v1/segments/best")
    tenant.refused(404, "GET", "/v1/segments/best/preview")
    assert tenant.get("/v1/segments")["data"] == []
    assert tenant.post("/v1/segments/preview", {"filter": FILTER | {"all": FILTER["all"][:2]}})["count"] == 0
