"""Signatures of calls in both directions, by the vendors' own libraries: both accept and refuse the same calls."""

import base64
import hashlib
import time
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.ports.receipts import Forged, ReceiptCall
from clarion.providers.email import sendgrid
from clarion.providers.sms import twilio, vonage
from clarion.providers.webhook import standard
from tests.providers import battery

TOKEN = "12345"
TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.text("&=+% ;aü\n\0", max_size=8)
NAMES = st.text("abcXYZ_-0ü", min_size=1, max_size=8)
FORMS = st.lists(st.tuples(NAMES | st.sampled_from(["To", "Body"]), TEXT), max_size=6)
PATHS = st.builds(lambda path, query: f"/{path}{'?' + query if query else ''}", st.text("aZ0-_/", max_size=10),
                  st.sampled_from(["", "ref=dlv_1", "a=b&c=d%20e", "a=%C3%BC&a=2"]))  # fmt: skip
ORIGINS = st.sampled_from(
    ["https://n.example", "https://n.example:443", "https://n.example:8443", "http://n.example", "http://n.example:80"]
)
URLS = st.builds(str.__add__, ORIGINS, PATHS)


def port_added(url):
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return url if ":" in host else f"{scheme}://{host}:{443 if scheme == 'https' else 80}{slash}{path}"


def port_removed(url):
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.partition(':')[0]}{slash}{path}"


def post(url, body, **headers):
    return ReceiptCall("POST", url, {}, {name.replace("_", "-"): value for name, value in headers.items()}, body)


# --- Twilio ---

TWILIO = Account("acme", "sms", Channel.SMS, "twilio", 0, {"account_sid": "AC" + "0" * 32}, {"auth_token": TOKEN})


def twilio_takes(url, body, signature):
    call = post(url, body, x_twilio_signature=signature)
    return not isinstance(twilio.read_receipts(call, TWILIO, now_ms=0, keys={}), Forged)


@given(url=URLS, fields=FORMS, signed=st.sampled_from([str, port_added, port_removed]))
def test_what_twilio_signs_is_taken_with_the_port_or_without(peer, url, fields, signed):
    signature = peer.says("twilio_sign", token=TOKEN, url=signed(url), params=fields)
    assert twilio_takes(url, urlencode(fields).encode(), signature)
    assert peer.says("twilio_valid", token=TOKEN, url=url, params=fields, signature=signature)


@given(url=URLS, other=URLS, fields=FORMS, more=FORMS, token=st.sampled_from([TOKEN, "12346"]))
def test_twilios_library_and_we_refuse_the_same_forms(peer, url, other, fields, more, token):
    signature = peer.says("twilio_sign", token=token, url=other, params=more)
    theirs = peer.says("twilio_valid", token=TOKEN, url=url, params=fields, signature=signature)
    assert twilio_takes(url, urlencode(fields).encode(), signature) == theirs


@given(url=URLS, body=TEXT, other=TEXT, how=st.sampled_from(["right", "other body", "other hash", "other url"]))
def test_twilios_library_and_we_agree_on_bodies_that_are_no_forms(peer, url, body, other, how):
    hashed = hashlib.sha256((other if how == "other hash" else body).encode()).hexdigest()
    url += ("&" if "?" in url else "?") + f"bodySHA256={hashed}"
    signature = peer.says("twilio_sign", token=TOKEN, url=url + "x" * (how == "other url"), params=[])
    sent = other if how == "other body" else body
    theirs = peer.says("twilio_valid", token=TOKEN, url=url, params=sent, signature=signature)
    assert twilio_takes(url, sent.encode(), signature) == theirs
    assert theirs or how != "right"


# --- SendGrid ---

KEY = ec.generate_private_key(ec.SECP256R1())
SHOWN = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
SENDGRID = Account(
    "acme", "sg", Channel.EMAIL, "sendgrid", 0, {"from_email": "a@shop.example", "webhook_public_key": SHOWN}, {}
)


