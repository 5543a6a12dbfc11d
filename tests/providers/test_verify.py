"""The result of verifying a working and a broken account of each vendor."""

from typing import cast

import msgspec
import pytest

from clarion.domain.message import HttpRequest, HttpResponse, SmtpReply, SmtpRequest
from clarion.domain.outcome import Misconfigured
from clarion.ports.vendor import VerifiableVendor
from clarion.providers import catalogue
from tests.providers import battery

AWS_SIGNATURE = b'{"message": "The security token included in the request is invalid."}'
AWS_DENIED = b'{"message": "User is not authorized to perform: ses:GetAccount"}'
UNSUPPORTED = {"inapp", "sandbox", "webhook", "webpush", "apprise"}

GOOD = {
    "chat_slack": [(200, {}, b'{"ok": true}'), (200, {}, b'{"ok": false, "error": "ratelimited"}')],
    "email_mailgun": [(200, {}, b'{"domain": {"state": "active"}}')],
    "email_postmark": [(200, {}, b'{"ID": 1}')],
    "email_sendgrid": [(200, {}, b'{"scopes": ["mail.send"]}')],
    "email_ses": [
        (200, {}, b'{"SendingEnabled": true}'),
        (403, {"x-amzn-errortype": "AccessDeniedException"}, AWS_DENIED),
    ],
    "push_apns": [(400, {}, b'{"reason": "BadDeviceToken"}'), (200, {}, b"")],
    "push_fcm": [(200, {}, b'{"name": "projects/shop/messages/fake"}')],
    "sms_sns": [
        (200, {}, b"<GetSMSAttributesResponse/>"),
        (403, {}, b"<ErrorResponse><Error><Code>AuthorizationError</Code></Error></ErrorResponse>"),
    ],
    "sms_termii": [(200, {}, b'{"user": "x", "balance": 1, "currency": "NGN"}')],
    "sms_twilio": [(200, {}, b'{"status": "active"}')],
    "sms_vonage": [(200, {}, b'{"value": 10.28, "autoReload": false}')],
    "whatsapp_whatsapp": [(200, {}, b'{"id": "1"}')],
}
BAD = {
    "chat_slack": [(200, {}, b'{"ok": false, "error": "invalid_auth"}', "invalid_auth")],
    "email_mailgun": [
        (401, {}, b"Forbidden", "Forbidden"),
        (404, {}, b'{"message": "Domain not found"}', "Domain not found"),
        (200, {}, b'{"domain": {"state": "disabled"}}', "disabled"),
    ],
    "email_postmark": [(401, {}, b'{"ErrorCode": 10, "Message": "Bad or missing API token."}', "10 Bad or missing")],
    "email_sendgrid": [
        (401, {}, b'{"errors": [{"message": "authorization required"}]}', "authorization required"),
        (200, {}, b'{"scopes": ["alerts.read"]}', "mail.send"),
    ],
    "email_ses": [
        (403, {"x-amzn-errortype": "UnrecognizedClientException"}, AWS_SIGNATURE, "UnrecognizedClient"),
        (200, {}, b'{"SendingEnabled": false}', "disabled"),
    ],
    "push_apns": [
        (403, {}, b'{"reason": "InvalidProviderToken"}', "InvalidProviderToken"),
        (400, {}, b'{"reason": "TopicDisallowed"}', "TopicDisallowed"),
    ],
    "push_fcm": [
        (403, {}, b'{"error": {"status": "PERMISSION_DENIED", "message": "no"}}', "PERMISSION_DENIED no"),
        (404, {}, b'{"error": {"status": "NOT_FOUND", "message": "project"}}', "NOT_FOUND"),
    ],
    "sms_sns": [
        (403, {}, b"<Error><Code>InvalidClientTokenId</Code><Message>bad</Message></Error>", "InvalidClientTok")
    ],
    "sms_termii": [(401, {}, b'{"message": "Invalid api key"}', "Invalid api key")],
    "sms_twilio": [
        (401, {}, b'{"code": 20003, "message": "Authenticate"}', "20003 Authenticate"),
        (200, {}, b'{"status": "suspended"}', "suspended"),
    ],
    "sms_vonage": [(401, {}, b'{"error-code": "401", "error-code-label": "authentication failed"}', "authentication")],
    "whatsapp_whatsapp": [
        (401, {}, b'{"error": {"code": 190, "message": "expired"}}', "expired"),
        (400, {}, b'{"error": {"code": 100, "error_subcode": 33, "message": "Unsupported get"}}', "Unsupported get"),
    ],
}


