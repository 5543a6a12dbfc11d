"""Another number of partitions while work of every kind waits: everything comes to its end, once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, one, until
from tests.e2e.seed import phone
from tests.e2e.test_restart import ended as broadcast_ended
from tests.e2e.test_workflows import ended as instances_ended
from tests.e2e.test_workflows import step, titles
from tests.engines.postgres import engine

pytestmark = [pytest.mark.processes, pytest.mark.measures]
SINGLES, PEOPLE, EVENTS, CROWD = 200, 12, 96, 3_000
STEPS = [
    step("delay", "pause", **{"for": "2s"}),
    step("digest", "gather", window={"fixed": "4s"}),
    step("send", "tell", template="list", channels=["inapp"]),
]
CONTENT = {
    "note": {"sms": {"body": "{{ n }}"}, "push": {"title": "{{ n }}"}},
    "list": {"inapp": {"title": "{% for item in digest.items %}{{ item.n }} {% endfor %}"}},
}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.engines)])
def store(request):
    """Return the settings of a store."""
    if request.param == "sqlite":
        return {"CLARION_STORE": "sqlite"}
    return {"CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN": engine().own()}


def system_of(folder, store, partitions):
    own = {"CLARION_WORKERS_COUNT": "2", "CLARION_JOURNAL_PARTITIONS": str(partitions)}
    return System(folder, {**QUICK, **store, **own})


def furnished(operator):
    tenant = new_tenant(operator).seed_data(CONTENT, ())
    tenant.sandbox("sms", by_address={phone(n): ["transient", "accepted"] for n in range(0, SINGLES, 4)}, latency_ms=20)
    tenant.sandbox("push", latency_ms=20)
    users = (f'{{"id": "u{n}", "devices": [{{"id": "d", "channel": "push", "token": "t{n}"}}]}}' for n in range(CROWD))
    assert tenant.post("/v1/users/bulk", "\n".join(users).encode())["stored"] == CROWD
    tenant.put("/v1/workflows/gather", {"steps": STEPS})
    tenant.changed()
    return tenant


def accepted(tenant, items):
    taken = tenant.post("/v1/notifications/batch", {"notifications": items})["results"]
    return [item["id"] for item in taken]


def test_whatever_waits_at_a_change_is_delivered_once(tmp_path, store):
    with watched(system_of(tmp_path, store, 2)) as system:
        tenant = furnished(operator_of(system))
        body = {"audience": {"all": True}, "template": "note", "data": {"n": 1}, "channels": ["push"]}
        crowd = tenant.post("/v1/broadcasts", body)["id"]
        later = {"send_at": (datetime.now(UTC) + timedelta(seconds=8)).isoformat()}
        singles = [
            {"to": {"phone": phone(n)}, "template": "note", "data": {"n": n}, "channels": ["sms"]}
            | (later if n % 5 == 1 else {})
            for n in range(SINGLES)
        ]
        runs = accepted(
            tenant, [{"to": f"u{n % PEOPLE}", "workflow": "gather", "data": {"n": n}} for n in range(EVENTS)]
        )
        ids = accepted(tenant, singles)
    for partitions in (8, 1):
        again = system_of(tmp_path, store, partitions)
        with watched(again):
            tenant.port = again.port
            if partitions == 8:
                assert not any(tenant.seen(id_)["status"] == "completed" for id_ in (*runs, *ids[1::5]))
                continue
            deliveries = [one(tenant.ended(id_, 60)["deliveries"]) for id_ in ids]
            assert [delivery["state"] for delivery in deliveries] == ["sent"] * SINGLES
            check_digests(tenant, [one(instances_ended(tenant, id_)) for id_ in runs])
            result = until(lambda: broadcast_ended(tenant, crowd), "the broadcast is at rest", 60)
            assert (result["users"], result["planned"], result["states"]) == (CROWD, CROWD, {"sent": CROWD})
            captured = Counter(message["delivery_id"] for message in tenant.pages("/v1/sandbox/messages", limit=200))
            sent = {row["id"] for row in tenant.pages(f"/v1/broadcasts/{crowd}/deliveries", limit=200)}
            assert captured == Counter(dict.fromkeys(sent | {delivery["id"] for delivery in deliveries}, 1))
    assert (tmp_path / "clarion.log").read_text().count("partitions_changed") == 2


def check_digests(tenant, runs):
    """Every event is in one digest of its user, and each instance ended once."""
    for run in runs:
        assert len([line for line in run["progress"] if line["event"] in ("completed", "merged")]) == 1, run["progress"]
    digests = sum(run["state"] == "completed" for run in runs)
    until(lambda: sum(len(titles(tenant, f"u{n}")) for n in range(PEOPLE)) == digests, "all digests to arrive")
    for number in range(PEOPLE):
        found = [int(n) for title in titles(tenant, f"u{number}") for n in title.split()]
        assert sorted(found) == list(range(number, EVENTS, PEOPLE))
