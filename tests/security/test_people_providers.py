"""Signing in at identity providers: what they say is believed only if it is theirs, for us, for this sign-in and now."""

import base64
import json
import shutil
import time
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from clarion.domain.cookies import FLOW_COOKIE, SESSION_COOKIE
from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpResponse
from clarion.identity.oidc.refusals import Refusal
from clarion.identity.rules.groups import Membership, aligned, groups_of, roles_of
from tests.browser import Browser
from tests.people import join
from tests.security.api import OPERATOR_KEY, Api

ISSUER = "https://id.example.com/realm"
SETTINGS = f"""
[[sign_in.providers]]
name = "corp"
title = "Corp ID"
issuer = "{ISSUER}"
client_id = "clarion"
client_secret = "a secret/with:signs"
roles = [{{ group = "writers", tenant = "acme", role = "content-editor" }}, {{ group = "admins", tenant = "acme", role = "owner" }},
  {{ group = "auditors", tenant = "other", role = "auditor" }}, {{ group = "lost", tenant = "nowhere", role = "owner" }}]
[[sign_in.providers]]
name = "second"
issuer = "https://second.example.com"
client_id = "clarion"
"""
METADATA = {
    "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/auth", "token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/keys",
}  # fmt: skip


class Corp:
    """An identity provider, as egress. Tests change what it answers."""

    def __init__(self):
        self.keys = [
            RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"}),
            ECKey.generate_key("P-256", {"kid": "ec-1"}),
        ]
        self.metadata = dict(METADATA)
        self.changed = {}
        self.header = {}
        self.key = self.keys[0]
        self.token = None
        self.asked = []
        self.status = 200
        self.nonces = {}

    async def send(self, request):
        self.asked.append(request)
        if self.status is None:
            raise EgressError("no route to host", sent=Sent.NO)
        path = request.url.removeprefix(ISSUER)
        if path == "/.well-known/openid-configuration":
            return self._json(self.metadata)
        if path == "/keys":
            return self._json({"keys": [key.as_dict(private=False) for key in self.keys]})
        assert (request.method, path) == ("POST", "/token")
        self.exchange = parse_qs(request.body.decode())
        return self._json(
            {"access_token": "x", "token_type": "Bearer", "id_token": self.token or self.sign(self.exchange["code"][0])}
        )

    def sign(self, code):
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": "clarion", "sub": "00u1", "iat": now, "exp": now + 300, "nonce": self.nonces.get(code),
            "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace", "groups": ["writers"],
        } | self.changed  # fmt: skip
        header = {"alg": "RS256", "kid": self.key.kid} | self.header
        return jwt.encode(
            header,
            {name: value for name, value in claims.items() if value is not None},
            self.key,
            algorithms=[header["alg"]],
        )

    def _json(self, body):
        return HttpResponse(self.status, {}, json.dumps(body).encode())

    async def close(self):
        pass


@pytest.fixture
def corp():
    return Corp()


@pytest.fixture
async def api(tmp_path, furnished, corp):
    data_dir, keys = furnished
    shutil.copytree(data_dir, tmp_path / "api")
    (tmp_path / "clarion.toml").write_text(SETTINGS)
    opened = Api(tmp_path / "api", settings_file=tmp_path / "clarion.toml", egress=corp)
    opened.keys = keys
    yield opened
    await opened.close()


@pytest.fixture
def browser(api):
    return Browser(api)


async def begin(browser, corp, query=""):
    """Go to the provider, and return what it is asked."""
    page = await browser.get(f"/sign-in/with/corp{query}")
    assert page.status == 303, page.html
    assert page.leads_to.startswith(f"{ISSUER}/auth?")
    asked = {name: value[0] for name, value in parse_qs(urlsplit(page.leads_to).query).items()}
    corp.nonces["code-1"] = asked["nonce"]
    return asked


async def come_back(browser, asked, **changed):
    query = {"code": "code-1", "state": asked["state"], "iss": ISSUER} | changed
    text = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
    return await browser.get(f"/sign-in/with/corp/callback?{text}")


async def sign_in(browser, corp, query="", **changed):
    return await come_back(browser, await begin(browser, corp, query), **changed)


async def reason(api):
    row = (await api.parts.control.documents.audit("", 0, 10_000))[-1]
    assert row.action == "session.refuse"
    return json.loads(row.after)["reason"]


