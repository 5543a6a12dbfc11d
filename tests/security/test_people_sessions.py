"""Sessions: which requests they let in, and when they end."""

import pytest
from msgspec.structs import replace

from clarion.domain.cookies import SESSION_COOKIE
from clarion.domain.limits_people import SESSION_IDLE_MS_MAX, SESSION_MS_MAX, SESSIONS_PER_PERSON_MAX
from clarion.domain.permissions import OF_MEMBER
from clarion.domain.person import csrf_of
from clarion.domain.security_events import SecurityEvent
from tests.people import again, join, signed_in


@pytest.fixture
async def ada(api):
    return await signed_in(api, "ada", "acme", "owner")


async def test_a_session_says_who_is_signed_in_where_and_with_what(ada):
    answer = (await ada.ok("GET", "/v1/session")).json
    assert answer["person"] == {"id": "prs_ada", "email": "ada@example.com", "name": "Ada", "is_operator": False}
    assert (answer["tenant"], answer["role"], answer["tenants"]) == ("acme", "owner", ["acme"])
    assert set(answer["permissions"]) == OF_MEMBER
    assert answer["csrf_token"] == csrf_of(ada.token)
    assert answer["idle_s"] * 1000 == SESSION_IDLE_MS_MAX


async def test_a_session_acts_in_its_tenant(ada):
    await ada.ok("PUT", "/v1/topics/of-ada", {"name": "n"})
    assert (await ada.api.call("GET", "/v1/topics/of-ada", key="acme")).status == 200
    assert (await ada.api.call("GET", "/v1/topics/of-ada", key="other")).status == 404


