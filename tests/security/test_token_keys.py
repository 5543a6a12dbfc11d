"""A tenant revokes its user tokens: those of its earlier keys end, at once or after an overlap."""

import time

import pytest

from clarion.domain.security_events import SecurityEvent
from clarion.domain.token_key import TokenKey
from tests.security.test_tokens import CLAIMS, HEADER, codes, encoded, signed

ROTATE = "/v1/users/tokens/rotate-key"


async def token_of(api, tenant="acme"):
    return (await api.ok("POST", "/v1/users/ada/tokens", {}, key=tenant)).json["token"]


async def test_all_tokens_of_a_tenant_are_revoked_at_once(api):
    before, other = await token_of(api), await token_of(api, "other")
    api.events.clear()
    await api.ok("POST", ROTATE, {"overlap_s": 0})
    assert [(event, fields["tenant"]) for event, fields in api.events] == [(SecurityEvent.TOKEN_KEY_ROTATED, "acme")]
    assert await codes(api, {"before": before}) == {"before": "token_revoked"}
    for token in (other, await token_of(api)):
        await api.ok("GET", "/v1/inbox", key=token)


async def test_an_overlap_lets_the_tokens_before_in_for_a_time(api):
    first = await token_of(api)
    await api.ok("POST", ROTATE, {"overlap_s": 60})
    second = await token_of(api)
    for token in (first, second):
        await api.ok("GET", "/v1/inbox", key=token)
    answer = await api.ok("POST", ROTATE, {"overlap_s": 60})
    assert answer.json["earlier_valid_until"]
    await api.ok("GET", "/v1/inbox", key=second)
    assert await codes(api, {"first": first}) == {"first": "token_revoked"}
    for body in ({}, {"overlap_s": -1}, {"overlap_s": 24 * 3600 + 1}):
        assert (await api.call("POST", ROTATE, body)).status == 422


@pytest.mark.parametrize("kid", ["0", "01", "-1", "1e1", "1 ", "\u0661", "9" * 10, "../1", "", 1, None, ["1"]])
async def test_a_key_has_one_name(api, kid):
    key = api.parts.vault.derive("user-tokens/acme")
    token = signed(key, header=HEADER | {"kid": kid})
    assert await codes(api, {"kid": token}) == {"kid": "token_header_refused"}


async def test_an_unknown_key_signs_nothing(api):
    tokens = {
        str(kid): signed(api.parts.vault.derive("user-tokens/acme"), header=HEADER | {"kid": str(kid)})
        for kid in (1, 7)
    }
    assert set((await codes(api, tokens)).values()) == {"token_signature_wrong"}
    header = b'{"typ": "JWT", "alg": "HS256", "kid": "1"}'
    spaced = f"{encoded(header)}.{encoded(CLAIMS)}."
    assert await codes(api, {"spaced": spaced}) == {"spaced": "token_header_refused"}
    ahead = api.tokens.issue("acme", "ada", int(time.time()), 60, generation=3)
    await api.ok("GET", "/v1/inbox", key=ahead)


def test_a_key_is_valid_until_it_is_replaced_or_its_overlap_ends():
    key = TokenKey(3, 1000)
    assert [key.permits(generation, 999) for generation in (0, 1, 2, 3, 4)] == [False, False, True, True, True]
    assert [key.permits(generation, 1000) for generation in (2, 3)] == [False, True]
