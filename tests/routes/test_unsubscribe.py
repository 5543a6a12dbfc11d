"""Unsubscribing over a real store: the changes of a POST, and that other methods change nothing."""

import asyncio

import pytest

from clarion.control.unsubscribe.links import SealedUnsubscribeLinks
from clarion.control.unsubscribe.routes import routes
from clarion.control.unsubscribe.rules import is_one_click
from clarion.domain.channel import Channel
from clarion.domain.permissions import PUBLIC
from clarion.ports.control_accounts import Suppression
from clarion.ports.unsubscribe_links import UnsubscribeSubject
from clarion.ports.web import Call
from tests.callers import by_key
from tests.contract.controls import ControlPlane

FORM = "application/x-www-form-urlencoded"
ONE_CLICK = b"List-Unsubscribe=One-Click"
MULTIPART = b'--xyz\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--xyz--\r\n'
ANYONE = by_key("", ())


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    control_plane.links = SealedUnsubscribeLinks(control_plane.vault, "https://notify.example.com")
    control_plane.routes = [
        *control_plane.routes,
        *routes(control_plane.control, control_plane.links, control_plane.clock),
    ]
    for tenant in ("acme", "other"):
        await control_plane.call("PUT", f"/v1/tenants/{tenant}", {"name": tenant}, tenant="")
        await control_plane.call("PUT", "/v1/categories/news", {}, tenant=tenant)
        await control_plane.call("PUT", "/v1/users/ada", {"email": "ada@example.org"}, tenant=tenant)
    yield control_plane
    await control_plane.close()


def token(control_plane, user_id="ada", address="", category="news", tenant="acme"):
    return control_plane.links.token(UnsubscribeSubject(tenant, user_id, address, category, "email"))


async def sent(control_plane, method, token, body=b"", content_type=FORM):
    route, path = control_plane.find(method, f"/v1/unsubscribe/{token}")
    assert route.permission == PUBLIC
    headers = {"content-type": content_type} if content_type else {}
    return await route.handler(Call(ANYONE, path, {}, headers, body))


async def preferences(control_plane, tenant="acme"):
    return await control_plane.say("GET", "/v1/users/ada/preferences", tenant=tenant)


async def test_a_click_is_a_users_no_to_the_category_on_email(control_plane):
    await control_plane.call("PUT", "/v1/users/ada/preferences", {"news": {"sms": True}, "*": {"push": False}})
    reply = await sent(control_plane, "POST", token(control_plane), ONE_CLICK)
    assert (reply.status, reply.content_type) == (200, "text/html; charset=utf-8")
    assert "location" not in reply.headers
    wanted = {"*": {"push": False}, "news": {"email": False, "sms": True}}
    assert await preferences(control_plane) == wanted
    assert await preferences(control_plane, "other") == {}
    result = (await control_plane.say("GET", "/v1/users/ada/consents"))["data"]
    assert [result[0][name] for name in ("category", "channel", "allowed", "source")] == [
        "news",
        "email",
        False,
        "unsubscribe",
    ]
    assert (await sent(control_plane, "POST", token(control_plane), ONE_CLICK)).status == 200
    assert (await control_plane.say("GET", "/v1/users/ada/consents"))["data"] == result
    assert (await control_plane.say("GET", "/v1/suppressions"))["data"] == []


async def test_a_click_outdoes_a_no_that_ends(control_plane):
    until = {"allowed": False, "until": "2030-01-01T00:00:00Z"}
    await control_plane.call("PUT", "/v1/users/ada/preferences", {"news": {"email": until}})
    await sent(control_plane, "POST", token(control_plane), ONE_CLICK)
    assert await preferences(control_plane) == {"news": {"email": False}}


async def test_who_is_no_user_has_the_address_suppressed(control_plane):
    for _ in range(2):
        assert (await sent(control_plane, "POST", token(control_plane, "", "Bob@Example.org"), ONE_CLICK)).status == 200
    (entry,) = (await control_plane.say("GET", "/v1/suppressions"))["data"]
    assert (entry["channel"], entry["address"], entry["reason"], entry["expires_at"]) == (
        "email",
        "bob@example.org",
        "unsubscribed",
        None,
    )
    assert await preferences(control_plane) == {}


