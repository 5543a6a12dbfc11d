"""Previews and tests of templates in a running installation, and the lifetime of the processes that build drafts."""

import contextlib

import psutil
import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, one, until

CODE = {
    "channels": {
        "sms": {"body": "Code {{ code }}"},
        "email": {"subject": "Code {{ code }}", "html": "<p>{{ code }}</p>"},
    },
    "sample": {"data": {"code": "1234"}},
}
RUNAWAY = "{% for i in (1..10000) %}" + "{% assign z = i %}" * 500 + "{% endfor %}"
PREVIEW = "/v1/templates/code/preview"


def answers(tenant):
    with contextlib.suppress(OSError):
        return tenant.call("POST", PREVIEW, {}).status == 200


def test_a_template_is_looked_at_tested_and_its_attacks_stopped(tenant):
    tenant.put("/v1/templates/code", CODE)
    tenant.sandbox("sms")
    shown = tenant.post(PREVIEW, {})
    assert shown["channels"]["sms"]["parts"] == {"body": "Code 1234"}
    runaway = tenant.call("POST", PREVIEW, {"source": {"channels": {"sms": {"body": RUNAWAY}}}})
    assert runaway.status == 422 or list(runaway.json["errors"]) == ["sms"]
    page = tenant.call("POST", PREVIEW, {}, query={"format": "html"})
    assert (page.status, page.body) == (200, b"<p>1234</p>")
    assert page.headers["content-security-policy"].startswith("sandbox")
    result = tenant.ended(tenant.post("/v1/templates/code/test", {"channel": "sms", "address": "+4915112345678"})["id"])
    assert result["metadata"] == {"clarion.test": "true"}
    assert one(result["deliveries"])["state"] == "sent"
    assert [message["content"]["parts"]["body"] for message in tenant.captured()] == ["[Test] Code 1234"]


@pytest.mark.slow
@pytest.mark.processes
def test_no_confined_process_outlives_the_api(tmp_path):
    with watched(System(tmp_path, QUICK)) as system:
        tenant = new_tenant(operator_of(system))
        tenant.put("/v1/templates/code", CODE)
        first = system.processes()["confined"]
        assert len(first) == 1
        (api,) = system.processes()["api"]
        api.kill()
        assert psutil.wait_procs(first, 10)[1] == []
        until(lambda: answers(tenant), "the API is back")
        second = system.processes()["confined"]
    assert psutil.wait_procs(second, 10)[1] == []