REFUSED = {
    "no token": ({"x_clarion_csrf": ""}, "csrf_token_wrong"),
    "a wrong token": ({"x_clarion_csrf": "x" * 32}, "csrf_token_wrong"),
    "no origin": ({"origin": ""}, "cross_site_request"),
    "another origin": ({"origin": "https://evil.example"}, "cross_site_request"),
    "an opaque origin": ({"origin": "null"}, "cross_site_request"),
    "an origin that begins like ours": ({"origin": "http://127.0.0.1:8400.evil.example"}, "cross_site_request"),
    "another site, as the browser says": ({"sec_fetch_site": "cross-site"}, "cross_site_request"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_change_that_a_page_of_another_site_could_make_is_refused(ada, case):
    changed, code = REFUSED[case]
    answer = await ada.call("PUT", "/v1/topics/forged", {"name": "n"}, **changed)
    assert (answer.status, answer.json["code"]) == (403, code)
    assert (await ada.call("GET", "/v1/topics/forged")).status == 404
    assert (SecurityEvent.ORIGIN_REFUSED, code) in [(event, fields.get("reason")) for event, fields in ada.api.events]


async def test_a_read_that_a_page_of_another_site_makes_is_refused(ada):
    for site in ("cross-site", "same-site"):
        assert (await ada.call("GET", "/v1/session", sec_fetch_site=site)).json["code"] == "cross_site_request"
    for site in ("same-origin", "none"):
        assert (await ada.call("GET", "/v1/session", sec_fetch_site=site, origin="", x_clarion_csrf="")).status == 200


async def test_a_session_is_no_bearer_and_a_key_no_cookie(ada):
    answer = await ada.api.call("GET", "/v1/session", key=ada.token)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    answer = await ada.call("GET", "/v1/topics", cookie=f"{SESSION_COOKIE}={ada.api.keys['acme']}")
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")


async def test_of_two_session_cookies_none_counts(ada):
    other = await signed_in(ada.api, "eve", "other", "owner")
    both = f"{SESSION_COOKIE}={other.token}; {SESSION_COOKIE}={ada.token}"
    assert (await ada.call("GET", "/v1/session", cookie=both)).status == 401


async def test_a_session_ends_when_it_is_idle_and_after_its_whole_time(ada):
    people = ada.api.parts.control.people
    session, _ = await people.session(_digest(ada))
    now_ms = ada.api.parts.clock.now_ms()
    for ended in (
        replace(session, used_ms=now_ms - SESSION_IDLE_MS_MAX),
        replace(session, created_ms=now_ms - SESSION_MS_MAX, expires_ms=now_ms),
    ):
        await _store(people, ended)
        answer = await ada.call("GET", "/v1/session")
        assert (answer.status, answer.json["code"]) == (401, "session_ended")
    await _store(people, replace(session, used_ms=now_ms - SESSION_IDLE_MS_MAX + 60_000))
    await ada.ok("GET", "/v1/session")
    assert (await people.session(_digest(ada)))[0].used_ms >= now_ms


async def test_another_tenant_is_another_cookie_and_the_one_before_ends(api, ada):
    await join(api.parts, "other", ada.id, "auditor")
    before = ada.token
    moved = (await ada.ok("POST", "/v1/session/tenant", {"tenant": "other"})).json
    assert (moved["tenant"], moved["role"], moved["tenants"]) == ("other", "auditor", ["acme", "other"])
    assert ada.token != before
    assert (await ada.call("GET", "/v1/session", cookie=f"{SESSION_COOKIE}={before}")).json["code"] == "session_ended"
    assert (await ada.call("PUT", "/v1/topics/x", {"name": "n"})).status == 403
    await ada.enter("")
    assert set((await ada.ok("GET", "/v1/session")).json["permissions"]) == set()
    assert (await ada.call("GET", "/v1/topics")).status == 403
    rows = [(row.action, row.actor.id) for row in await api.parts.control.documents.audit("other", 0, 1_000)][-2:]
    assert rows == [("session.enter", "prs_ada"), ("session.leave", "prs_ada")]


async def test_nobody_enters_a_tenant_of_others(api, ada):
    for tenant in ("other", "nowhere", "../acme"):
        answer = await ada.call("POST", "/v1/session/tenant", {"tenant": tenant})
        assert (answer.status, answer.json["field"]) == (404, "tenant")
    assert (await ada.ok("GET", "/v1/session")).json["tenant"] == "acme"


async def test_an_operator_enters_any_tenant_and_the_tenant_knows(api):
    root = await signed_in(api, "root", is_operator=True)
    assert (await root.ok("GET", "/v1/tenants")).status == 200
    await root.enter("acme")
    assert (await root.ok("GET", "/v1/session")).json["role"] == "operator"
    assert (await root.call("GET", "/v1/tenants")).status == 403
    await root.ok("GET", "/v1/topics")
    row = (await api.parts.control.documents.audit("acme", 0, 1_000))[-1]
    assert (row.action, row.actor.id, b'"role":"operator"' in row.after) == ("session.enter", "prs_root", True)
    assert SecurityEvent.TENANT_ENTERED in [event for event, _ in api.events]
    answer = await root.call("POST", "/v1/session/tenant", {"tenant": "nowhere"})
    assert answer.status == 404


async def test_a_role_counts_from_the_next_request_on(api, ada):
    await join(api.parts, "acme", (await signed_in(api, "bob")).id, "owner")
    await ada.ok("PUT", "/v1/topics/x", {"name": "n"})
    await join(api.parts, "acme", ada.id, "auditor")
    assert (await ada.call("PUT", "/v1/topics/x", {"name": "n"})).json["code"] == "forbidden"
    await ada.ok("GET", "/v1/topics")


async def test_who_is_no_member_any_more_has_nothing_left_in_the_tenant(api, ada):
    bob = await signed_in(api, "bob", "acme", "developer")
    await bob.ok("GET", "/v1/topics")
    await ada.ok("DELETE", f"/v1/members/{bob.id}")
    assert (await bob.call("GET", "/v1/topics")).status == 403
    assert set((await bob.ok("GET", "/v1/session")).json["tenants"]) == set()


async def test_sessions_are_listed_and_ended_by_their_owner_alone(api, ada):
    second = await again(api, ada.person)
    eve = await signed_in(api, "eve", "acme", "owner")
    listed = (await ada.ok("GET", "/v1/sessions")).json["data"]
    assert sorted(one["is_current"] for one in listed) == [False, True]
    other = next(one for one in listed if not one["is_current"])
    assert (other["agent"], other["address"]) == ("A browser", "192.0.2.9")
    assert (await eve.call("DELETE", f"/v1/sessions/{other['id']}")).status == 404
    await second.ok("GET", "/v1/session")
    await ada.ok("DELETE", f"/v1/sessions/{other['id']}")
    assert (await second.call("GET", "/v1/session")).json["code"] == "session_ended"
    await ada.ok("DELETE", "/v1/session")
    assert ada.token == ""
    actions = [row.action for row in await api.parts.control.documents.audit("acme", 0, 1_000)]
    assert actions.count("session.begin") == 3
    assert actions.count("session.end") == 2


async def test_a_person_has_a_bounded_number_of_sessions(api, ada):
    for _ in range(SESSIONS_PER_PERSON_MAX + 2):
        last = await again(api, ada.person)
    assert len((await last.ok("GET", "/v1/sessions")).json["data"]) == SESSIONS_PER_PERSON_MAX
    assert (await ada.call("GET", "/v1/session")).status == 401


def _digest(signed):
    from clarion.domain.person import token_digest

    return token_digest(signed.token)


async def _store(people, session):
    from clarion.ports.people import PeopleChange
    from tests.people import BY

    change = PeopleChange(
        "", "session.put", "session", session.session_id, 0, sessions=(session,), ended=(session.digest,)
    )
    await people.commit(BY, change)