def of(table_name):
    table = battery.tables()[table_name]
    vendors, account = catalogue.load(), battery.account(table)
    account = msgspec.structs.replace(account, settings=dict(account.settings))
    return cast(VerifiableVendor, vendors[account.channel, account.vendor]), account


@pytest.mark.parametrize("name", GOOD)
def test_a_good_account_shows_nothing_wrong(name):
    vendor, account = of(name)
    assert [vendor.read_verify(HttpResponse(*answer), account) for answer in GOOD[name]] == [None] * len(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_account_is_reported_in_the_vendors_words(name):
    vendor, account = of(name)
    for *answer, words in BAD[name]:
        wrong = vendor.read_verify(HttpResponse(*answer), account)
        assert isinstance(wrong, Misconfigured)
        assert words in wrong.detail


@pytest.mark.parametrize("name", GOOD)
def test_hostile_answers_raise_nothing(name):
    vendor, account = of(name)
    for body in (*battery.BODIES, battery.OVERSIZE):
        for status in (200, 400, 401):
            assert isinstance(vendor.read_verify(HttpResponse(status, {}, body), account), Misconfigured | None)


@pytest.mark.parametrize("name", GOOD)
def test_the_call_sends_nothing_and_shows_no_secret(name):
    vendor, account = of(name)
    request = vendor.verify_request(account, now_ms=battery.NOW_MS, token="a-token")
    assert isinstance(request, HttpRequest)
    assert request.url.startswith("https://")
    assert not [value for value in account.credentials.values() if value in repr(request)]


def test_every_vendor_can_be_tried_or_is_known_not_to_be():
    able = {vendor for (_, vendor), module in catalogue.load().items() if hasattr(module, "verify_request")}
    known = {vendor for _, vendor in catalogue.load()}
    assert able == {name.partition("_")[2] for name in GOOD} | {"smtp"}
    assert known - able <= UNSUPPORTED


def test_an_account_of_webhooks_alone_cannot_be_tried():
    vendor, account = of("chat_slack")
    account.credentials.clear()
    assert vendor.verify_request(account, now_ms=battery.NOW_MS, token=None) is None


def test_an_api_key_of_twilio_asks_for_what_it_may_see():
    vendor, account = of("sms_twilio")
    account.settings.pop("api_key_sid", None)
    assert vendor.verify_request(account, now_ms=0, token=None).url.endswith(f"/{account.settings['account_sid']}.json")
    account.settings["api_key_sid"] = "SK" + "0" * 32
    assert vendor.verify_request(account, now_ms=0, token=None).url.endswith("/Messages.json?PageSize=1")


@pytest.mark.parametrize(
    ("reply", "bad"),
    [
        (SmtpReply("noop", 250, "ok"), False),
        (SmtpReply("auth", 535, "5.7.8 no such user"), True),
        (SmtpReply("auth", 504, "mechanism"), True),
        (SmtpReply("connect", 554, "go away"), False),
        (SmtpReply("noop", 530, "authenticate first"), True),
    ],
)
def test_smtp_goes_as_far_as_auth(reply, bad):
    vendor, account = of("email_smtp")
    request = vendor.verify_request(account, now_ms=battery.NOW_MS, token=None)
    assert isinstance(request, SmtpRequest)
    assert (request.recipient, request.payload) == ("", b"")
    assert (vendor.read_verify(reply, account) is not None) is bad


def test_a_key_that_cannot_sign_is_found_before_the_first_mail():
    vendor, account = of("email_smtp_dkim")
    vendor.verify_request(account, now_ms=battery.NOW_MS, token=None)
    account.credentials["dkim_private_key"] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    with pytest.raises(ValueError, match="dkim"):
        vendor.verify_request(account, now_ms=battery.NOW_MS, token=None)
