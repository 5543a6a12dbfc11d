"""APNs' provider token, payload and headers; its responses are in the table."""

from itertools import pairwise
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from clarion.content.fit import fit
from clarion.domain.channel import Channel
from clarion.domain.message import HttpRequest
from clarion.providers import es256
from clarion.providers.push import apns
from tests.providers import battery

TABLE = battery.tables()["push_apns"]
PEM = TABLE["account"]["credentials"]["private_key"]


def sent(settings: dict[str, str] | None = None, **changes) -> HttpRequest:
    table = {**TABLE, "account": {**TABLE["account"], "settings": {**TABLE["account"]["settings"], **(settings or {})}}}
    request = battery.build(apns, table, **changes)
    assert isinstance(request, HttpRequest)
    return request


def payload(settings: dict[str, str] | None = None, **parts):
    return msgspec.json.decode(sent(settings, parts=parts).body)


def provider_token(now_ms: int) -> str:
    request = apns.build(battery.message(TABLE), battery.account(TABLE), now_ms=now_ms, token=None)
    return request.headers["authorization"].removeprefix("bearer ")


def test_the_provider_token_is_what_apple_asks_for():
    token = jwt.decode(provider_token(battery.NOW_MS), ECKey.import_key(PEM), algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "kid": "ABC123DEFG"}
    assert token.claims == {"iss": "DEF123GHIJ", "iat": 1_789_999_200}


def test_signatures_are_those_of_rfc_6979():
    key = es256.key_of(PEM, "private_key")
    r, s = es256.decode_dss_signature(key.sign(b"sample", es256._SIGNATURE))
    assert f"{r:064X}" == "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    assert f"{s:064X}" == "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"


def test_a_day_of_messages_takes_a_token_every_forty_minutes():
    minutes = range(0, 24 * 60)
    tokens = [provider_token(battery.NOW_MS + minute * 60_000) for minute in minutes]
    changes = [minute for minute in minutes[1:] if tokens[minute] != tokens[minute - 1]]
    assert len(set(tokens)) == len(changes) + 1 == 37
    assert {after - before for before, after in pairwise(changes)} == {40}


@given(st.integers(min_value=0, max_value=2**41))
def test_no_token_is_from_the_future_nor_an_hour_old(now_ms):
    age_s = now_ms // 1000 - apns._issued_s(now_ms)
    assert 5 * 60 <= age_s < 45 * 60


def test_another_process_makes_the_same_token():
    first = provider_token(battery.NOW_MS)
    apns._provider_token.cache_clear()
    es256.key_of.cache_clear()
    assert provider_token(battery.NOW_MS) == first


def test_the_id_is_a_uuid_and_the_same_on_each_attempt():
    first, second = (sent(attempt=attempt).headers["apns-id"] for attempt in (1, 2))
    assert first == second == str(UUID(first))
    assert first != sent(delivery_id="dlv_" + "0191" * 12).headers["apns-id"]


def test_data_alone_goes_in_the_background():
    request = sent({"priority": "10"}, parts={"data": {"n": 1}})
    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("background", "5")
    assert msgspec.json.decode(request.body)["aps"] == {"content-available": 1}


def test_a_type_that_is_set_stands():
    request = sent({"push_type": "voip", "priority": "5"}, parts={"title": "Call"})
    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("voip", "5")


def test_a_background_push_shows_nothing():
    assert payload({"push_type": "background"}, title="x", body="y")["aps"] == {"content-available": 1}


def test_an_alert_may_be_silent():
    assert payload({"sound": ""}, title="x")["aps"] == {"alert": {"title": "x"}}


def test_data_is_the_tenants_but_for_what_is_ours():
    got = payload(title="x", url="app://1", data={"url": "app://own", "delivery_id": "forged", "nested": {"a": [1]}})
    assert got["url"] == "app://own"
    assert got["nested"] == {"a": [1]}
    assert got["delivery_id"] == battery.DELIVERY


@pytest.mark.parametrize(
    ("data", "words"), [({"aps": {}}, "reserved"), ("text", "not an object"), ([1], "not an object")]
)
def test_data_that_cannot_be_sent_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        payload(title="x", data=data)


@pytest.mark.parametrize("address", ["fcm-token:APA91bF_x", "", "00fc/../x", "00fc13", "0" * 63, "00" * 32 + "\n"])
def test_what_is_no_device_token_is_not_sent(address):
    with pytest.raises(ValueError, match="hexadecimal"):
        sent(address=address)


@pytest.mark.parametrize(("push_type", "bytes_max"), [("alert", 4_096), ("voip", 5_120)])
def test_a_payload_may_be_as_long_as_apns_takes_and_no_longer(push_type, bytes_max):
    def of(chars: int) -> HttpRequest:
        return sent({"push_type": push_type}, parts={"title": "x", "data": {"blob": "y" * chars}})

    room = bytes_max - len(of(0).body)
    assert len(of(room).body) == bytes_max
    with pytest.raises(ValueError, match=f"{bytes_max:,} are allowed"):
        of(room + 1)


@pytest.mark.parametrize("filler", ["x", "é", "🎉", '"', "\n"])
def test_what_was_made_to_fit_fits(filler):
    parts = {"title": "x" * 200, "url": "https://shop.example/1", "image": "https://shop.example/1.png"}
    fitted = fit(Channel.PUSH, {**parts, "body": filler * 5_000})
    assert len(sent(parts=fitted).body) <= 4_096


@pytest.mark.parametrize("key", ["order-123", "order 123", "x" * 64])
def test_a_collapse_key_goes_as_it_is(key):
    assert sent(parts={"title": "x", "collapse_key": key}).headers["apns-collapse-id"] == key


@given(st.text(min_size=1, max_size=200))
def test_any_collapse_key_makes_a_header(key):
    got = sent(parts={"title": "x", "collapse_key": key}).headers["apns-collapse-id"]
    assert 0 < len(got) <= 64
    assert got.isascii()
    assert got.isprintable()
    assert got == got.strip()
    assert got == sent(attempt=2, parts={"title": "y", "collapse_key": key}).headers["apns-collapse-id"]


@pytest.mark.parametrize("text", ["canary", "-----BEGIN PRIVATE KEY-----\ncanary", "", "AA", "é"])
def test_a_key_that_cannot_be_read_does_not_show(text):
    account = msgspec.structs.replace(battery.account(TABLE), credentials={"private_key": text})
    with pytest.raises(ValueError, match="private_key is not an unencrypted P-256 private key") as caught:
        apns.build(battery.message(TABLE), account, now_ms=battery.NOW_MS, token=None)
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


def pem_of(curve: ec.EllipticCurve) -> str:
    key = ec.generate_private_key(curve)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("pem", [battery.rsa_pem, lambda: pem_of(ec.SECP384R1())])
def test_a_key_of_another_kind_is_refused(pem):
    with pytest.raises(ValueError, match="private_key is not an unencrypted P-256 private key"):
        es256.key_of(pem(), "private_key")
