"""Webhook signatures: the specification's vector, its reference verifier, and everything that must not verify."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from clarion.providers.webhook import standard
from tests.providers import battery

TABLE = battery.tables()["webhook_webhook"]
SECRET = TABLE["account"]["credentials"]["secret"]
OTHER = "whsec_" + "QUFB" * 10


def signed_now(**credentials):
    account = battery.account(TABLE)
    account = msgspec.structs.replace(account, credentials={"secret": SECRET, **credentials})
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return standard.build(battery.message(TABLE), account, now_ms=now_ms, token=None)


def test_the_published_vector():
    signature = standard.sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_verifier_accepts_us():
    request = signed_now()
    assert Webhook(SECRET).verify(request.body, request.headers)["type"] == "order.shipped"


def test_both_secrets_sign_while_one_replaces_the_other():
    request = signed_now(previous_secret=OTHER)
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(request.body, request.headers)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("webhook-id", "dlv_other"),
        ("webhook-timestamp", "+1"),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", None),
    ],
)
def test_a_changed_header_does_not_verify(header, value):
    request = signed_now()
    changed = str(int(request.headers[header]) + 1) if value == "+1" else value
    headers = (
        {**request.headers, header: changed} if changed else {k: v for k, v in request.headers.items() if k != header}
    )
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body, headers)


@pytest.mark.parametrize("shift", [timedelta(minutes=-6), timedelta(minutes=6)])
def test_an_old_or_future_message_does_not_verify(shift):
    now_ms = int((datetime.now(UTC) + shift).timestamp() * 1000)
    request = standard.build(battery.message(TABLE), battery.account(TABLE), now_ms=now_ms, token=None)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body, request.headers)


def test_a_changed_body_or_other_secret_does_not_verify():
    request = signed_now()
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.body, request.headers)


def test_retries_keep_id_and_body_and_renew_the_timestamp():
    account, first = battery.account(TABLE), battery.build(standard, TABLE)
    again = standard.build(battery.message(TABLE, attempt=2), account, now_ms=battery.NOW_MS + 60_000, token=None)
    assert (again.body, again.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    assert again.headers["webhook-timestamp"] == "1790000060"
    assert "." not in first.headers["webhook-id"] + first.headers["webhook-timestamp"]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_%%%%", "x" * 40, "whsec_" + "QUFB" * 22])
def test_a_secret_has_24_to_64_bytes(secret):
    with pytest.raises(ValueError, match="24 to 64") as caught:
        standard.sign(secret, "id", "1", b"")
    assert secret == "" or secret not in str(caught.value).replace("whsec_ followed", "")


def test_an_address_that_is_no_url_is_refused():
    with pytest.raises(ValueError, match="URL"):
        battery.build(standard, TABLE, address="ftp://x.example/")
