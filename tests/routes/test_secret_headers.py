"""Headers of fetch steps by reference: checked when a workflow is stored, read when a call is made, stored nowhere."""

import json
from types import SimpleNamespace

import msgspec
import pytest

from clarion.control.workflows.routes import routes
from clarion.domain.errors import CallerError, Forbidden
from clarion.domain.message import HttpResponse
from clarion.domain.secret_reference import parse_permissions
from clarion.domain.workflow import SecretHeader, Workflow
from clarion.languages.cel.expressions import CelExpressions
from clarion.outbound.secrets.reader import SecretReader
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.web import Call
from clarion.resources.changing import Changing
from tests.callers import by_key
from tests.contract.controls import ControlPlane
from tests.unit.workflow.test_fetching import Place, job

SECRET = 's3cret-"token'


class Echo:
    """A server that repeats the headers it got."""

    def __init__(self):
        self.seen = []

    async def send(self, request):
        self.seen.append(request.headers)
        return HttpResponse(200, {}, json.dumps(request.headers).encode())


@pytest.fixture
async def secrets():
    values = {"TOKEN": SECRET, "LINES": "a\nb"}
    store = SimpleNamespace(read=lambda place, root: values[place].encode())
    silent = SimpleNamespace(security=lambda *args, **fields: None)
    allowed = parse_permissions(["acme env:*"], "secrets.allow")
    made = SecretReader({"env": store}, allowed, SimpleNamespace(monotonic_ms=lambda: 0), silent)
    yield made
    await made.close()


async def answered(secrets, source, prefix="Bearer "):
    place, server = Place(), Echo()
    pool = FetchPool(place.journal, server, place.clock, place.notes, secrets)
    pool.begin([msgspec.structs.replace(job(), headers={"X-Token": SecretHeader(source=source, prefix=prefix)})])
    await pool.idle()
    (frame,) = place.answers()
    assert b"s3cret" not in frame.payloads[0]
    return server.seen, frame.payloads[0]


async def test_a_call_has_the_secret_and_its_answer_has_not(secrets):
    ((headers,), payload) = await answered(secrets, "env:TOKEN")
    assert headers == {"authorization": "secret", "x-token": f"Bearer {SECRET}"}
    assert b"Bearer ***" in payload


@pytest.mark.parametrize(
    ("source", "words"),
    [("env:LINES", b"secret_not_text: headers.X-Token"), ("file:/x", b"secret_store_unknown: headers.X-Token")],
)
async def test_a_call_without_its_secret_is_not_made_and_says_why(secrets, source, words):
    seen, payload = await answered(secrets, source)
    assert seen == []
    assert words in payload


def body(value):
    step = {"kind": "fetch", "name": "ask", "url": "https://x.test/", "headers": {"Authorization": value}}
    return {"steps": [step]}


@pytest.fixture
async def plane(empty, tmp_path, secrets):
    made = ControlPlane.copy_of(empty, tmp_path, "memory")
    changing = Changing(made.control.documents, made.clock)
    made.routes = routes(made.control, changing, CelExpressions(), made.vault, secrets, made.notes)
    yield made
    await made.close()


async def test_a_workflow_shows_the_reference(plane):
    given = {"from": "env:TOKEN", "prefix": "Bearer "}
    shown = await plane.say("PUT", "/v1/workflows/w", body(given))
    assert shown["steps"][0]["headers"] == {"Authorization": given}
    assert SECRET not in json.dumps(await plane.say("GET", "/v1/workflows/w"))


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        ({"from": "file:/etc/shadow"}, "secret_store_unknown", "steps[0].headers.Authorization"),
        ({"from": "TOKEN"}, "secret_reference_invalid", "steps[0].headers.Authorization"),
        ({"from": "env:TOKEN", "prefix": "a\nb"}, "invalid_field", "steps[0].headers.Authorization.prefix"),
    ],
)
async def test_a_reference_that_cannot_be_used_is_refused(plane, value, code, field):
    with pytest.raises(CallerError) as found:
        await plane.say("PUT", "/v1/workflows/w", body(value))
    assert (found.value.code, found.value.field) == (code, field)


@pytest.mark.parametrize(
    ("permissions", "named"), [({"workflows:write"}, False), ({"workflows:write", "providers:write"}, True)]
)
async def test_who_names_a_secret_may_also_give_accounts_theirs(permissions, named, plane):
    caller = by_key(permissions=permissions)
    (put,) = [route for route in plane.routes if route.method == "PUT"]
    call = Call(caller, {"key": "w"}, {}, {}, b"", body=msgspec.convert(body({"from": "env:TOKEN"}), Workflow))
    if named:
        assert (await put.handler(call)).status == 200
    else:
        with pytest.raises(Forbidden, match="providers:write"):
            await put.handler(call)


async def test_another_tenant_may_not_name_it(plane):
    with pytest.raises(CallerError) as found:
        await plane.say("PUT", "/v1/workflows/w", body({"from": "env:TOKEN"}), tenant="other")
    assert found.value.code == "secret_not_permitted"
