"""Local accounts: invitations, passwords, codes and resets, on the pages that people use, and what is refused there."""

import asyncio
import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.cookies import SESSION_COOKIE, STEP_COOKIE
from clarion.domain.errors import InvalidField
from clarion.domain.limits_people import ACCOUNT_ATTEMPTS_FREE, INVITATION_MS_MAX, RECOVERY_CODES
from clarion.domain.person import token_digest
from clarion.domain.security_events import SecurityEvent
from clarion.identity.people import passwords
from clarion.identity.people.passwords import recovery_digest
from clarion.identity.rules.passwords import check_password
from clarion.identity.rules.return_path import check_return
from clarion.identity.rules.totp import code_at, matching_step, step_of
from tests.browser import Browser
from tests.people import signed_in
from tests.security.api import OPERATOR_KEY

PASSWORD = "a long night in Wuppertal"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Hash passwords with less memory: what it takes decides nothing here."""
    monkeypatch.setattr(passwords, "ARGON2_MEMORY_KIB", 64)


@pytest.fixture
def browser(api):
    return Browser(api)


async def link_for(api, email="ada@example.com", tenant="acme", role="owner"):
    """Return the path of an invitation, as the operator's command makes it."""
    path = f"/v1/tenants/{tenant}/invitations" if tenant else "/v1/operators/invitations"
    body = {"email": email} | ({"role": role} if tenant else {})
    made = (await api.ok("POST", path, body, key=OPERATOR_KEY)).json
    assert made["url"].startswith("http://127.0.0.1:8400/invitations/")
    return made["url"].removeprefix("http://127.0.0.1:8400")


async def joined(api, email="ada@example.com", tenant="acme", role="owner", address="192.0.2.50"):
    """Return the browser of somebody who has accepted an invitation."""
    browser = Browser(api, address)
    page = await browser.fill(await link_for(api, email, tenant, role), name=email.partition("@")[0], password=PASSWORD)
    assert (page.status, page.leads_to) == (303, "/account"), page.html
    return browser


async def sign_in(browser, email="ada@example.com", password=PASSWORD, **more):
    return await browser.fill("/sign-in", email=email, password=password, **more)


async def with_authenticator(api, browser):
    """Set up an authenticator and return its secret and the recovery codes."""
    page = await browser.get("/account/authenticator")
    text = re.search(r"<code>([A-Z2-7]+)</code>", page.html)[1]
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    code = code_at(secret, step_of(api.parts.clock.now_ms()))
    done = await browser.send("/account/authenticator", page.forms["/account/authenticator"] | {"code": code})
    return secret, re.findall(r"<code>([a-z2-7-]+)</code>", done.html)


async def test_a_first_owner_joins_by_a_link_signs_out_and_in_again(api, browser):
    ada = await joined(api)
    session = (await ada.json("GET", "/v1/session")).json
    assert (session["tenant"], session["role"], session["person"]["name"]) == ("acme", "owner", "ada")
    out = await ada.fill("/account", "/sign-out")
    assert out.leads_to == "/sign-in" and SESSION_COOKIE not in ada.cookies
    again = await sign_in(browser, "ADA@example.com")
    assert (again.status, again.leads_to) == (303, "/account")
    assert "You are in acme as owner." in (await browser.get("/account")).html
    rows = [(row.action, row.actor.kind.value) for row in await api.parts.control.documents.audit("acme", 0, 1_000)]
    assert rows[-5:] == [
        ("invitation.put", "operator"), ("member.put", "person"), ("session.begin", "person"), ("session.end", "person"),
        ("session.begin", "person"),
    ]  # fmt: skip


async def test_an_invitation_works_once_for_a_time_and_unless_it_is_revoked(api, browser):
    path = await link_for(api)
    assert "Join acme" in (await browser.get(path)).html
    await browser.fill(path, name="Ada", password=PASSWORD)
    for again in (await browser.get(path), await browser.send(path, {"name": "Eve", "password": PASSWORD})):
        assert again.status in (403, 404)
    owner = await signed_in(api, "owner", "acme", "owner")
    made = (await owner.ok("POST", "/v1/invitations", {"email": "bob@example.com", "role": "auditor"})).json
    assert [one["id"] for one in (await owner.ok("GET", "/v1/invitations")).json["data"]] == [made["id"]]
    await owner.ok("DELETE", f"/v1/invitations/{made['id']}")
    assert (await owner.call("DELETE", f"/v1/invitations/{made['id']}")).status == 404
    assert (await Browser(api).get(made["url"].removeprefix("http://127.0.0.1:8400"))).status == 404
    old = await link_for(api, "old@example.com")
    people = api.parts.control.people
    assert (
        await people.link(token_digest(old.rpartition("/")[2]))
    ).expires_ms <= api.parts.clock.now_ms() + INVITATION_MS_MAX
    await people.forget(api.parts.clock.now_ms() + INVITATION_MS_MAX + 1)
    assert (await Browser(api).get(old)).status == 404


