"""Web Push: only the subscribed browser can decrypt a message; the responses are in the table."""

import hashlib
import hmac

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from clarion.content.fit import fit
from clarion.domain.channel import Channel
from clarion.domain.message import HttpRequest
from clarion.providers import aes128gcm
from clarion.providers.es256 import base64url, key_of, unbase64url
from clarion.providers.webpush import webpush
from tests.providers import battery

TABLE = battery.tables()["webpush_webpush"]

# RFC 8291 5 and appendix A
BROWSER_KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
BROWSER_POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
BROWSER_AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SENDER_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
PLAIN = b"When I grow up, I want to be a watermelon"
SEALED = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
    "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def browser_opens(body: bytes, auth: str = BROWSER_AUTH) -> bytes:
    """Decrypt a body as a receiver does by RFC 8291 3.4 and RFC 8188 2, with HMAC alone for the keys."""

    def mac(key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, hashlib.sha256)

    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    point, record = body[21 : 21 + length], body[21 + length :]
    assert len(record) <= size
    own = ec.derive_private_key(int.from_bytes(unbase64url(BROWSER_KEY), "big"), ec.SECP256R1())
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    secret = mac(mac(unbase64url(auth), shared), b"WebPush: info\0" + unbase64url(BROWSER_POINT) + point + b"\1")
    key = mac(mac(salt, secret), b"Content-Encoding: aes128gcm\0\1")[:16]
    nonce = mac(mac(salt, secret), b"Content-Encoding: nonce\0\1")[:12]
    plain = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
    assert plain.endswith(b"\2")
    return plain[:-1]


def sent(settings: dict[str, object] | None = None, **changes) -> HttpRequest:
    table = {**TABLE, "account": {**TABLE["account"], "settings": {**TABLE["account"]["settings"], **(settings or {})}}}
    request = battery.build(webpush, table, **changes)
    assert isinstance(request, HttpRequest)
    return request


def subscription(endpoint: str, p256dh: str = BROWSER_POINT, auth: str = BROWSER_AUTH) -> str:
    return msgspec.json.encode({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}}).decode()


def claims(request: HttpRequest):
    token, _, key = request.headers["authorization"].removeprefix("vapid t=").partition(", k=")
    point = unbase64url(key)
    public = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": base64url(point[1:33]), "y": base64url(point[33:])})
    decoded = jwt.decode(token, public, algorithms=["ES256"])
    assert decoded.header == {"alg": "ES256", "typ": "JWT"}
    return decoded.claims


def test_the_published_example_is_sealed_to_the_byte():
    sender = key_of(SENDER_KEY, "private_key")
    body = aes128gcm.seal(
        PLAIN, unbase64url(BROWSER_POINT), unbase64url(BROWSER_AUTH), sender=sender, salt=unbase64url(SALT)
    )
    assert base64url(body) == SEALED
    assert browser_opens(unbase64url(SEALED)) == PLAIN


def test_the_browser_reads_the_parts_and_the_delivery_id():
    got = msgspec.json.decode(browser_opens(sent().body))
    assert got == {**TABLE["message"]["parts"], "delivery_id": battery.DELIVERY}


def test_text_in_any_script_arrives():
    got = msgspec.json.decode(browser_opens(sent(parts={"title": battery.UNICODE}).body))
    assert got["title"] == battery.UNICODE


def test_with_another_auth_secret_nothing_opens():
    with pytest.raises(InvalidTag):
        browser_opens(sent().body, base64url(bytes(16)))


@given(st.binary(max_size=200), st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.binary())
def test_any_encrypted_text_decrypts(plain, salt, secret, about):
    sender, _ = aes128gcm.fresh(secret, about)
    body = aes128gcm.seal(plain, unbase64url(BROWSER_POINT), unbase64url(BROWSER_AUTH), sender=sender, salt=salt)
    assert len(body) == len(plain) + aes128gcm.OVERHEAD_BYTES
    assert browser_opens(body) == plain


def test_salt_and_key_are_new_for_each_delivery_attempt_text_and_subscription():
    other = subscription("https://updates.push.example/2")
    changes = [{}, {"delivery_id": "dlv_" + "0191" * 12}, {"attempt": 2}, {"parts": {"title": "x"}}, {"address": other}]
    bodies = [sent(**change).body for change in changes]
    assert len({body[:16] for body in bodies}) == len({body[21:86] for body in bodies}) == len(changes)
    assert sent().body == bodies[0]


def test_another_account_derives_other_keys():
    (_, salt), (_, other) = aes128gcm.fresh(b"a" * 32, b"x"), aes128gcm.fresh(b"b" * 32, b"x")
    assert salt != other


def test_the_token_is_what_rfc_8292_asks_for():
    now_s = battery.NOW_MS // 1000
    got = claims(sent())
    assert (got["aud"], got["sub"]) == ("https://updates.push.example", "mailto:push@shop.example")
    assert now_s + 12 * 3600 <= got["exp"] <= now_s + 18 * 3600


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://Push.Example/x", "https://push.example"),
        ("https://push.example:443/x?y", "https://push.example"),
        ("https://push.example:8443/x", "https://push.example:8443"),
    ],
)
def test_the_audience_is_the_endpoints_origin(endpoint, origin):
    assert claims(sent(address=subscription(endpoint)))["aud"] == origin


