"""Vonage's signatures, encodings and time to live; its responses are in the table."""

from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.providers.sms import vonage
from tests.providers import battery

TABLE = battery.tables()["sms_vonage"]
ACCOUNT = battery.account(TABLE)
SECRET = "canary-signature"
FORM = {
    "api_key": "abcd1234",
    "from": "Shop",
    "to": "4915112345678",
    "text": "a=b & c=d Grüße €",
    "type": "unicode",
    "client-ref": "dlv_0190",
    "timestamp": "1790000000",
}
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


def request(settings=(), credentials=(), **changes):
    account = msgspec.structs.replace(
        ACCOUNT,
        settings={**ACCOUNT.settings, **dict(settings)},
        credentials={**ACCOUNT.credentials, **dict(credentials)},
    )
    return vonage.build(battery.message(TABLE, **changes), account, now_ms=battery.NOW_MS, token=None)


def form(*args, **changes):
    return dict(parse_qsl(request(*args, **changes).body.decode(), strict_parsing=True))


# By `Auth.sign_params` of vonage-http-client 1.5.2, Vonage's own client; `md5hash`, which that client no longer has, by
# the rule on the page about signatures.
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("md5hash", "832518d50895f6c65e074f4563aa1b72"),
        ("md5", "b6285cf46fe828f8b2f28b2410ef013d"),
        ("sha1", "b3b543899108ae5671e2acbb4fa0e99128d091f8"),
        ("sha256", "38f4e250ba3f4dfeac1188aa7267ed88f037f09e38cafe12d4d833c45bca9966"),
        (
            "sha512",
            "bc54019b5154f02eedc97db49de0edb2f68af8eddd8f03e2a6712312e391d0b5"
            "867108c4b4c5e3b5987b270b4e79504ea3c0ac0bdb9190ae5c2d909c43c82669",
        ),
    ],
)
def test_signatures_are_those_of_vonages_client(method, expected):
    assert vonage.signature(FORM, SECRET, method) == expected
    assert vonage.signature({**FORM, "sig": "old"}, SECRET, method) == expected
    assert vonage.signature(dict(reversed(FORM.items())), SECRET, method) == expected


def test_a_signed_call_carries_no_secret():
    sent = form({"signature_method": "sha512"}, {"signature_secret": SECRET})
    assert "api_secret" not in sent
    assert sent["timestamp"] == str(battery.NOW_MS // 1000)
    assert sent.pop("sig") == vonage.signature(sent, SECRET, "sha512")
    assert SECRET not in sent.values()


def test_sha256_is_the_default():
    assert len(form((), {"signature_secret": SECRET})["sig"]) == 64


@pytest.mark.parametrize(
    ("text", "kind"),
    [("12,50 € {ok}", "text"), ("Grüße à Ç", "text"), ("ç", "unicode"), ("“quoted”", "unicode"), ("🎉", "unicode")],
)
def test_what_phones_cannot_write_goes_as_unicode(text, kind):
    assert form(parts={"body": text})["type"] == kind


@pytest.mark.parametrize(
    ("left_ms", "ttl"), [(-5_000, "20000"), (19_999, "20000"), (20_001, "20001"), (30 * 86_400_000, "604800000")]
)
def test_time_to_live_stays_within_what_vonage_takes(left_ms, ttl):
    assert form(expires_ms=battery.NOW_MS + left_ms)["ttl"] == ttl


def test_what_never_expires_has_no_time_to_live():
    assert "ttl" not in form(expires_ms=None)


def test_the_ids_india_asks_for_go_along():
    sent = form({"entity_id": "1101456324675322134", "content_id": "1107457532145798767"})
    assert (sent["entity-id"], sent["content-id"]) == ("1101456324675322134", "1107457532145798767")


def test_the_delivery_id_fits_the_reference():
    assert len(form()["client-ref"]) <= 100


@given(TEXT)
@pytest.mark.slow
def test_every_text_arrives_as_it_is(text):
    made = request((), {"signature_secret": SECRET}, parts={"body": text})
    assert made.body.isascii()
    assert dict(parse_qsl(made.body.decode(), keep_blank_values=True))["text"] == text


@pytest.mark.parametrize(
    "words",
    ["Invalid value for parameter: text", "from address is too long", "Invalid ttl", "Failed to set 'from'", "try to "],
)
def test_words_that_do_not_name_the_number_keep_it(words):
    body = msgspec.json.encode({"messages": [{"status": "3", "error-text": words}]}).decode()
    assert battery.answer(vonage, TABLE, {"status": 200, "body": body}).reason == "parameter"
