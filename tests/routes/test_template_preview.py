"""Previews, handler by handler over a real store: their contents, their user, and their warnings."""

import pytest

from clarion.domain.errors import Forbidden, InvalidField, NotFound
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.web import Call
from tests.callers import by_key
from tests.contract.controls import ControlPlane
from tests.registries import definitions_of

PATH = "/v1/templates/order/preview"
ORDER = {
    "channels": {
        "email": {
            "subject": "Order {{ number }}, {{ user.name }}",
            "html": "<p>{{ user.name }} in {{ user.zone }}</p>",
            "text": "{{ user.name }}",
        },
        "sms": {"body": "Order {{ number }} €"},
        "push": {"title": "Order {{ number }}", "body": "{{ note }}"},
    },
    "locales": {"de": {"channels": {"sms": {"body": "Bestellung {{ number }}"}}}},
    "text": "Order {{ number }}",
    "sample": {
        "data": {"number": 17, "note": "Thank you"},
        "user": {"name": "<Ana>", "locale": "en", "zone": "Europe/Rome"},
    },
}
BO = {"email": "bo@example.com", "locale": "de-AT", "zone": "Europe/Vienna", "attributes": {"name": "Bo"}}


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    for tenant in ("acme", "other"):
        await control_plane.call("PUT", f"/v1/tenants/{tenant}", {"name": tenant})
    await control_plane.call("PUT", "/v1/users/bo", BO)
    await control_plane.call("PUT", "/v1/templates/order", ORDER)
    yield control_plane
    await control_plane.close()


async def shown(control_plane, **body):
    return await control_plane.say("POST", PATH, body)


async def refused(control_plane, **body):
    with pytest.raises(InvalidField) as error:
        await control_plane.call("POST", PATH, body)
    return error.value.field


def codes(answer):
    return {(warning["channel"], warning["code"]) for warning in answer["warnings"]}


async def test_the_newest_version_is_shown_with_its_sample(control_plane):
    answer = await shown(control_plane)
    assert (answer["version"], answer["locale"], answer["errors"], answer["warnings"][:0]) == (1, "en", {}, [])
    assert list(answer["channels"]) == ["email", "sms", "push"]
    email, sms, push = answer["channels"].values()
    assert email["parts"]["subject"] == "Order 17, <Ana>"
    assert email["parts"]["html"] == "<p>&lt;Ana&gt; in Europe/Rome</p>"
    assert email["size_bytes"] == sum(len(part) for part in email["parts"].values())
    assert sms == {
        "parts": {"body": "Order 17 €"},
        "size_bytes": 12,
        "sms": {"encoding": "gsm-7", "characters": 11, "segments": 1},
    }
    assert push["push"]["payload_bytes_max"] == PUSH_PAYLOAD_BYTES_MAX
    assert push["push"]["shortened"] is False
    assert 0 < push["push"]["payload_bytes"] < PUSH_PAYLOAD_BYTES_MAX


async def test_data_user_locale_and_channels_can_be_given(control_plane):
    answer = await shown(
        control_plane,
        data={"number": 3},
        user={"name": "Cy", "locale": "en"},
        locale="de-DE",
        channels=["sms", "chat", "sms"],
    )
    assert answer["locale"] == "de"
    assert {name: channel["parts"] for name, channel in answer["channels"].items()} == {
        "sms": {"body": "Bestellung 3"},
        "chat": {"text": "Order 3"},
    }


async def test_a_stored_user_is_shown_as_they_would_get_it(control_plane):
    answer = await shown(control_plane, user="bo")
    assert answer["locale"] == "de"
    assert answer["channels"]["email"]["parts"]["html"] == "<p>Bo in Europe/Vienna</p>"
    assert answer["channels"]["sms"]["parts"]["body"] == "Bestellung 17"


async def test_a_stored_user_is_for_keys_that_may_read_users(control_plane):
    route, path = control_plane.find("POST", PATH)
    body = route.body(user="bo")
    with pytest.raises(Forbidden, match="users:read"):
        await route.handler(Call(by_key(permissions={"templates:read"}), path, {}, {}, b"", body))
    assert (
        await route.handler(Call(by_key(permissions={"templates:read", "users:read"}), path, {}, {}, b"", body))
    ).status == 200