async def test_a_sign_in_goes_by_code_with_pkce_and_a_group_becomes_a_role(api, browser, corp):
    assert "Sign in with Corp ID" in (await browser.get("/sign-in")).html
    asked = await begin(browser, corp)
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", "clarion", "openid email profile")
    assert asked["redirect_uri"] == "http://127.0.0.1:8400/sign-in/with/corp/callback"
    page = await come_back(browser, asked)
    assert (page.status, page.leads_to) == (303, "/account"), page.html
    verifier = corp.exchange["code_verifier"][0]
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (asked["code_challenge_method"], asked["code_challenge"]) == ("S256", challenge)
    basic = base64.b64decode(corp.asked[-2].headers["authorization"].partition(" ")[2]).decode()
    assert basic == "clarion:a%20secret%2Fwith%3Asigns"
    session = (await browser.json("GET", "/v1/session")).json
    assert (session["tenant"], session["role"]) == ("acme", "content-editor")
    assert (session["person"]["email"], session["person"]["name"]) == ("ada@example.com", "Ada Lovelace")
    assert FLOW_COOKIE not in browser.cookies
    row = (await api.parts.control.documents.audit("acme", 0, 10_000))[-2]
    assert (row.action, row.after, row.reason) == (
        "member.put",
        b'{"role":"content-editor","provider":"corp"}',
        "groups of corp",
    )


async def test_groups_are_followed_at_each_sign_in_and_what_people_gave_stays(api, browser, corp):
    await sign_in(browser, corp)
    person_id = (await browser.json("GET", "/v1/session")).json["person"]["id"]
    await join(api.parts, "other", person_id, "support")
    corp.changed = {"groups": ["auditors", "lost"]}
    again = Browser(api)
    await sign_in(again, corp)
    session = (await again.json("GET", "/v1/session")).json
    assert (session["tenants"], session["tenant"], session["role"]) == (["other"], "other", "support")
    corp.changed = {"groups": ["admins", "writers"]}
    await sign_in(again, corp)
    await again.fill("/tenant", tenant="acme")
    assert (await again.json("GET", "/v1/session")).json["role"] == "content-editor"
    corp.changed = {"groups": "admins"}
    await sign_in(again, corp)
    await again.fill("/tenant", tenant="acme")
    assert (await again.json("GET", "/v1/session")).json["role"] == "owner"
    corp.changed = {"groups": []}
    await sign_in(again, corp)
    assert (await again.json("GET", "/v1/session")).json["tenants"] == ["acme", "other"]


async def test_rotated_keys_count_at_once_and_made_up_ones_cost_the_provider_little(api, browser, corp):
    await sign_in(browser, corp)
    corp.keys = [ECKey.generate_key("P-256", {"kid": "ec-2", "use": "sig"})]
    corp.key, corp.header = corp.keys[0], {"alg": "ES256"}
    assert (await sign_in(Browser(api), corp)).status == 303
    corp.key = ECKey.generate_key("P-256", {"kid": "made-up"})
    asked_before = sum(one.url.endswith("/keys") for one in corp.asked)
    for _ in range(3):
        assert (await sign_in(Browser(api), corp)).status == 401
    assert sum(one.url.endswith("/keys") for one in corp.asked) == asked_before


