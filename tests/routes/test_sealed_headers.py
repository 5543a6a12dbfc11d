"""Secrets in headers of fetch steps: sealed when a workflow is stored, shown nowhere, kept for the place they were for."""

import json

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import CallerError, InvalidField
from clarion.domain.fetch_headers import record_of
from clarion.domain.security_events import SecurityEvent
from clarion.domain.workflow import Workflow
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.sealed_headers import open_header, seal_header
from clarion.ports.secrets import SealBroken
from clarion.ports.web import TOML, Call
from tests.callers import by_key
from tests.contract.controls import ControlPlane
from tests.registries import definitions_of

SECRET = 'sk_live_c4nary{"\\'
URL = "https://api.example.com/orders/{data.n}"
ONE = "/v1/workflows/w"
FIELD = "steps[0].headers.Authorization"
GIVEN = {"secret": SECRET, "prefix": "Bearer "}
SHOWN = {"sealed": True, "prefix": "Bearer "}


@pytest.fixture
async def plane(control_backend, empty, tmp_path):
    made = ControlPlane.copy_of(empty, tmp_path, control_backend)
    yield made
    await made.close()


def body(value=None, url=URL, name="ask", header="Authorization", **more):
    headers = {} if value is None else {header: value}
    return {"steps": [{"kind": "fetch", "name": name, "url": url, "headers": headers | more}]}


async def put(plane, *args, key="w", **kwargs):
    """Store a workflow and return the header as shown."""
    said = await plane.say("PUT", f"/v1/workflows/{key}", body(*args, **kwargs))
    return said["steps"][0]["headers"]


async def stored(plane, key="w"):
    """Return the headers of the newest version as they are stored."""
    record = await definitions_of(plane.control).get("acme", Workflow.KIND, key)
    return msgspec.json.decode(record.body, type=Workflow).steps[0].headers


async def opened(plane, header="Authorization", key="w", url=URL):
    """Return the stored secret of a header."""
    value = (await stored(plane, key))[header]
    return open_header(plane.vault, "acme", record_of(key, "ask", header, url), value.ciphertext)


async def refused(plane, field, code, *args, **kwargs):
    before = await definitions_of(plane.control).get("acme", Workflow.KIND, "w")
    with pytest.raises(InvalidField) as found:
        await put(plane, *args, **kwargs)
    assert (found.value.status, found.value.field, found.value.code) == (422, field, code)
    assert await definitions_of(plane.control).get("acme", Workflow.KIND, "w") == before
    assert "c4nary" not in str(found.value)
    return found.value


async def test_a_secret_is_stored_sealed_and_never_shown(plane, tmp_path):
    said = [await plane.say("PUT", ONE, body(GIVEN))]
    said.append(await plane.say("GET", ONE))
    said.append(await plane.say("GET", ONE, version="1"))
    said.append((await plane.say("GET", "/v1/workflows"))["data"][0])
    assert [one["steps"][0]["headers"] for one in said] == [{"Authorization": SHOWN}] * 4
    value = (await stored(plane))["Authorization"]
    assert value.ciphertext not in json.dumps(said)
    assert "c4nary" not in repr(value) + value.ciphertext
    assert await opened(plane) == SECRET
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"c4nary" in path.read_bytes()]


async def test_text_in_a_header_that_carries_credentials_is_sealed_too(plane):
    given_ = {"X-Api-Key": "c4nary-text", "X-Source": "shop", "X-Token": "{data.token}", "X-Key": ""}
    shown = await put(plane, **given_)
    assert shown == given_ | {"X-Api-Key": {"sealed": True}}
    assert await opened(plane, "X-Api-Key") == "c4nary-text"


async def test_toml_is_no_different(plane):
    text = """
        [[steps]]
        kind = "fetch"
        name = "ask"
        url = "https://api.example.com/"
        headers = {Authorization = {secret = "c4nary", prefix = "Bearer "}}
    """
    route, path = plane.find("PUT", ONE)
    assert TOML in route.media
    caller = by_key()
    await route.handler(Call(caller, path, {}, {}, b"", msgspec.toml.decode(text, type=route.body)))
    assert await opened(plane) == "c4nary"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, FIELD),
        ({"prefix": "Bearer "}, FIELD),
        ({"from": "env:TOKEN", "secret": "c4nary"}, FIELD),
        ({"secret": "c4nary", "sealed": True}, FIELD),
        ({"from": "env:TOKEN", "sealed": True}, FIELD),
        ({"sealed": False}, f"{FIELD}.sealed"),
        ({"secret": ""}, f"{FIELD}.secret"),
        ({"secret": " c4nary"}, f"{FIELD}.secret"),
        ({"secret": "c4nary\n"}, f"{FIELD}.secret"),
        ({"secret": "c4nary\u00e9"}, f"{FIELD}.secret"),
        ({"secret": "c4nary" * 700}, f"{FIELD}.secret"),
        ({"secret": "c4nary" * 682, "prefix": "Bearer "}, f"{FIELD}.secret"),
        ({"secret": "c4nary", "prefix": "a\nb"}, f"{FIELD}.prefix"),
        ("Bearer {c4nary", FIELD),
    ],
)
async def test_a_fault_names_its_field(plane, value, field):
    await refused(plane, field, "invalid_field", value)


async def test_a_header_is_given_once(plane):
    more = {"authorization": {"secret": "c4nary"}}
    await refused(plane, "steps[0].headers.authorization", "invalid_field", GIVEN, **more)