async def test_versions_and_drafts_are_shown_by_number(control_plane):
    draft = {**ORDER, "channels": {"sms": {"body": "Draft {{ number }}"}}}
    await control_plane.call("PUT", "/v1/templates/order", {**draft, "locales": {}}, publish="false")
    newest, first = await shown(control_plane), await shown(control_plane, version=1)
    assert (newest["version"], newest["channels"]["sms"]["parts"]["body"]) == (2, "Draft 17")
    assert (first["version"], first["channels"]["sms"]["parts"]["body"]) == (1, "Order 17 €")


async def test_a_source_is_shown_without_being_stored(control_plane):
    source = {"channels": {"sms": {"body": "{{ a }}"}}, "sample": {"data": {"a": "sample"}}}
    answer = await control_plane.say("POST", "/v1/templates/new/preview", {"source": source})
    assert (answer["version"], answer["channels"]["sms"]["parts"]) == (0, {"body": "sample"})
    with pytest.raises(NotFound):
        await control_plane.call("GET", "/v1/templates/new")


async def test_a_channel_that_fails_does_so_alone(control_plane):
    answer = await shown(control_plane, data={"number": 1})
    assert list(answer["channels"]) == ["email", "sms"]
    assert "note" in answer["errors"]["push"]


async def test_what_makes_no_sense_is_refused_by_its_field(control_plane):
    bad = {"channels": {"email": {"subject": "Hi", "text": "{% if %}"}}}
    assert await refused(control_plane, source=bad) == "source.channels.email.text"
    assert await refused(control_plane, source={"channels": {"fax": {}}}) == "source.channels.fax"
    assert await refused(control_plane, source=ORDER | {"layout": "none"}) == "source.layout"
    assert await refused(control_plane, source=ORDER, version=1) == "version"
    assert await refused(control_plane, user="nobody") == "user"
    assert await refused(control_plane, source={**ORDER, "text": None}, channels=["sms", "webhook"]) == "channels[1]"
    assert await refused(control_plane, data={"number": 1 << 70}) == "data"
    assert await refused(control_plane, user={"age": 1 << 70}) == "user"
    for path, body in ((PATH, {"version": 9}), ("/v1/templates/none/preview", {})):
        with pytest.raises(NotFound):
            await control_plane.call("POST", path, body)
    with pytest.raises(NotFound):
        await control_plane.call("POST", PATH, {}, tenant="other")


async def test_html_is_shown_as_a_page_that_can_do_nothing(control_plane):
    reply = await control_plane.call("POST", PATH, {}, format="html")
    assert reply.raw == b"<p>&lt;Ana&gt; in Europe/Rome</p>"
    assert reply.content_type == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    broken = {"channels": {"email": {"subject": "{{ none }}", "html": "x"}}}
    with pytest.raises(InvalidField) as error:
        await control_plane.call("POST", PATH, {"source": broken}, format="html")
    assert (error.value.field, error.value.code) == ("channels.email", "render_failed")
    with pytest.raises(InvalidField) as error:
        await control_plane.call("POST", PATH, {"source": {"channels": {"sms": {"body": "x"}}}}, format="html")
    assert error.value.field == "channels[0]"
    with pytest.raises(InvalidField):
        await control_plane.call("POST", PATH, {}, format="pdf")


async def test_the_brand_and_the_tenants_locale_count(control_plane):
    await control_plane.call("PUT", "/v1/policy", {"locale": "de"})
    await definitions_of(control_plane.control, control_plane.clock).put(
        "acme", Brand.KIND, BRAND_KEY, b'{"name": "Acme"}'
    )
    source = ORDER | {"channels": {"sms": {"body": "{{ brand.name }}"}}, "locales": {}}
    assert (await shown(control_plane, source=source))["channels"]["sms"]["parts"]["body"] == "Acme"
    assert (await shown(control_plane, user={"name": "x", "locale": "fr"}))["locale"] == "de"


async def test_another_locale_than_the_requested_one_is_reported(control_plane):
    for locale, reason in (("fr", "does not have it"), ("xx-nowhere", "no such locale")):
        answer = await shown(control_plane, locale=locale, channels=["sms"])
        (result,) = [warning for warning in answer["warnings"] if warning["code"] == "locale_fallback"]
        assert answer["locale"] == "en"
        assert reason in result["detail"]
    assert ("sms", "locale_fallback") not in codes(await shown(control_plane, locale="de-AT"))
