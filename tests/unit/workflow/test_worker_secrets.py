"""Sealed headers of fetch steps, opened when the call is made: for the place they were given for, and no other."""

import json

import msgspec
import pytest

from clarion.domain.fetch_headers import record_of
from clarion.domain.message import HttpRequest
from clarion.domain.workflow import SecretHeader
from clarion.outbound.secrets.master_key import FileVault
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.sealed_headers import seal_header
from tests.routes.test_secret_headers import Echo
from tests.unit.workflow.test_fetching import Place, job

URL = "https://api.example.com/orders/{data.n}"
SECRET = "sk_live_c4nary"
VAULT = FileVault(bytes(32))
HEADER = seal_header(VAULT, "acme", record_of("w", "ask", "X-Token", URL), SECRET, "Bearer ")


def call(**changes):
    """Return the job of a call for which the header was sealed, but for these changes."""
    request = HttpRequest("GET", changes.pop("url", "https://api.example.com/orders/7"), {}, b"")
    fields = {"request": request, "workflow": "w", "step": "ask", "headers": {"X-Token": HEADER}}
    return msgspec.structs.replace(job(), **(fields | changes))


async def answered(made, vault=VAULT):
    place, server = Place(), Echo()
    pool = FetchPool(place.journal, server, place.clock, place.notes, vault=vault)
    pool.begin([made])
    await pool.idle()
    (frame,) = place.answers()
    assert b"c4nary" not in frame.payloads[0]
    assert "c4nary" not in repr(made) + json.dumps(place.notes.lines)
    return server.seen, frame.payloads[0]


async def test_a_call_has_the_secret_and_its_answer_has_not():
    seen, payload = await answered(call())
    assert seen == [{"x-token": f"Bearer {SECRET}"}]
    assert b"Bearer ***" in payload


async def test_the_case_of_the_headers_name_does_not_matter():
    seen, _ = await answered(call(headers={"x-token": HEADER}))
    assert seen == [{"x-token": f"Bearer {SECRET}"}]


OTHERS = [
    {"url": "https://evil.example/orders/7"},
    {"url": "http://api.example.com/orders/7"},
    {"url": "https://api.example.com:8443/orders/7"},
    {"url": "https://api.example.com@evil.example/"},
    {"tenant": "other"},
    {"workflow": "other"},
    {"step": "other"},
    {"headers": {"X-Other": HEADER}},
    {"headers": {"X-Token": SecretHeader(sealed=True)}},
    {"headers": {"X-Token": SecretHeader(sealed=True, secret="no base64")}},
]


@pytest.mark.parametrize("change", OTHERS, ids=str)
async def test_it_opens_for_no_other_place(change):
    seen, payload = await answered(call(**change))
    assert seen == []
    name = next(iter(change.get("headers", {"X-Token": HEADER})))
    assert f"secret_not_opened: headers.{name}: the secret sealed in the definition does not open".encode() in payload


@pytest.mark.parametrize("vault", [FileVault(b"k" * 32), None], ids=["another master key", "no vault"])
async def test_it_opens_with_its_master_key_only(vault):
    seen, payload = await answered(call(), vault)
    assert seen == []
    assert b"secret_not_opened: headers.X-Token" in payload