async def test_a_host_is_never_filled_by_data_whatever_the_case_of_the_scheme(plane):
    await refused(plane, "steps[0].url", "invalid_field", GIVEN, url="HTTPS://{data.host}/")


async def test_what_is_shown_can_be_stored_again(plane):
    first = await plane.say("PUT", ONE, body(GIVEN))
    before = (await stored(plane))["Authorization"]
    again = {"steps": (await plane.say("GET", ONE))["steps"]}
    assert (await plane.say("PUT", ONE, again)) == first, "nothing changed"
    assert (await plane.say("PUT", ONE, body(GIVEN))) == first, "the same secret again"
    shown = await put(plane, {"sealed": True, "prefix": "Token "}, url="https://API.example.com:443/v2")
    assert shown == {"Authorization": {"sealed": True, "prefix": "Token "}}
    assert (await stored(plane))["Authorization"].ciphertext == before.ciphertext
    await put(plane, {"sealed": True}, header="authorization")
    assert await opened(plane, "authorization") == SECRET


async def test_another_secret_replaces_the_stored_one(plane):
    await put(plane, GIVEN)
    await put(plane, {"secret": "c4nary-2"})
    await put(plane, {"sealed": True})
    assert await opened(plane) == "c4nary-2"


async def test_a_secret_of_an_earlier_version_is_gone(plane):
    await put(plane, GIVEN)
    await put(plane, "{data.token}")
    await refused(plane, FIELD, "credentials_required", {"sealed": True})


CHANGES = [
    {"url": "https://evil.example/orders/{data.n}"},
    {"url": "http://api.example.com/orders/{data.n}"},
    {"url": "https://api.example.com:8443/orders/{data.n}"},
    {"name": "other"},
    {"header": "X-Token"},
    {"key": "other"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_a_stored_secret_stays_where_it_was_given_for(plane, change):
    await put(plane, GIVEN)
    field = f"steps[0].headers.{change.get('header', 'Authorization')}"
    error = await refused(plane, field, "credentials_required", {"sealed": True}, **change)
    assert "give the secret again" in error.detail
    event, fields = plane.notes.events[-1]
    named = {"tenant": "acme", "key_id": "key", "subject": change.get("key", "w")}
    assert (event, fields) == (SecurityEvent.CREDENTIALS_REQUIRED, named)


async def test_it_stays_with_its_tenant(plane):
    await put(plane, GIVEN)
    with pytest.raises(CallerError) as found:
        await plane.say("PUT", ONE, body({"sealed": True}), tenant="other")
    assert found.value.code == "credentials_required"


async def test_a_removed_workflow_keeps_no_secret(plane):
    await put(plane, GIVEN)
    await plane.call("DELETE", ONE)
    await refused(plane, FIELD, "credentials_required", {"sealed": True})


async def test_a_secret_that_does_not_open_is_required_again(plane):
    await put(plane, GIVEN)
    ciphertext = (await stored(plane))["Authorization"].ciphertext
    moved = body({"sealed": True, "secret": ciphertext}, url="https://evil.example/")
    await definitions_of(plane.control).put("acme", Workflow.KIND, "w", msgspec.json.encode(moved))
    await refused(plane, FIELD, "credentials_required", {"sealed": True}, url="https://evil.example/")
    await put(plane, GIVEN, url="https://evil.example/")


async def test_text_that_was_stored_before_is_not_shown_and_can_stay(plane):
    old = body("Bearer c4nary-old", **{"X-Source": "shop"})
    await definitions_of(plane.control).put("acme", Workflow.KIND, "w", msgspec.json.encode(old))
    seen = (await plane.say("GET", ONE))["steps"][0]["headers"]
    assert seen == {"Authorization": {"sealed": True}, "X-Source": "shop"}
    await refused(plane, FIELD, "credentials_required", seen["Authorization"], url="https://evil.example/")
    assert await put(plane, **seen) == seen
    assert await opened(plane) == "Bearer c4nary-old"


async def test_the_schema_takes_what_the_api_takes(plane):
    schema = msgspec.json.decode((await plane.call("GET", "/v1/workflows/schema")).raw)
    validator = jsonschema_rs.Draft202012Validator(schema)
    for value in (GIVEN, SHOWN, {"sealed": True}, {"from": "env:A"}, "{data.token}"):
        assert validator.is_valid(body(value)), value
    for value in ({}, {"sealed": False}, {"secret": "a", "sealed": True}, {"secret": 1}, {"prefix": "a"}):
        assert not validator.is_valid(body(value)), value


PLACES = st.tuples(
    st.sampled_from(["acme", "other"]),
    st.sampled_from(["w", "w:a"]),
    st.sampled_from(["ask", "a"]),
    st.sampled_from(["x-key", "x-token"]),
    st.sampled_from([URL, "https://api.example.com:8443/", "http://api.example.com/", "https://evil.example/"]),
)
VAULT = FileVault(bytes(32))


@given(PLACES, PLACES, st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
def test_a_sealed_value_opens_for_its_place_alone(one, other, secret):
    tenant, *place = one
    ciphertext = seal_header(VAULT, tenant, record_of(*place), secret).ciphertext
    tenant, *place = other
    if one == other:
        assert open_header(VAULT, tenant, record_of(*place), ciphertext) == secret
    else:
        with pytest.raises(SealBroken):
            open_header(VAULT, tenant, record_of(*place), ciphertext)


@pytest.mark.parametrize("ciphertext", ["", "AAAA", "not base64", "\u00e9"])
def test_a_value_that_is_none_does_not_open(ciphertext):
    with pytest.raises(SealBroken):
        open_header(VAULT, "acme", "a", ciphertext)