async def test_of_two_who_use_an_invitation_at_once_one_joins(api):
    path = await link_for(api)
    pages = await asyncio.gather(*(Browser(api).fill(path, name=name, password=PASSWORD) for name in ("a", "b", "c")))
    assert sorted(page.status for page in pages)[0] == 303
    assert [page.status for page in pages].count(303) == 1
    assert len((await api.ok("GET", "/v1/tenants", key=OPERATOR_KEY)).json["data"]) == 2


async def test_who_has_an_account_accepts_when_signed_in_with_it(api, browser):
    ada = await joined(api)
    path = await link_for(api, tenant="other", role="auditor")
    page = await browser.get(path)
    assert "Sign in with it to join" in page.html and not page.forms
    assert (await browser.send(path, {"name": "Eve", "password": PASSWORD})).status == 403
    eve = await joined(api, "eve@example.com", "other", "developer")
    assert "Sign in with it to join" in (await eve.get(path)).html
    before = ada.cookies[SESSION_COOKIE]
    done = await ada.fill(path)
    assert (done.status, done.leads_to) == (303, "/account")
    assert ada.cookies[SESSION_COOKIE] != before
    assert (await ada.json("GET", "/v1/session")).json["tenants"] == ["acme", "other"]
    again = Browser(api)
    assert (await sign_in(again)).leads_to == "/tenant"
    chosen = await again.get("/tenant")
    assert (await again.send("/tenant", {**chosen.forms["/tenant"], "tenant": "other"})).leads_to == "/account"
    assert (await again.json("GET", "/v1/session")).json["role"] == "auditor"
    assert (await again.send("/tenant", {**chosen.forms["/tenant"], "tenant": "nowhere"})).status in (403, 404)


async def test_nobody_invites_to_a_role_beyond_their_own(api):
    owner = await signed_in(api, "owner", "acme", "owner")
    await owner.ok("PUT", "/v1/roles/inviter", {"permissions": ["members:write", "members:read"]})
    inviter = await signed_in(api, "inviter", "acme", "inviter")
    answer = await inviter.call("POST", "/v1/invitations", {"email": "x@example.com", "role": "owner"})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (403, "beyond_own_permissions", "role")
    for body, field in (({"email": "x"}, "email"), ({"email": "x@example.com", "role": "nothing"}, "role")):
        answer = await owner.call("POST", "/v1/invitations", body)
        assert (answer.status, answer.json["field"]) == (422, field)
    answer = await owner.call("POST", "/v1/invitations", {"email": "inviter-person@example.com"})
    assert answer.status == 201
    answer = await owner.call("POST", "/v1/invitations", {"email": "INVITER@example.com"})
    assert (answer.status, answer.json["code"]) == (409, "member_already")


async def test_an_operator_is_invited_signs_in_and_ends(api):
    root = await joined(api, "root@example.com", "")
    assert (await root.json("GET", "/v1/tenants")).status == 200
    listed = (await api.ok("GET", "/v1/operators", key=OPERATOR_KEY)).json["data"]
    assert [one["email"] for one in listed] == ["root@example.com"]
    assert (await root.fill("/tenant", tenant="acme")).leads_to == "/account"
    await api.ok("DELETE", f"/v1/operators/{listed[0]['id']}", key=OPERATOR_KEY)
    assert (await root.json("GET", "/v1/session")).status == 401
    assert (await sign_in(root, "root@example.com")).status == 303
    assert (await root.json("GET", "/v1/tenants")).status == 403


WRONG = "The address or the password is wrong."


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(api, browser):
    await joined(api)
    for email, password in (
        ("ada@example.com", "x" * 20),
        ("nobody@example.com", PASSWORD),
        ("", ""),
        ("ada@example.com", ""),
    ):
        page = await sign_in(browser, email, password)
        assert (page.status, page.error) == (401, WRONG)
    assert SESSION_COOKIE not in browser.cookies
    rows = [row for row in await api.parts.control.documents.audit("", 0, 1_000) if row.action == "session.refuse"]
    assert [row.actor.kind.value for row in rows] == ["person", "anyone", "anyone", "person"]
    assert b"ada@" not in rows[0].after
    assert [fields["reason"] for event, fields in api.events if event is SecurityEvent.SIGN_IN_REFUSED] == [
        "credentials_wrong"
    ] * 4