OTHER = RSAKey.generate_key(2048, {"kid": "rsa-1"})
FORGED = {
    "another key of the same name": ({"key": OTHER}, Refusal.SIGNATURE),
    "a key with a secret that everybody knows": (
        {"key": OctKey.import_key(b"x" * 64, {"kid": "rsa-1"}), "header": {"alg": "HS256"}},
        Refusal.ALGORITHM,
    ),
    "another audience": ({"changed": {"aud": "another"}}, Refusal.AUDIENCE),
    "several audiences without a party": ({"changed": {"aud": ["clarion", "another"]}}, Refusal.AUDIENCE),
    "another party": ({"changed": {"aud": ["clarion", "another"], "azp": "another"}}, Refusal.AUDIENCE),
    "no audience": ({"changed": {"aud": None}}, Refusal.AUDIENCE),
    "another issuer": ({"changed": {"iss": "https://evil.example"}}, Refusal.ISSUER),
    "a slash more": ({"changed": {"iss": f"{ISSUER}/"}}, Refusal.ISSUER),
    "over": ({"changed": {"exp": int(time.time()) - 120}}, Refusal.EXPIRED),
    "of the future": ({"changed": {"iat": int(time.time()) + 3_600}}, Refusal.EXPIRED),
    "without an end": ({"changed": {"exp": None}}, Refusal.CLAIMS),
    "an end that is no time": ({"changed": {"exp": "tomorrow"}}, Refusal.CLAIMS),
    "no nonce": ({"changed": {"nonce": None}}, Refusal.NONCE),
    "another nonce": ({"changed": {"nonce": "n" * 43}}, Refusal.NONCE),
    "no subject": ({"changed": {"sub": ""}}, Refusal.CLAIMS),
    "a subject that is no text": ({"changed": {"sub": 7}}, Refusal.CLAIMS),
    "a very long subject": ({"changed": {"sub": "x" * 256}}, Refusal.CLAIMS),
    "an address that is not verified": ({"changed": {"email_verified": False}}, Refusal.CLAIMS),
    "no address": ({"changed": {"email": None}}, Refusal.CLAIMS),
    "no group that counts": ({"changed": {"groups": ["x"]}}, Refusal.UNKNOWN),
    "no text": ({"token": "x"}, Refusal.MALFORMED),
    "not ASCII": ({"token": "é.é.é"}, Refusal.MALFORMED),
    "very long": ({"token": "a." + "x" * 70_000 + ".b"}, Refusal.MALFORMED),
}


@pytest.mark.parametrize("case", FORGED)
async def test_an_id_token_that_is_not_to_be_believed_is_refused(api, browser, corp, case):
    changed, code = FORGED[case]
    for name, value in changed.items():
        setattr(corp, name, value)
    page = await sign_in(browser, corp)
    assert (page.status, await reason(api)) == (401, code)
    assert SESSION_COOKIE not in browser.cookies
    assert await api.parts.control.people.by_email("ada@example.com") is None


async def test_a_token_without_a_signature_is_refused(api, browser, corp):
    asked = await begin(browser, corp)
    claims = {
        "iss": ISSUER,
        "aud": "clarion",
        "sub": "00u1",
        "exp": time.time() + 60,
        "iat": time.time(),
        "nonce": asked["nonce"],
    }
    head, body = (
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in ({"alg": "none"}, claims)
    )
    for token in (f"{head}.{body}.", f"{head}.{body}.x"):
        corp.token = token
        assert (await sign_in(browser, corp)).status == 401
        assert await reason(api) == Refusal.ALGORITHM


async def test_a_token_is_not_used_for_another_sign_in(api, browser, corp):
    await begin(browser, corp)
    corp.token = corp.sign("code-1")
    assert (await sign_in(browser, corp)).status == 401
    assert await reason(api) == Refusal.NONCE


BACK = {
    "no state": ({"state": None}, Refusal.STATE), "another state": ({"state": "s" * 43}, Refusal.STATE),
    "no code": ({"code": None}, Refusal.PROVIDER), "a refusal": ({"error": "access_denied"}, Refusal.PROVIDER),
    "another issuer": ({"iss": "https://second.example.com"}, Refusal.ISSUER), "a very long code": ({"code": "x" * 5_000}, Refusal.PROVIDER),
}  # fmt: skip


@pytest.mark.parametrize("case", BACK)
async def test_an_answer_that_does_not_belong_to_the_sign_in_is_refused(api, browser, corp, case):
    changed, code = BACK[case]
    page = await sign_in(browser, corp, **changed)
    assert (page.status, await reason(api)) == (401, code)
    assert not any(one.url.endswith("/token") for one in corp.asked)


async def test_an_answer_counts_once_and_in_the_browser_that_began(api, browser, corp):
    asked = await begin(browser, corp)
    other = Browser(api)
    assert (await come_back(other, asked)).status == 401
    await begin(other, corp)
    assert (await come_back(other, asked)).status == 401
    corp.nonces["code-1"] = asked["nonce"]
    assert (await come_back(browser, asked)).status == 303
    assert (await come_back(browser, asked)).status == 401
    assert await reason(api) == Refusal.STATE
    stale = await begin(browser, corp)
    page = await browser.get(f"/sign-in/with/second/callback?code=code-1&state={stale['state']}")
    assert page.status == 401


