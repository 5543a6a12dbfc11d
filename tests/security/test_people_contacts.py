"""Contacts are masked for those who may not read them, wherever they are shown."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.contacts import mask, masked
from clarion.domain.permissions import SCOPES, SHOW_CONTACTS
from tests.people import signed_in

EMAIL, PHONE, HOOK = "grace.hopper@navy.example", "+14155550123", "https://hooks.example.com/T0/B0/secret"


@pytest.fixture
async def support(api):
    await api.ok(
        "PUT",
        "/v1/users/grace",
        {"email": EMAIL, "phone": PHONE, "webhook": HOOK, "contacts": {"email": ["g2@navy.example"]}},
    )
    await api.ok("PUT", "/v1/users/grace/devices/d1", {"channel": "push", "token": "secret-push-token-" + "t" * 32})
    await api.ok("POST", "/v1/suppressions", {"channel": "email", "address": EMAIL})
    await api.ok("POST", "/v1/suppressions", {"channel": "sms", "address": PHONE})
    await api.ok(
        "PUT",
        "/v1/schedules/nightly",
        {"to": {"user_id": "grace"}, "cron": "0 9 * * *", "template": "note", "data": {"text": EMAIL}},
    )
    return await signed_in(api, "sue", "acme", "support")


PLACES = [
    ("GET", "/v1/users", None), ("GET", "/v1/users/grace", None), ("GET", "/v1/suppressions", None),
    ("GET", "/v1/suppressions?limit=1", None), ("GET", "/v1/schedules", None), ("GET", "/v1/schedules/nightly", None),
    ("POST", "/v1/notifications/explain", {"to": "grace", "template": "note", "data": {"text": f"write to {EMAIL} or {PHONE}"}}),
    ("POST", "/v1/notifications/explain", {"to": {"phone": PHONE}, "template": "note", "data": {"text": "x"}}),
    ("POST", "/v1/templates/note/preview", {"data": {"text": "x"}, "user": "grace"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), PLACES)
async def test_who_may_not_read_contacts_sees_none(api, support, method, path, body):
    shown = (await support.ok(method, path, body)).body
    for contact in (EMAIL, PHONE, HOOK, "g2@navy.example", "secret-push-token"):
        assert contact.encode() not in shown, contact
    assert not _in_cursor(shown)
    owner = await signed_in(api, "olga", "acme", "owner")
    if "preview" not in path and body is None:
        whole = (await owner.ok(method, path)).body
        assert EMAIL.encode() in whole or PHONE.encode() in whole or _in_cursor(whole)


def _in_cursor(raw):
    from clarion.resources.pages import bytes_of

    following = msgspec.json.decode(raw).get("next") or ""
    return any(contact.encode() in (bytes_of(following) or b"") for contact in (EMAIL, PHONE))


async def test_a_masked_list_goes_on_page_by_page(support):
    found, path = [], "/v1/suppressions?limit=1"
    while path:
        answer = (await support.ok("GET", path)).json
        found += [one["address"] for one in answer["data"]]
        path = answer["next"] and f"/v1/suppressions?limit=1&after={answer['next']}"
    assert found == ["g***@navy.example", "***23"]
    for after in ("x", "WyJlbWFpbCIsImEiXQ"):
        assert (await support.call("GET", f"/v1/suppressions?after={after}")).json["field"] == "after"


async def test_who_may_not_read_contacts_sends_no_letter_elsewhere(support):
    body = {"ids": [f"dlv_{'f' * 48}"], "edit": {"address": "+14155550199"}}
    answer = await support.call("POST", "/v1/dead-letters/replay", body)
    assert (answer.status, answer.json["field"]) == (403, "edit.address")


def test_keys_that_could_read_contacts_still_can():
    for name, held in SCOPES.items():
        if held & SHOW_CONTACTS:
            assert "contacts:read" in held, name


@given(
    st.recursive(
        st.text() | st.integers() | st.none() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_masking_keeps_the_shape(value):
    def shape(one):
        if isinstance(one, dict):
            return {name: shape(inner) for name, inner in one.items()}
        return [shape(inner) for inner in one] if isinstance(one, list) else type(one)

    assert shape(masked(value)) == shape(value)


@given(st.emails())
def test_an_address_is_masked_in_any_text(address):
    for text in (address, f"550 no such user <{address}>", f"({address})"):
        shown = masked({"detail": text, "email": address})
        assert shown["email"] == mask(address) != address or len(address.partition("@")[0]) == 0
    assert "ada@example.com" not in masked("to ada@example.com, bob@example.com")