async def test_wrong_passwords_are_delayed_by_account_and_by_address_and_nobody_is_locked_out(api):
    await joined(api)
    for number in range(ACCOUNT_ATTEMPTS_FREE + 1):
        page = await sign_in(Browser(api, f"198.51.100.{number}"), password="wrong wrong wrong")
    page = await sign_in(Browser(api, "203.0.113.9"))
    assert (page.status, page.headers["retry-after"]) == (429, "1")
    assert "wait a moment" in page.error
    assert SecurityEvent.SIGN_IN_DELAYED in [event for event, _ in api.events]
    await asyncio.sleep(1.05)
    assert (await sign_in(Browser(api, "203.0.113.9"))).status == 303
    assert (await sign_in(Browser(api, "203.0.113.9"))).status == 303


async def test_many_attempts_at_the_same_moment_are_not_all_free(api):
    await joined(api)
    pages = await asyncio.gather(
        *(sign_in(Browser(api, "198.51.100.1"), password=f"wrong number {n}") for n in range(15))
    )
    assert sum(page.status == 401 for page in pages) <= ACCOUNT_ATTEMPTS_FREE + 1
    assert all(page.status in (401, 429, 503) for page in pages)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_a_form_of_another_site_is_refused(api, browser, origin):
    ada = await joined(api)
    for one, path, fields in (
        (browser, "/sign-in", {"email": "ada@example.com", "password": PASSWORD}),
        (browser, await link_for(api, "b@example.com"), {"name": "b", "password": PASSWORD}),
        (ada, "/sign-out", (await ada.get("/account")).forms["/sign-out"]),
        (ada, "/tenant", (await ada.get("/tenant")).forms["/tenant"]),
    ):
        page = await one.send(path, fields, origin=origin)
        assert page.status == 403, path
    assert (await ada.json("GET", "/v1/session")).status == 200
    assert SESSION_COOKIE not in browser.cookies


async def test_a_form_without_the_token_of_its_session_is_refused(api):
    ada = await joined(api)
    for path in (
        "/sign-out",
        "/tenant",
        "/account/password",
        "/account/sessions",
        "/account/authenticator",
        "/account/authenticator/remove",
    ):
        for csrf in ("", "x" * 32):
            assert (await ada.send(path, {"csrf": csrf})).status == 403, path
    assert (await ada.json("GET", "/v1/session")).status == 200