async def test_a_sign_in_leads_to_a_path_of_ours_alone(browser, corp):
    assert (await sign_in(browser, corp, "?next=/v1/session")).leads_to == "/v1/session"
    for unsafe in ("https://evil.example", "//evil.example", "/%5Cevil.example"):
        page = await browser.get(f"/sign-in/with/corp?next={unsafe}")
        assert (page.status, page.leads_to) == (422, "")


async def test_an_address_is_not_enough_to_get_into_an_account(api, browser, corp):
    made = (await api.ok("POST", "/v1/tenants/acme/invitations", {"email": "ada@example.com"}, key=OPERATOR_KEY)).json
    path = made["url"].removeprefix("http://127.0.0.1:8400")
    local = Browser(api)
    await local.fill(path, name="Ada", password="a long night in Wuppertal")
    page = await sign_in(browser, corp)
    assert (page.status, await reason(api)) == (401, Refusal.TAKEN)
    assert (await local.get("/account")).html.count("Connect with") == 2
    page = await sign_in(local, corp, "?connect=1")
    assert page.leads_to == "/account", page.html
    assert (await sign_in(browser, corp)).status == 303
    assert (await browser.json("GET", "/v1/session")).json["role"] == "owner"
    eve = Browser(api)
    assert (await eve.get("/sign-in/with/corp?connect=1")).leads_to == "/sign-in?next=/account"


async def test_an_invitation_is_accepted_at_a_provider(api, browser, corp):
    corp.changed = {"groups": [], "email": "ada@corp.example", "email_verified": False}
    made = (
        await api.ok(
            "POST", "/v1/tenants/other/invitations", {"email": "ada@example.com", "role": "support"}, key=OPERATOR_KEY
        )
    ).json
    token = made["url"].rpartition("/")[2]
    assert f"/sign-in/with/corp?invitation={token}" in (await browser.get(f"/invitations/{token}")).html
    assert (await sign_in(browser, corp, f"?invitation={token}")).leads_to == "/account"
    session = (await browser.json("GET", "/v1/session")).json
    assert (session["tenant"], session["role"], session["person"]["email"]) == ("other", "support", "ada@example.com")
    again = Browser(api)
    assert (await sign_in(again, corp, f"?invitation={token}")).status == 303
    corp.changed = {"groups": [], "sub": "00u2"}
    assert (await sign_in(Browser(api), corp, f"?invitation={token}")).status == 401


WRONG = {
    "another issuer": ({"metadata": METADATA | {"issuer": "https://evil.example"}}, 401),
    "an address without TLS": ({"metadata": METADATA | {"token_endpoint": "http://id.example.com/token"}}, 401),
    "nothing of itself": ({"metadata": []}, 401), "an error": ({"status": 500}, 401), "not found": ({"status": 404}, 401),
    "no answer": ({"status": None}, 401),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_a_provider_that_cannot_be_used_is_said_to_be_so(api, browser, corp, case):
    for name, value in WRONG[case][0].items():
        setattr(corp, name, value)
    page = await browser.get("/sign-in/with/corp")
    assert (page.status, page.leads_to) == (WRONG[case][1], "")
    assert any("identity_provider_failed" in line for line in api.failures)
    assert "a secret" not in str(api.failures)
    assert (await browser.get("/sign-in/with/nobody")).status == 404


GROUPS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["owner", "auditor"]))


@given(
    GROUPS,
    st.dictionaries(
        st.sampled_from("abc"),
        st.builds(Membership, st.sampled_from(["owner", "auditor"]), st.sampled_from(["", "corp", "second"])),
    ),
)
def test_only_what_a_provider_gave_follows_its_groups(wanted, now):
    changes = aligned("corp", wanted, now)
    for tenant, one in now.items():
        if one.provider != "corp":
            assert tenant not in changes.joins and tenant not in changes.leaves
    after = {tenant: one.role for tenant, one in now.items() if tenant not in changes.leaves} | changes.joins
    for tenant, role in wanted.items():
        assert after[tenant] == role or now[tenant].provider != "corp"
    assert all(tenant in wanted for tenant, one in now.items() if one.provider == "corp" and tenant in after)


@given(
    st.dictionaries(st.text(max_size=6), st.recursive(st.none() | st.text() | st.integers(), st.lists)),
    st.text(max_size=6),
)
def test_groups_are_texts(claims, name):
    assert all(isinstance(one, str) for one in groups_of(claims, name))
    assert roles_of(groups_of(claims, name), ()) == {}
