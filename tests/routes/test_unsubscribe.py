"""Unsubscribing over a real store: what a POST changes, and that nothing else changes anything."""

import asyncio

import pytest

from clarion.control.unsubscribe.routes import routes
from clarion.control.unsubscribe.rules import is_one_click
from clarion.domain.channel import Channel
from clarion.ops.unsubscribing import SealedLinks
from clarion.ports.control_accounts import Suppression
from clarion.ports.unsubscribing import Subject
from clarion.ports.web import PUBLIC, Call, Caller
from tests.contract.controls import House

FORM = "application/x-www-form-urlencoded"
ONE_CLICK = b"List-Unsubscribe=One-Click"
MULTIPART = b'--xyz\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--xyz--\r\n'
ANYONE = Caller("", "", frozenset())


@pytest.fixture
async def house(engine, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, engine)
    house.links = SealedLinks(house.vault, "https://notify.example.com")
    house.routes = [*house.routes, *routes(house.control, house.links, house.clock)]
    for tenant in ("acme", "other"):
        await house.call("PUT", f"/v1/tenants/{tenant}", {"name": tenant}, tenant="")
        await house.call("PUT", "/v1/categories/news", {}, tenant=tenant)
        await house.call("PUT", "/v1/users/ada", {"email": "ada@example.org"}, tenant=tenant)
    yield house
    await house.close()


def token(house, user_id="ada", address="", category="news", tenant="acme"):
    return house.links.token(Subject(tenant, user_id, address, category, "email"))


async def sent(house, method, token, body=b"", content_type=FORM):
    route, path = house.find(method, f"/v1/unsubscribe/{token}")
    assert route.scope == PUBLIC
    headers = {"content-type": content_type} if content_type else {}
    return await route.handler(Call(ANYONE, path, {}, headers, body))


async def preferences(house, tenant="acme"):
    return await house.say("GET", "/v1/users/ada/preferences", tenant=tenant)


async def test_a_click_is_a_users_no_to_the_category_on_email(house):
    await house.call("PUT", "/v1/users/ada/preferences", {"news": {"sms": True}, "*": {"push": False}})
    reply = await sent(house, "POST", token(house), ONE_CLICK)
    assert (reply.status, reply.content_type) == (200, "text/html; charset=utf-8")
    assert "location" not in reply.headers
    wanted = {"*": {"push": False}, "news": {"email": False, "sms": True}}
    assert await preferences(house) == wanted
    assert await preferences(house, "other") == {}
    told = (await house.say("GET", "/v1/users/ada/consents"))["data"]
    assert [told[0][name] for name in ("category", "channel", "allowed", "source")] == [
        "news",
        "email",
        False,
        "unsubscribe",
    ]
    assert (await sent(house, "POST", token(house), ONE_CLICK)).status == 200
    assert (await house.say("GET", "/v1/users/ada/consents"))["data"] == told
    assert (await house.say("GET", "/v1/suppressions"))["data"] == []


async def test_a_click_outdoes_a_no_that_ends(house):
    until = {"allowed": False, "until": "2030-01-01T00:00:00Z"}
    await house.call("PUT", "/v1/users/ada/preferences", {"news": {"email": until}})
    await sent(house, "POST", token(house), ONE_CLICK)
    assert await preferences(house) == {"news": {"email": False}}


async def test_who_is_no_user_has_the_address_suppressed(house):
    for _ in range(2):
        assert (await sent(house, "POST", token(house, "", "Bob@Example.org"), ONE_CLICK)).status == 200
    (entry,) = (await house.say("GET", "/v1/suppressions"))["data"]
    assert (entry["channel"], entry["address"], entry["reason"], entry["expires_at"]) == (
        "email",
        "bob@example.org",
        "unsubscribed",
        None,
    )
    assert await preferences(house) == {}


async def test_the_first_reason_of_a_suppression_stays_but_not_its_end(house):
    now_ms = house.clock.now_ms()
    for expires_ms, reason in ((None, "bounced"), (now_ms + 1_000, "unsubscribed")):
        await house.control.suppressions.add(
            "acme", [Suppression(Channel.EMAIL, "bob@example.org", "bounced", now_ms, expires_ms)]
        )
        await sent(house, "POST", token(house, "", "bob@example.org"), ONE_CLICK)
        (entry,) = (await house.say("GET", "/v1/suppressions"))["data"]
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
async def test_either_kind_of_form_will_do(house, content_type, body):
    assert (await sent(house, "POST", token(house), body, content_type)).status == 200
    assert await preferences(house) == {"news": {"email": False}}


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
async def test_a_post_that_does_not_say_so_changes_nothing(house, content_type, body):
    assert (await sent(house, "POST", token(house), body, content_type)).status == 400
    assert await preferences(house) == {}


async def test_looking_changes_nothing_and_shows_a_button(house):
    await house.call("PUT", "/v1/brand", {"name": "Ada & Söhne", "primary_color": "#123456"})
    page = await sent(house, "GET", token(house, "", "bob<b>@example.org", category="a<script>"))
    html = page.raw.decode()
    assert (page.status, page.content_type) == (200, "text/html; charset=utf-8")
    assert "<script" not in html
    for part in ("Ada &amp; Söhne", "#123456", '<form method="post">', "bob&lt;b&gt;@example.org", 'lang="en"'):
        assert part in html
    assert await preferences(house) == {}
    assert (await house.say("GET", "/v1/suppressions"))["data"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_none_of_ours_is_not_found(house, method):
    good = token(house)
    for bad in ("x", good[:-2], good + "A", good.swapcase()):
        assert (await sent(house, method, bad, ONE_CLICK)).status == 404
    assert await preferences(house) == {}


async def test_nobody_left_is_no_error(house):
    await house.call("DELETE", "/v1/users/ada")
    assert (await sent(house, "POST", token(house), ONE_CLICK)).status == 200
    assert (await sent(house, "POST", token(house, category="gone", tenant="other"), ONE_CLICK)).status == 200


async def test_of_many_clicks_at_once_none_is_lost(house):
    clicks = [sent(house, "POST", token(house, category=f"c{number}"), ONE_CLICK) for number in range(8)]
    assert {reply.status for reply in await asyncio.gather(*clicks)} == {200}
    assert await preferences(house) == {f"c{number}": {"email": False} for number in range(8)}


def test_a_form_that_is_no_text():
    assert not is_one_click(FORM, bytes(range(256)))
