"""FCM's access token and the bounds of its data map; its responses are in the table."""

from urllib.parse import parse_qs

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Misconfigured, Throttled, Transient
from clarion.ports.vendor import Token
from clarion.providers.push import fcm
from tests.providers import battery

TABLE = battery.tables()["push_fcm"]
ACCOUNT = battery.account(TABLE)


def test_the_assertion_is_what_google_asks_for():
    request = fcm.token_request(ACCOUNT, now_ms=battery.NOW_MS)
    form = parse_qs(request.body.decode())
    assert (request.method, request.url) == ("POST", "https://oauth2.googleapis.com/token")
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    token = jwt.decode(form["assertion"][0], RSAKey.import_key(battery.rsa_pem()), algorithms=["RS256"])
    assert token.header == {"alg": "RS256", "typ": "JWT", "kid": "5f0c1d"}
    assert token.claims == {
        "iss": "sender@shop-1234.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": battery.NOW_MS // 1000,
        "exp": battery.NOW_MS // 1000 + 3600,
    }


def test_the_key_is_loaded_once():
    fcm.token_request(ACCOUNT, now_ms=battery.NOW_MS)
    before = fcm._key.cache_info().misses
    fcm.token_request(ACCOUNT, now_ms=battery.NOW_MS + 1)
    assert fcm._key.cache_info().misses == before


def test_a_key_that_cannot_be_read_does_not_show():
    account = msgspec.structs.replace(ACCOUNT, credentials={**ACCOUNT.credentials, "private_key": "canary-key"})
    with pytest.raises(ValueError, match="PEM") as caught:
        fcm.token_request(account, now_ms=battery.NOW_MS)
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (HttpResponse(200, {}, b'{"access_token": "ya29.x", "expires_in": 3599}'), Token("ya29.x", 3599)),
        (HttpResponse(400, {}, b'{"error": "invalid_grant"}'), Misconfigured("HTTP 400: invalid_grant")),
        (HttpResponse(401, {}, b"{"), Misconfigured("HTTP 401: {")),
        (HttpResponse(429, {"retry-after": "9"}, b""), Throttled(9_000, "HTTP 429")),
        (HttpResponse(503, {}, b"oops"), Transient("HTTP 503: oops")),
        (HttpResponse(200, {}, b"[]"), Transient("HTTP 200: the token endpoint's answer holds no access token")),
    ],
)
def test_what_the_token_endpoint_may_answer(response, expected):
    assert fcm.read_token(response) == expected


def test_a_token_does_not_show():
    assert "ya29" not in repr(Token("ya29.x", 1))


@pytest.mark.parametrize("key", ["from", "google.c", "gcm.notification", "message_type"])
def test_reserved_data_keys_are_refused(key):
    with pytest.raises(ValueError, match="reserved"):
        battery.build(fcm, TABLE, parts={"title": "x", "data": {key: "1"}})


@pytest.mark.parametrize(("expires_in_ms", "ttl"), [(-5_000, "0s"), (1_999, "1s"), (90 * 24 * 3_600_000, "2419200s")])
def test_ttl_stays_within_what_fcm_takes(expires_in_ms, ttl):
    request = battery.build(fcm, TABLE, expires_ms=battery.NOW_MS + expires_in_ms)
    assert msgspec.json.decode(request.body)["message"]["android"]["ttl"] == ttl


def test_what_fcm_has_no_field_for_goes_with_the_data():
    parts = {"title": "x", "url": "app://order/1", "actions": [{"id": "open"}], "data": {"url": "app://own", "n": 1}}
    request = battery.build(fcm, TABLE, parts=parts)
    data = msgspec.json.decode(request.body)["message"]["data"]
    assert data.pop("delivery_id")
    assert data == {"url": "app://own", "actions": '[{"id":"open"}]', "n": "1"}
