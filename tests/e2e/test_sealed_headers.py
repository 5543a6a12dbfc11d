"""Secrets in headers of fetch steps from outside: they arrive where they were given for, and are nowhere else."""

import json

import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, one
from tests.e2e.receiver import receiving
from tests.e2e.test_workflows import OUTGOING, ended, step

SECRET, COOKIE = "sk_live_c4nary-one", "session=c4nary-two"
HEADERS = {"Authorization": {"secret": SECRET, "prefix": "Bearer "}, "Cookie": COOKIE, "X-Source": "shop {data.n}"}
SHOWN = HEADERS | {"Authorization": {"sealed": True, "prefix": "Bearer "}, "Cookie": {"sealed": True}}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with watched(System(tmp_path_factory.mktemp("sealing"), {**QUICK, **OUTGOING})) as system:
        yield system


def calls(url, headers):
    ask = step("fetch", "ask", url=f"{url}/echo", method="POST", headers=headers)
    return {"steps": [ask, step("fetch", "fail", url=f"{url}/fail", method="POST", headers=headers, attempts=1)]}


def test_a_sealed_secret_arrives_where_it_was_given_for_and_is_nowhere_else(system):
    tenant, said = new_tenant(operator_of(system)), []
    tenant.user("ada")
    with receiving() as receiver, receiving() as other:
        receiver.echoes.add("/echo")
        receiver.answers["/fail"] = [(401, {}), (500, {})]
        for headers in (HEADERS, SHOWN):
            stored = tenant.put("/v1/workflows/w", calls(receiver.url, headers))
            assert (stored["version"], stored["steps"][0]["headers"]) == (1, SHOWN)
            tenant.changed()
            id_ = tenant.post("/v1/notifications", {"to": "ada", "workflow": "w", "data": {"n": 7}})["id"]
            said += [stored, ended(tenant, id_), tenant.seen(id_)]
        assert [one(run)["state"] for run in said[1::3]] == ["completed", "failed"]
        sent = [
            (call.headers["authorization"], call.headers["cookie"], call.headers["x-source"]) for call in receiver.calls
        ]
        assert sent == [(f"Bearer {SECRET}", COOKIE, "shop 7")] * 4
        moved = calls(other.url, SHOWN)
        said.append(tenant.refused(422, "PUT", "/v1/workflows/w", moved))
        assert (said[-1]["code"], said[-1]["field"]) == ("credentials_required", "steps[0].headers.Authorization")
        assert other.connections == 0
    said += [tenant.get(path) for path in ("/v1/workflows", "/v1/workflows/w", "/v1/workflows/w?version=1")]
    said.append(tenant.post("/v1/notifications/explain", {"to": "ada", "workflow": "w", "data": {"n": 7}}))
    assert "c4nary" not in json.dumps(said)
    log = (system.folder / "clarion.log").read_bytes()
    assert b"credentials_required" in log
    files = [path for path in system.folder.rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"c4nary" in path.read_bytes()]