async def test_the_first_reason_of_a_suppression_stays_but_not_its_end(control_plane):
    now_ms = control_plane.clock.now_ms()
    for expires_ms, reason in ((None, "bounced"), (now_ms + 1_000, "unsubscribed")):
        await control_plane.control.suppressions.add(
            "acme", [Suppression(Channel.EMAIL, "bob@example.org", "bounced", now_ms, expires_ms)]
        )
        await sent(control_plane, "POST", token(control_plane, "", "bob@example.org"), ONE_CLICK)
        (entry,) = (await control_plane.say("GET", "/v1/suppressions"))["data"]
        assert (entry["reason"], entry["expires_at"]) == (reason, None)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, ONE_CLICK),
        (f"{FORM}; charset=UTF-8", b"a=b&List-Unsubscribe=One%2DClick"),
        ("", ONE_CLICK),
        ("multipart/form-data; boundary=xyz", MULTIPART),
        ('Multipart/Form-Data; boundary="xyz"', MULTIPART.replace(b'"', b"")),
    ],
)
async def test_either_kind_of_form_will_do(control_plane, content_type, body):
    assert (await sent(control_plane, "POST", token(control_plane), body, content_type)).status == 200
    assert await preferences(control_plane) == {"news": {"email": False}}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b""),
        (FORM, b"List-Unsubscribe=yes"),
        (FORM, b"list=1&" * 50 + ONE_CLICK),
        ("application/json", b'{"List-Unsubscribe": "One-Click"}'),
        ("text/plain", ONE_CLICK),
        ("multipart/form-data", MULTIPART),
        ("multipart/form-data; boundary=abc", MULTIPART),
        ("multipart/form-data; boundary=xyz", MULTIPART.replace(b"One-Click", b"No")),
    ],
)
async def test_a_post_that_does_not_say_so_changes_nothing(control_plane, content_type, body):
    assert (await sent(control_plane, "POST", token(control_plane), body, content_type)).status == 400
    assert await preferences(control_plane) == {}


async def test_looking_changes_nothing_and_shows_a_button(control_plane):
    await control_plane.call("PUT", "/v1/brand", {"name": "Ada & Söhne", "primary_color": "#123456"})
    page = await sent(control_plane, "GET", token(control_plane, "", "bob<b>@example.org", category="a<script>"))
    html = page.raw.decode()
    assert (page.status, page.content_type) == (200, "text/html; charset=utf-8")
    assert "<script" not in html
    for part in ("Ada &amp; Söhne", "#123456", '<form method="post">', "bob&lt;b&gt;@example.org", 'lang="en"'):
        assert part in html
    assert await preferences(control_plane) == {}
    assert (await control_plane.say("GET", "/v1/suppressions"))["data"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_none_of_ours_is_not_found(control_plane, method):
    good = token(control_plane)
    for bad in ("x", good[:-2], good + "A", good.swapcase()):
        assert (await sent(control_plane, method, bad, ONE_CLICK)).status == 404
    assert await preferences(control_plane) == {}


async def test_nobody_left_is_no_error(control_plane):
    await control_plane.call("DELETE", "/v1/users/ada")
    assert (await sent(control_plane, "POST", token(control_plane), ONE_CLICK)).status == 200
    assert (
        await sent(control_plane, "POST", token(control_plane, category="gone", tenant="other"), ONE_CLICK)
    ).status == 200


async def test_of_many_clicks_at_once_none_is_lost(control_plane):
    clicks = [
        sent(control_plane, "POST", token(control_plane, category=f"c{number}"), ONE_CLICK) for number in range(8)
    ]
    assert {reply.status for reply in await asyncio.gather(*clicks)} == {200}
    assert await preferences(control_plane) == {f"c{number}": {"email": False} for number in range(8)}


def test_a_form_that_is_no_text():
    assert not is_one_click(FORM, bytes(range(256)))
