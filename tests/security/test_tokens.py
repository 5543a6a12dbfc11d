"""User tokens: one algorithm, one header, one tenant, one use."""

import base64
import hashlib
import hmac
import json
import time

import pytest

from clarion.ops.vault import FileVault
from tests.security.house import OPERATOR_KEY

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
def key(house):
    return house.parts.vault.derive("user-tokens/acme")


async def test_the_token_we_sign_is_the_one_the_others_are_held_against(house, key):
    for token in (house.tokens.issue("acme", "ada", int(time.time()), 60), signed(key)):
        await house.ok("GET", "/v1/inbox", key=token)


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


async def statuses(house, credentials):
    """What a call with each of some credentials gets, by their names."""
    return {name: (await house.call("GET", "/v1/inbox", key=one)).status for name, one in credentials.items()}


async def test_another_header_is_refused_even_when_signed_with_the_right_key(house, key):
    tokens = {name: signed(key, header=header) for name, header in HEADERS.items()}
    unsigned = {name: f"{encoded(header)}.{encoded(CLAIMS)}." for name, header in HEADERS.items()}
    for attempts in (tokens, unsigned):
        assert await statuses(house, attempts) == dict.fromkeys(HEADERS, 401)
    assert not [line for line in house.failures if line.startswith("error")]


BAD_CLAIMS = {
    "another issuer": CLAIMS | {"iss": "evil"},
    "another audience": CLAIMS | {"aud": "clarion-operator"},
    "audience as a list": CLAIMS | {"aud": ["clarion-user"]},
    "over": CLAIMS | {"exp": NOW_S - 1},
    "ends before it begins": CLAIMS | {"iat": NOW_S + 900},
    "no end": {name: value for name, value in CLAIMS.items() if name != "exp"},
    "end as text": CLAIMS | {"exp": "99999999999"},
    "end as a list": CLAIMS | {"exp": [99999999999]},
    "nobody": CLAIMS | {"sub": ""},
    "user is a number": CLAIMS | {"sub": 1},
    "no tenant": {name: value for name, value in CLAIMS.items() if name != "tenant"},
    "nested": json.dumps(CLAIMS)[:-1].encode() + b',"x":' + b"[" * 1_300 + b"]" * 1_300 + b"}",
    "not an object": [],
    "nothing": b"",
}


async def test_bad_claims_are_refused_even_when_signed_with_the_right_key(house, key):
    tokens = {name: signed(key, claims=claims) for name, claims in BAD_CLAIMS.items()}
    assert await statuses(house, tokens) == dict.fromkeys(BAD_CLAIMS, 401)
    assert not [line for line in house.failures if line.startswith("error")]


async def test_only_the_key_of_its_tenant_signs_a_token(house, key):
    other = house.parts.vault.derive("user-tokens/other")
    for wrong in (other, b"", b"\0" * 32, OPERATOR_KEY.encode(), house.parts.vault.derive("credentials")):
        assert (await house.call("GET", "/v1/inbox", key=signed(wrong))).status == 401
    foreign = signed(key, claims=CLAIMS | {"tenant": "other"})
    assert (await house.call("GET", "/v1/inbox", key=foreign)).status == 401


async def test_one_changed_character_breaks_it(house, key):
    token = signed(key)
    for at in range(0, len(token) - 1, 7):  # the last character holds bits that mean nothing
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert house.tokens.verify(changed, NOW_S) is None, at


async def test_what_is_no_credential_is_nobody(house):
    for credential in ("", " ", "  ", ".", "..", "a.b.c", "clk_", "clk__", "clk_a_b", "é", "\xff", "clo_"):
        for path in ("/v1/inbox", "/v1/users", "/v1/tenants"):
            assert (await house.call("GET", path, key=credential)).status == 401, (credential, path)
    assert not [line for line in house.failures if line.startswith("error")]


async def test_each_kind_of_credential_opens_its_own_routes_and_no_others(house, key):
    """Every route, with a user's token, with a key for everything of a tenant, and with the operator's."""
    kinds = {"inbox": signed(key), "operator": OPERATOR_KEY, "*": house.keys["acme"]}
    for route in house.routes:
        path = route.path.replace("{", "").replace("}", "")
        needs = route.scope if route.scope in ("inbox", "operator", "") else "*"
        for kind, credential in kinds.items():
            status = (await house.call(route.method, path, b"", key=credential)).status
            opens = needs in ("", kind) or (kind == "inbox" and route.by_user)
            assert (status != 403) == opens, (route.method, route.path, kind, status)
        anonymous = (await house.call(route.method, path, b"", key=None)).status
        # What a provider signs needs no credential of ours; unsigned, it is as good as none.
        signed_by_others = route.path.startswith("/v1/receipts/")
        assert (anonymous == 401) == (needs != "" or signed_by_others), (route.method, route.path, anonymous)


async def test_a_key_holds_its_scopes_and_no_other(house):
    for scope in ("users:read", "content:write", "notifications:read"):
        made = await house.ok("POST", "/v1/tenants/acme/keys", {"scopes": [scope]}, key=OPERATOR_KEY)
        for route in house.routes:
            if not route.scope:
                continue
            path = route.path.replace("{", "").replace("}", "")
            status = (await house.call(route.method, path, b"", key=made.json["key"])).status
            assert (status == 403) == (route.scope != scope), (scope, route.path, status)


@pytest.mark.parametrize("scope", ["operator", "inbox", "", "users:*", "Users:read", "users:read "])
async def test_no_key_can_be_made_for_a_scope_that_is_not_a_tenants(house, scope):
    answer = await house.call("POST", "/v1/tenants/acme/keys", {"scopes": [scope]}, key=OPERATOR_KEY)
    assert answer.json["code"] == "unknown_scope"


async def test_a_revoked_key_is_refused_within_a_second(house):
    made = (await house.ok("POST", "/v1/tenants/acme/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)).json
    await house.ok("GET", "/v1/users", key=made["key"])
    await house.ok("DELETE", f"/v1/tenants/acme/keys/{made['id']}", key=OPERATOR_KEY)
    deadline = time.monotonic() + 1
    while (await house.call("GET", "/v1/users", key=made["key"])).status != 401:
        assert time.monotonic() < deadline


async def test_a_key_of_one_tenant_cannot_be_revoked_through_another(house):
    made = (await house.ok("POST", "/v1/tenants/acme/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)).json
    assert (await house.call("DELETE", f"/v1/tenants/other/keys/{made['id']}", key=OPERATOR_KEY)).status == 404
    await house.ok("GET", "/v1/users", key=made["key"])


def test_another_installation_signs_with_another_key(tmp_path):
    one, two = FileVault.load(tmp_path / "one"), FileVault.load(tmp_path / "two")
    assert one.derive("user-tokens/acme") != two.derive("user-tokens/acme")
