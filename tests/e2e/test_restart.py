"""All processes killed at once, under load, and started again: no notification is lost or duplicated."""

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import AT_REST, new_tenant, one, until
from tests.e2e.seed import phone

pytestmark = pytest.mark.processes
SINGLES = 500
CROWD = 1_500
SCRIPT = {
    "by_address": {phone(n): ["transient", "accepted"] for n in range(0, SINGLES, 10)}
    | {phone(n): "refused" for n in range(1, SINGLES, 10)},
    "latency_ms": 20,
}


def kill_everything(system):
    """SIGKILL the supervisor and all its children, and wait until the last has ended."""
    processes = [process for group in system.processes().values() for process in group]
    assert len(processes) >= 4
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    system.kill_supervisor()  # dead already; this reaps it
    psutil.wait_procs(processes, 10)


def furnished(operator):
    tenant = new_tenant(operator)
    tenant.put("/v1/templates/note", {"channels": {"sms": {"body": "{{ n }}"}, "push": {"title": "{{ n }}"}}})
    tenant.sandbox("sms", **SCRIPT)
    tenant.sandbox("push", latency_ms=20)
    users = (f'{{"id": "u{n}", "devices": [{{"id": "d", "channel": "push", "token": "t{n}"}}]}}' for n in range(CROWD))
    assert tenant.post("/v1/users/bulk", "\n".join(users).encode())["stored"] == CROWD
    return tenant


def state_of(tenant, id_):
    result = tenant.ended(id_, 60)
    return one(result["deliveries"])


def test_all_that_was_accepted_comes_to_its_end(tmp_path):
    with watched(System(tmp_path, QUICK)) as system:
        tenant = furnished(operator_of(system))
        crowd = tenant.post("/v1/broadcasts", {"audience": {"all": True}, "template": "note", "data": {"n": 1},
                                               "channels": ["push"]})["id"]  # fmt: skip
        later = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()

        def send(number):
            more = {"send_at": later} if number % 50 == 2 else {}
            body = {"to": {"phone": phone(number)}, "template": "note", "data": {"n": number}, "channels": ["sms"]}
            return tenant.post("/v1/notifications", body | more, headers={"Idempotency-Key": f"n{number}"})["id"]

        with ThreadPoolExecutor(8) as clients:
            ids = list(clients.map(send, range(SINGLES)))
        kill_everything(system)
        system.start()
        system.wait_ready()
        assert [send(number) for number in range(0, SINGLES, 25)] == ids[::25]
        deliveries = [state_of(tenant, id_) for id_ in ids]
        assert len({delivery["id"] for delivery in deliveries}) == SINGLES
        for number, delivery in enumerate(deliveries):
            assert delivery["address"] == phone(number)
            assert delivery["state"] == ("failed" if number % 10 == 1 else "sent"), delivery
        result = until(lambda: ended(tenant, crowd), "the broadcast is at rest", 60)
        assert (result["users"], result["planned"], result["states"]) == (CROWD, CROWD, {"sent": CROWD})
        listed = list(tenant.pages("/v1/notifications", limit=200))
        assert sorted(item["id"] for item in listed) == sorted(ids)
        captured = Counter(message["delivery_id"] for message in tenant.pages("/v1/sandbox/messages", limit=200))
        sent = {delivery["id"] for delivery in deliveries if delivery["state"] == "sent"}
        sent |= {row["id"] for row in tenant.pages(f"/v1/broadcasts/{crowd}/deliveries", limit=200)}
        assert set(captured) == sent
        assert set(captured.values()) == {1}


def ended(tenant, id_):
    result = tenant.get(f"/v1/broadcasts/{id_}")
    rests = set(result["states"]) <= AT_REST and sum(result["states"].values()) == result["planned"] + result["skipped"]
    return result if result["status"] == "done" and rests else None