def test_a_token_is_signed_once_for_each_service_and_six_hours():
    webpush._vapid.cache_clear()
    account, tokens = battery.account(TABLE), set()
    for hour in range(24):
        for number in range(5):
            message = battery.message(TABLE, address=subscription(f"https://updates.push.example/{number}"))
            request = webpush.build(message, account, now_ms=battery.NOW_MS + hour * 3_600_000, token=None)
            tokens.add(request.headers["authorization"])
    assert webpush._vapid.cache_info().misses == len(tokens) == 5


@pytest.mark.parametrize(
    ("settings", "expires_ms", "ttl"),
    [
        ({}, None, "2419200"),
        ({"ttl_s": 600}, None, "600"),
        ({"ttl_s": 600}, battery.NOW_MS + 1_999, "1"),
        ({}, battery.NOW_MS - 5_000, "0"),
        ({"ttl_s": 0}, battery.NOW_MS + 60_000, "0"),
        ({}, battery.NOW_MS + 90 * 24 * 3_600_000, "2419200"),
    ],
)
def test_how_long_a_service_keeps_it(settings, expires_ms, ttl):
    assert sent(settings, expires_ms=expires_ms).headers["ttl"] == ttl


def test_another_origin_may_stand_in():
    request = sent({"base_url": "http://127.0.0.1:8500/"})
    assert request.url == "http://127.0.0.1:8500/wpush/v2/gAAAA?x=1"
    assert claims(request)["aud"] == "https://updates.push.example"


def test_a_push_may_be_as_long_as_services_have_to_take_and_no_longer():
    room = 3_993 - len(browser_opens(sent(parts={"body": "x"}).body)) + 1
    assert len(sent(parts={"body": "x" * room}).body) == 4_096
    with pytest.raises(ValueError, match="3,994 bytes, 3,993 are allowed"):
        sent(parts={"body": "x" * (room + 1)})


@pytest.mark.parametrize("filler", ["x", "é", "🎉", '"', "\n"])
def test_what_was_made_to_fit_fits(filler):
    parts = {"title": "x" * 200, "url": "https://shop.example/1", "image": "https://shop.example/1.png"}
    fitted = fit(Channel.WEBPUSH, {**parts, "body": filler * 5_000})
    assert len(sent(parts=fitted).body) <= 4_096


@pytest.mark.parametrize(
    "address",
    ["", "token", "{}", "[]", '{"endpoint": "https://push.example/1"}', '{"endpoint": 1, "keys": {}}',
     '{"endpoint": "https://push.example/1", "keys": {"p256dh": "!", "auth": "!"}}'],
)  # fmt: skip
def test_what_is_no_subscription_is_not_sent(address):
    with pytest.raises(ValueError, match="not a web-push subscription"):
        sent(address=address)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [(BROWSER_POINT, "AAAA"), ("AAAA", BROWSER_AUTH), (base64url(b"\4" + bytes(64)), BROWSER_AUTH),
     (base64url(bytes(65)), BROWSER_AUTH), ("B" * 87, "A" * 22)],
)  # fmt: skip
def test_keys_that_are_none_are_refused(p256dh, auth):
    with pytest.raises(ValueError, match="subscription's"):
        sent(address=subscription("https://push.example/1", p256dh, auth))


def test_padded_keys_are_the_same_keys():
    padded = subscription("https://push.example/1", BROWSER_POINT + "=", BROWSER_AUTH + "==")
    assert browser_opens(sent(address=padded).body)


@pytest.mark.parametrize(
    "endpoint",
    ["http://push.example/1", "https://", "https:///x", "https://a@push.example/1", "javascript:alert(1)", "/1",
     "https://push.example/a b", "https://push.example\\@evil.example/", "https://push.example/\n", "https://pushé.example/1"],
)  # fmt: skip
def test_an_endpoint_is_a_plain_https_url(endpoint):
    with pytest.raises(ValueError, match="plain https URL"):
        sent(address=subscription(endpoint))


@pytest.mark.parametrize("text", ["canary", "", "A" * 43, "_" * 43, "-----BEGIN PRIVATE KEY-----\ncanary"])
def test_a_key_that_cannot_be_read_does_not_show(text):
    account = msgspec.structs.replace(battery.account(TABLE), credentials={"private_key": text})
    with pytest.raises(ValueError, match="P-256") as caught:
        webpush.build(battery.message(TABLE), account, now_ms=battery.NOW_MS, token=None)
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_the_key_may_be_pem():
    pem = battery.tables()["push_apns"]["account"]["credentials"]["private_key"]
    account = msgspec.structs.replace(battery.account(TABLE), credentials={"private_key": pem})
    assert webpush.build(battery.message(TABLE), account, now_ms=battery.NOW_MS, token=None) == sent()
