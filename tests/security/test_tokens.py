"""User tokens: one algorithm, one header, one tenant, one use."""

import base64
import hashlib
import hmac
import json
import time

import pytest

from clarion.domain.errors import Unauthorized
from clarion.domain.permissions import OF_USER, SCOPES
from clarion.outbound.secrets.master_key import FileVault
from tests.callers import opens
from tests.security.api import OPERATOR_KEY

NOW_S = int(time.time())
CLAIMS = {
    "iss": "clarion",
    "aud": "clarion-user",
    "sub": "ada",
    "tenant": "acme",
    "iat": NOW_S - 10,
    "exp": NOW_S + 600,
}
HEADER = {"typ": "JWT", "alg": "HS256"}


def encoded(value) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(key: bytes, header=HEADER, claims=CLAIMS, digest=hashlib.sha256) -> str:
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), digest))}"


@pytest.fixture
def key(api):
    return api.parts.vault.derive("user-tokens/acme")


async def test_the_token_we_sign_is_the_one_the_others_are_held_against(api, key):
    for token in (api.tokens.issue("acme", "ada", int(time.time()), 60), signed(key)):
        await api.ok("GET", "/v1/inbox", key=token)


HEADERS = {
    "none": {"typ": "JWT", "alg": "none"},
    "None": {"typ": "JWT", "alg": "None"},
    "RS256": {"typ": "JWT", "alg": "RS256"},
    "HS512": {"typ": "JWT", "alg": "HS512"},
    "a list": {"typ": "JWT", "alg": ["HS256"]},
    "crit number": {"typ": "JWT", "alg": "HS256", "crit": 5},
    "crit b64": {"typ": "JWT", "alg": "HS256", "crit": ["b64"], "b64": False},
    "jku": {"typ": "JWT", "alg": "HS256", "jku": "https://evil.example/keys"},
    "jwk": {"typ": "JWT", "alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}},
    "x5u": {"typ": "JWT", "alg": "HS256", "x5u": "https://evil.example/cert"},
    "kid path": {"typ": "JWT", "alg": "HS256", "kid": "../../../dev/null"},
    "kid SQL": {"typ": "JWT", "alg": "HS256", "kid": "' UNION SELECT 'x"},
    "zip": {"typ": "JWT", "alg": "HS256", "zip": "DEF"},
    "no alg": {"typ": "JWT"},
    "not an object": [],
    "no JSON": b"\xff",
    "nested": b"[" * 1_000,
}


async def codes(api, credentials):
    """Return the code with which each of some credentials is refused, by their names."""
    answers = {name: await api.call("GET", "/v1/inbox", key=one) for name, one in credentials.items()}
    assert {answer.status for answer in answers.values()} == {401}
    return {name: answer.json["code"] for name, answer in answers.items()}


async def test_another_header_is_refused_even_when_signed_with_the_right_key(api, key):
    tokens = {name: signed(key, header=header) for name, header in HEADERS.items()}
    unsigned = {name: f"{encoded(header)}.{encoded(CLAIMS)}." for name, header in HEADERS.items()}
    for attempts in (tokens, unsigned):
        assert await codes(api, attempts) == dict.fromkeys(HEADERS, "token_header_refused")
    assert not [line for line in api.failures if line.startswith("error")]


MALFORMED, WRONG, AUDIENCE = "token_malformed", "token_claims_wrong", "token_audience_wrong"
EXPIRED, NOT_YET, LIFETIME = "token_expired", "token_not_yet_valid", "token_lifetime_too_long"
BAD_CLAIMS = {
    "another issuer": (AUDIENCE, CLAIMS | {"iss": "evil"}),
    "another audience": (AUDIENCE, CLAIMS | {"aud": "clarion-operator"}),
    "audience as a list": (WRONG, CLAIMS | {"aud": ["clarion-user"]}),
    "over": (EXPIRED, CLAIMS | {"exp": NOW_S - 1}),
    "ends before it begins": (WRONG, CLAIMS | {"iat": NOW_S + 900}),
    "issued in an hour": (NOT_YET, CLAIMS | {"iat": NOW_S + 3600, "exp": NOW_S + 7200}),
    "valid in an hour": (NOT_YET, CLAIMS | {"nbf": NOW_S + 3600}),
    "valid some time": (WRONG, CLAIMS | {"nbf": "later"}),
    "valid for a year": (LIFETIME, CLAIMS | {"exp": NOW_S + 365 * 24 * 3600}),
    "valid for ever": (LIFETIME, CLAIMS | {"exp": 10**30}),
    "no end": (WRONG, {name: value for name, value in CLAIMS.items() if name != "exp"}),
    "end as text": (WRONG, CLAIMS | {"exp": "99999999999"}),
    "end as a list": (WRONG, CLAIMS | {"exp": [99999999999]}),
    "end as a fraction": (WRONG, CLAIMS | {"exp": NOW_S + 600.5}),
    "end that is no number": (WRONG, json.dumps(CLAIMS | {"exp": float("nan")}).encode()),
    "nobody": (WRONG, CLAIMS | {"sub": ""}),
    "user is a number": (WRONG, CLAIMS | {"sub": 1}),
    "user twice": (MALFORMED, json.dumps(CLAIMS)[:-1].encode() + b',"sub":"eve"}'),
    "a claim within twice": (MALFORMED, json.dumps(CLAIMS)[:-1].encode() + b',"x":{"y":1,"y":2}}'),
    "no tenant": (MALFORMED, {name: value for name, value in CLAIMS.items() if name != "tenant"}),
    "tenant is a list": (MALFORMED, CLAIMS | {"tenant": ["acme"]}),
    "a long tenant": (MALFORMED, CLAIMS | {"tenant": "a" * 64}),
    "nested": (MALFORMED, json.dumps(CLAIMS)[:-1].encode() + b',"x":' + b"[" * 1_300 + b"]" * 1_300 + b"}"),
    "a number of many digits": (MALFORMED, json.dumps(CLAIMS)[:-1].encode() + b',"x":' + b"9" * 5_000 + b"}"),
    "not an object": (MALFORMED, []),
    "nothing": (MALFORMED, b""),
    "no UTF-8": (MALFORMED, b'{"tenant":"\xff"}'),
}


async def test_bad_claims_are_refused_even_when_signed_with_the_right_key(api, key):
    tokens = {name: signed(key, claims=claims) for name, (_, claims) in BAD_CLAIMS.items()}
    assert await codes(api, tokens) == {name: code for name, (code, _) in BAD_CLAIMS.items()}
    assert not [line for line in api.failures if line.startswith("error")]


async def test_clocks_may_differ_by_a_little(api, key):
    for claims in ({"iat": NOW_S + 30}, {"nbf": NOW_S + 30}, {"nbf": NOW_S - 30}):
        await api.ok("GET", "/v1/inbox", key=signed(key, claims=CLAIMS | claims))


async def test_nothing_is_said_of_claims_that_nobody_signed(api):
    tokens = {name: signed(b"wrong", claims=claims) for name, (_, claims) in BAD_CLAIMS.items()}
    assert set((await codes(api, tokens)).values()) == {"token_signature_wrong", MALFORMED}


async def test_base64_has_one_form(api, key):
    token = signed(key)
    head, body, signature = token.split(".")
    assert len(signature) % 4, "its last character has unused bits"
    last = signature[:-1] + chr(ord(signature[-1]) + 1)
    forms = [
        f"{head}.{body}.{last}",
        f"{head}.{body}=.{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}%0A",
    ]
    forms += [
        f"{head}.{body[:4]}+{body[5:]}.{signature}",
        f"{head}..{signature}",
        f"{head}.{body}.",
        f" {head}. {body}.{signature}",
    ]
    refused = await codes(api, dict(zip(forms, forms, strict=True)))
    assert set(refused.values()) <= {MALFORMED, "token_signature_wrong", "token_header_refused"}
    assert refused[forms[0]] == MALFORMED


async def test_only_the_key_of_its_tenant_signs_a_token(api, key):
    other = api.parts.vault.derive("user-tokens/other")
    for wrong in (other, b"", b"\0" * 32, OPERATOR_KEY.encode(), api.parts.vault.derive("credentials")):
        assert (await api.call("GET", "/v1/inbox", key=signed(wrong))).status == 401
    foreign = signed(key, claims=CLAIMS | {"tenant": "other"})
    assert (await api.call("GET", "/v1/inbox", key=foreign)).status == 401


async def test_one_changed_character_breaks_it(api, key):
    token = signed(key)
    for at in (*range(0, len(token) - 1, 7), len(token) - 1):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(Unauthorized):
            api.tokens.grant(changed, NOW_S)


async def test_what_is_no_credential_is_nobody(api):
    for credential in ("", " ", "  ", ".", "..", "a.b.c", "clk_", "clk__", "clk_a_b", "é", "\xff", "clo_"):
        for path in ("/v1/inbox", "/v1/users", "/v1/tenants"):
            assert (await api.call("GET", path, key=credential)).status == 401, (credential, path)
    assert not [line for line in api.failures if line.startswith("error")]


async def test_each_kind_of_credential_opens_its_own_routes_and_no_others(api, key):
    """Every route, with a user's token, with a key for everything of a tenant, and with the operator's."""
    kinds = {"user": signed(key), "operator": OPERATOR_KEY, "key": api.keys["acme"]}
    for route in api.routes:
        if not route.path.startswith("/v1/"):
            continue  # a page for people, which asks for its own origin
        path = route.path.replace("{", "").replace("}", "")
        needs = opens(route.permission)
        for kind, credential in kinds.items():
            status = (await api.call(route.method, path, b"", key=credential)).status
            if needs == "" and route.tag == "pages":
                continue  # forms of people, which say 403 to other pages
            may = needs in ("", kind) or (kind == "user" and route.permission in OF_USER)
            assert (status != 403) == may, (route.method, route.path, kind, status)
        anonymous = (await api.call(route.method, path, b"", key=None)).status
        # A call signed by a provider needs no API credential; unsigned, it is refused like one without any.
        signed_by_others = route.path.startswith("/v1/receipts/")
        assert (anonymous == 401) == (needs != "" or signed_by_others), (route.method, route.path, anonymous)


async def test_a_key_holds_its_scopes_and_no_other(api):
    for scope in ("users:read", "content:write", "notifications:read"):
        made = await api.ok("POST", "/v1/tenants/acme/keys", {"scopes": [scope]}, key=OPERATOR_KEY)
        for route in api.routes:
            if not route.permission:
                continue
            path = route.path.replace("{", "").replace("}", "")
            status = (await api.call(route.method, path, b"", key=made.json["key"])).status
            assert (status == 403) == (route.permission not in SCOPES[scope]), (scope, route.path, status)


@pytest.mark.parametrize("scope", ["operator", "inbox", "", "users:*", "Users:read", "users:read "])
async def test_no_key_can_be_made_for_a_scope_that_is_not_a_tenants(api, scope):
    answer = await api.call("POST", "/v1/tenants/acme/keys", {"scopes": [scope]}, key=OPERATOR_KEY)
    assert answer.json["code"] == "unknown_scope"


async def test_a_revoked_key_is_refused_within_a_second(api):
    made = (await api.ok("POST", "/v1/tenants/acme/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)).json
    await api.ok("GET", "/v1/users", key=made["key"])
    await api.ok("DELETE", f"/v1/tenants/acme/keys/{made['id']}", key=OPERATOR_KEY)
    deadline = time.monotonic() + 1
    while (await api.call("GET", "/v1/users", key=made["key"])).status != 401:
        assert time.monotonic() < deadline


async def test_a_key_of_one_tenant_cannot_be_revoked_through_another(api):
    made = (await api.ok("POST", "/v1/tenants/acme/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)).json
    assert (await api.call("DELETE", f"/v1/tenants/other/keys/{made['id']}", key=OPERATOR_KEY)).status == 404
    await api.ok("GET", "/v1/users", key=made["key"])


def test_another_installation_signs_with_another_key(tmp_path):
    one, two = FileVault.load(tmp_path / "one"), FileVault.load(tmp_path / "two")
    assert one.derive("user-tokens/acme") != two.derive("user-tokens/acme")