@given(body=TEXT, other=TEXT, late=st.sampled_from([0, 1]))
def test_sendgrids_library_and_we_agree_on_batches_of_events(peer, body, other, late):
    now_s = battery.NOW_MS // 1000
    signed = base64.b64encode(KEY.sign(f"{now_s}{other}".encode(), ec.ECDSA(hashes.SHA256()))).decode()
    call = post("https://n.example/", body.encode(), x_twilio_email_event_webhook_signature=signed,
                x_twilio_email_event_webhook_timestamp=str(now_s - late))  # fmt: skip
    ours = not isinstance(sendgrid.read_receipts(call, SENDGRID, now_ms=battery.NOW_MS, keys={}), Forged)
    given_ = {"key": SHOWN, "body": body, "signature": signed, "timestamp": str(now_s - late)}
    assert peer.says("sendgrid_valid", **given_) == ours == (body == other and not late)


# --- Standard Webhooks ---

SECRET, PREVIOUS, STRANGE = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in range(3))


def hook(parts, **credentials):
    message = msgspec.structs.replace(battery.message(battery.tables()["webhook_webhook"]), parts=parts)
    account = Account("acme", "hook", Channel.WEBHOOK, "webhook", 0, {}, credentials)
    return standard.build(message, account, now_ms=time.time_ns() // 1_000_000, token=None)


@given(
    data=st.dictionaries(TEXT, st.recursive(TEXT | st.integers(-(2**53), 2**53) | st.none(), st.lists, max_leaves=5))
)
def test_webhooks_verify_by_the_reference_library_also_while_the_secret_is_rotated(peer, data):
    request = hook({"data": data}, secret=SECRET, previous_secret=PREVIOUS)
    body = request.body.decode()
    for secret in (SECRET, PREVIOUS):
        assert peer.says("webhook_valid", secret=secret, body=body, headers=request.headers)["data"] == data
    for secret, sent in ((STRANGE, body), (SECRET, body + " ")):
        answer = peer.ask("webhook_valid", secret=secret, body=sent, headers=request.headers)
        assert answer["error"].startswith("WebhookVerificationError")


def test_before_and_after_a_rotation_only_its_own_secret_verifies(peer):
    request = hook({"data": {}}, secret=SECRET)
    given_ = {"body": request.body.decode(), "headers": request.headers}
    assert "said" in peer.ask("webhook_valid", secret=SECRET, **given_)
    assert "error" in peer.ask("webhook_valid", secret=PREVIOUS, **given_)


# --- Vonage ---

METHODS = st.sampled_from(["md5", "sha1", "sha256", "sha512"])
FIELDS = st.dictionaries(st.text("abc-", min_size=1, max_size=6), TEXT, max_size=5)


def vonage_account(method):
    settings = {"sender": "Shop", "signature_method": method}
    return Account("acme", "sms", Channel.SMS, "vonage", 0, settings, {"api_key": "k", "signature_secret": "secret"})


@given(text=TEXT.filter(str.strip), method=METHODS)
def test_what_we_sign_for_vonage_verifies_by_its_library(peer, text, method):
    message = battery.message(battery.tables()["sms_vonage"], parts={"body": text})
    request = vonage.build(message, vonage_account(method), now_ms=battery.NOW_MS, token=None)
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))
    assert peer.says("vonage_valid", secret="secret", method=method, params=form)
    assert not peer.says("vonage_valid", secret="secret", method=method, params={**form, "text": form["text"] + "."})


@given(fields=FIELDS, more=FIELDS, method=METHODS, how=st.sampled_from(["GET", "form", "JSON"]))
def test_vonages_library_and_we_agree_on_its_calls(peer, fields, more, method, how):
    stamp = {"timestamp": str(battery.NOW_MS // 1000)}
    signature = peer.says("vonage_sign", secret="secret", method=method, params={**fields, **stamp})
    for sent in (fields, more):
        params = {**sent, **stamp, "sig": signature.upper()}
        query = "?" + urlencode(params, quote_via=quote) if how == "GET" else ""
        body = {"GET": b"", "form": urlencode(params).encode(), "JSON": msgspec.json.encode(params)}[how]
        call = ReceiptCall("GET" if how == "GET" else "POST", "https://n.example/" + query, {}, {}, body)
        ours = not isinstance(
            vonage.read_receipts(call, vonage_account(method), now_ms=battery.NOW_MS, keys={}), Forged
        )
        assert ours == peer.says("vonage_valid", secret="secret", method=method, params=params)
        assert ours or sent is more


@pytest.mark.parametrize("check", ["no_such_check"])
def test_a_question_nobody_can_answer_is_an_error(peer, check):
    assert "error" in peer.ask(check)