async def test_the_cookie_before_signing_in_is_not_the_one_after(api, browser):
    await joined(api)
    browser.cookies[SESSION_COOKIE] = fixed = "cls_" + "f" * 43
    await browser.send("/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    assert browser.cookies[SESSION_COOKIE] not in ("", fixed)
    first = browser.cookies[SESSION_COOKIE]
    await browser.send("/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    assert browser.cookies[SESSION_COOKIE] != first


async def test_a_sign_in_leads_to_a_path_of_ours_alone(api, browser):
    await joined(api)
    page = await sign_in(browser, next="/invitations/abc")
    assert page.leads_to == "/invitations/abc"
    for unsafe in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/%0d%0aset-cookie:a",
        "javascript:alert(1)",
        "/a//b",
    ):
        if unsafe.startswith("/%0d"):
            continue
        page = await browser.send("/sign-in", {"email": "ada@example.com", "password": PASSWORD, "next": unsafe})
        assert (page.status, page.leads_to) == (422, ""), unsafe


@given(st.text(max_size=40))
def test_what_a_path_to_lead_to_can_be(path):
    try:
        taken = check_return(path)
    except InvalidField:
        return
    assert taken == path
    assert path == "" or (path[0] == "/" and path[1:2] not in ("/", "\\") and path.isascii() and path.isprintable())


async def test_an_authenticator_is_asked_for_and_its_code_counts_once(api, browser):
    ada = await joined(api)
    other = Browser(api)
    await sign_in(other)
    secret, codes = await with_authenticator(api, ada)
    assert len(codes) == len(set(codes)) == RECOVERY_CODES
    assert (await ada.json("GET", "/v1/session")).status == 200
    assert (await other.json("GET", "/v1/session")).status == 401
    page = await sign_in(browser)
    assert "One more step" in page.html and SESSION_COOKIE not in browser.cookies
    assert (await browser.send("/sign-in/code", {"code": "000000"})).error == "The code is wrong."
    person = await api.parts.control.people.by_email("ada@example.com")
    used = code_at(secret, person.totp_step)
    assert (await browser.send("/sign-in/code", {"code": used})).status == 401
    later = code_at(secret, person.totp_step + 1)
    assert (await browser.send("/sign-in/code", {"code": f"{later[:3]} {later[3:]}"})).status == 303
    assert STEP_COOKIE not in browser.cookies
    again = Browser(api)
    await sign_in(again)
    assert (await again.send("/sign-in/code", {"code": later})).status == 401


async def test_a_recovery_code_lets_in_once(api, browser):
    ada = await joined(api)
    _, codes = await with_authenticator(api, ada)
    await sign_in(browser)
    assert (await browser.send("/sign-in/code", {"code": codes[3].upper().replace("-", " ")})).status == 303
    again = Browser(api)
    await sign_in(again)
    assert (await again.send("/sign-in/code", {"code": codes[3]})).status == 401
    person = await api.parts.control.people.by_email("ada@example.com")
    assert len(person.recovery) == RECOVERY_CODES - 1 and recovery_digest(codes[3]) not in person.recovery


async def test_of_two_who_use_one_code_at_once_one_gets_in(api):
    ada = await joined(api)
    _, codes = await with_authenticator(api, ada)
    browsers = [Browser(api) for _ in range(3)]
    for one in browsers:
        await sign_in(one)
    pages = await asyncio.gather(*(one.send("/sign-in/code", {"code": codes[0]}) for one in browsers))
    assert sorted(page.status for page in pages) == [303, 401, 401]


async def test_a_code_needs_the_password_before_it_and_in_time(api, browser):
    ada = await joined(api)
    secret, _ = await with_authenticator(api, ada)
    later = code_at(secret, step_of(api.parts.clock.now_ms()) + 1)
    for step in ("", "x" * 60, "é"):
        browser.cookies[STEP_COOKIE] = step.encode("ascii", "ignore").decode()
        page = await browser.send("/sign-in/code", {"code": later})
        assert page.status == 401 and "took too long" in page.error


async def test_a_password_is_changed_with_the_present_one_and_ends_other_sessions(api, browser):
    ada = await joined(api)
    await sign_in(browser)
    page = await ada.fill("/account", "/account/password", current="wrong wrong wrong", password="another long night")
    assert (page.status, page.error) == (401, WRONG)
    page = await ada.fill("/account", "/account/password", current=PASSWORD, password="short")
    assert page.status == 422
    assert (
        await ada.fill("/account", "/account/password", current=PASSWORD, password="another long night")
    ).status == 303
    assert (await ada.json("GET", "/v1/session")).status == 200
    assert (await browser.json("GET", "/v1/session")).status == 401
    assert (await sign_in(browser)).status == 401
    assert (await sign_in(browser, password="another long night")).status == 303


async def test_a_reset_sets_another_password_once_and_keeps_the_authenticator(api, browser):
    ada = await joined(api)
    await with_authenticator(api, ada)
    assert (
        await api.call("POST", "/v1/operators/resets", {"email": "nobody@example.com"}, key=OPERATOR_KEY)
    ).status == 404
    made = (await api.ok("POST", "/v1/operators/resets", {"email": "ada@example.com"}, key=OPERATOR_KEY)).json
    path = made["url"].removeprefix("http://127.0.0.1:8400")
    assert (await browser.fill(path, password="password1234")).status == 422
    assert (await browser.fill(path, password="another long night")).leads_to == "/sign-in"
    assert (await ada.json("GET", "/v1/session")).status == 401
    assert (await browser.get(path)).status == 404
    assert "One more step" in (await sign_in(browser, password="another long night")).html
    owner = await signed_in(api, "owner", "acme", "owner")
    assert (await owner.call("POST", "/v1/operators/resets", {"email": "ada@example.com"})).status == 403


async def test_an_authenticator_is_removed_with_the_password(api, browser):
    ada = await joined(api)
    await with_authenticator(api, ada)
    assert (await ada.fill("/account", "/account/authenticator/remove", current="wrong wrong wrong")).status == 401
    assert (await ada.fill("/account", "/account/authenticator/remove", current=PASSWORD)).status == 303
    assert (await sign_in(browser)).status == 303


async def test_sessions_are_ended_on_the_page_of_the_account(api, browser):
    ada = await joined(api)
    await sign_in(browser)
    token = (await ada.get("/account")).forms["/account/sessions"]["csrf"]
    own = (await ada.json("GET", "/v1/sessions")).json["data"]
    other = next(one["id"] for one in own if not one["is_current"])
    assert (await ada.send("/account/sessions", {"csrf": token, "session": other})).leads_to == "/account"
    assert (await browser.get("/account")).leads_to == "/sign-in?next=/account"


async def test_pages_have_a_strict_policy_and_no_script(api, browser):
    ada = await joined(api)
    found = [await browser.get("/sign-in"), await browser.get(await link_for(api, "b@example.com"))]
    found += [await ada.get(path) for path in ("/account", "/tenant", "/account/authenticator")]
    for page in found:
        policy = page.headers["content-security-policy"]
        assert (
            "default-src 'none'; style-src 'sha256-" in policy and "unsafe" not in policy and "script-src" not in policy
        )
        assert page.headers["cache-control"] == "no-store"
        assert "<script" not in page.html and " style=" not in page.html and "http://" not in page.html
        assert page.html.count("<label ") == len(re.findall(r'<input id="', page.html))


async def test_what_people_type_is_text_on_pages(api):
    browser = Browser(api)
    nasty = "<script>alert(1)</script>\"'"
    page = await browser.fill(await link_for(api), name=nasty, password=PASSWORD)
    assert page.status == 303
    assert "<script>" not in (await browser.get("/account")).html
    assert "<script>" not in (await sign_in(Browser(api), nasty, "x")).html


FORMS = {
    "no form": (b"{}", "application/json"), "not ASCII": (b"email=\xff", "application/x-www-form-urlencoded"),
    "a field twice": (b"email=a&email=b", "application/x-www-form-urlencoded"),
    "many fields": (b"&".join(b"f%d=" % n for n in range(50)), "application/x-www-form-urlencoded"),
    "text that is not UTF-8": (b"email=%ff", "application/x-www-form-urlencoded"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORMS)
async def test_a_form_that_is_none_is_refused(api, case):
    raw, kind = FORMS[case]
    headers = [(b"origin", b"http://127.0.0.1:8400"), (b"content-type", kind.encode())]
    assert (await api.call("POST", "/sign-in", raw, key=None, headers=headers)).status == 400


GUESSED = [
    "passwordpassword",
    "Password1234!",
    "123456789012",
    "aaaaaaaaaaaaaaaa",
    "qwertyqwerty12",
    "ada@example.com",
    "abcabcabcabc",
    "Clarion-2026!",
]


@pytest.mark.parametrize("password", [*GUESSED, "short", "x" * 201])
def test_a_password_that_others_would_guess_is_refused(password):
    with pytest.raises(InvalidField):
        check_password(password, "ada@example.com")


@pytest.mark.parametrize(
    "password",
    ["correct horse battery stable", "Mein Hund frisst gern Äpfel", "x7#kQ9!vLmZ2", "🐙 eight arms of an octopus"],
)
def test_any_other_password_is_taken_as_it_is(password):
    assert check_password(password, "ada@example.com") == password


def test_codes_are_those_of_the_standard():
    """RFC 6238, appendix B, of which our codes are the last six digits."""
    secret = b"12345678901234567890"
    for at_s, code in ((59, "94287082"), (1111111109, "07081804"), (1234567890, "89005924"), (20000000000, "65353130")):
        assert code_at(secret, step_of(at_s * 1000)) == code[-6:]


@given(st.binary(min_size=20, max_size=20), st.integers(1_000, 2**33), st.integers(-3, 3))
def test_a_code_counts_around_its_step_and_not_again(secret, at_s, off):
    now = step_of(at_s * 1000)
    code = code_at(secret, max(0, now + off))
    found = matching_step(secret, code, at_s * 1000, -1)
    if abs(off) <= 1:
        assert found is not None and abs(found - now) <= 1
        assert matching_step(secret, code, at_s * 1000, now + 1) is None


async def test_an_invitation_that_a_crash_left_half_accepted_is_accepted_by_the_same_link(api, monkeypatch):
    path, people = await link_for(api), type(api.parts.control.people)
    commit = people.commit

    async def dies(self, author, change, reason=""):
        if change.action == "session.begin":
            raise OSError("the process ends here")
        return await commit(self, author, change, reason)

    monkeypatch.setattr(people, "commit", dies)
    assert (await Browser(api).fill(path, name="Ada", password=PASSWORD)).status == 500
    monkeypatch.setattr(people, "commit", commit)
    browser = Browser(api)
    assert (await browser.fill(path, name="Ada", password=PASSWORD)).status == 303
    assert (await browser.json("GET", "/v1/session")).json["role"] == "owner"
    owner = await signed_in(api, "owner", "acme", "owner")
    assert len((await owner.ok("GET", "/v1/members")).json["data"]) == 2
