"""Amazon SNS text messages: `Publish` to a phone number, by the query API.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html and
https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html.
"""

import html
import re
from typing import Final
from urllib.parse import urlencode

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
)
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers import sigv4
from clarion.providers.answers import error_detail, retry_after_ms
from clarion.providers.texting import SEGMENTS, by_status_unkeyed, digits_of, text_of

BODY: Final = ContentLimit(
    ("body",), "chars", 1_600, "refuse", "SNS takes 1,600 bytes, and itself refuses a text over it by its encoding"
)

TRAITS: Final = Traits(
    vendor="sns",
    channels=(Channel.SMS,),
    title="Amazon SNS",
    transport="http",
    settings=(
        *sigv4.SETTINGS,
        Field("sender_id", about="name shown as the sender", pattern=r"(?=.*[A-Za-z])[A-Za-z0-9-]{1,11}"),
        Field("origination_number", about="number messages come from", pattern=r"\+?[0-9]{3,15}"),
        Field(
            "sms_type",
            about="Transactional for what must arrive, Promotional for what must cost little",
            pattern="Transactional|Promotional",
            default="Transactional",
        ),
        Field("max_price", about="most US dollars a message may cost", pattern=r"[0-9]{1,4}(\.[0-9]{1,5})?"),
        Field("entity_id", about="India: id of the registered sender", pattern=r"[0-9A-Za-z]{1,50}"),
        Field("template_id", about="India: id of the registered template", pattern=r"[0-9A-Za-z]{1,50}"),
    ),
    credentials=sigv4.CREDENTIALS,
    parts=("body",),
    required_parts=("body",),
    idempotent=False,
    on_ambiguous="retry",
    docs="https://docs.aws.amazon.com/sns/latest/dg/sns-mobile-phone-number-as-subscriber.html",
    limits=(BODY, SEGMENTS),
)

THROTTLED_MS: Final = 1_000

ATTRIBUTES: Final[tuple[tuple[str, str, str], ...]] = (
    # setting, attribute of the message, its type
    ("sms_type", "AWS.SNS.SMS.SMSType", "String"),
    ("sender_id", "AWS.SNS.SMS.SenderID", "String"),
    ("max_price", "AWS.SNS.SMS.MaxPrice", "Number"),
    ("origination_number", "AWS.MM.SMS.OriginationNumber", "String"),
    ("entity_id", "AWS.MM.SMS.EntityId", "String"),
    ("template_id", "AWS.MM.SMS.TemplateId", "String"),
)

OUTCOMES: Final[dict[str, str]] = sigv4.CODES | {
    "InvalidParameter": "invalid_parameter",
    "ParameterValueInvalid": "invalid_parameter",
    "InvalidParameterValue": "invalid_parameter",
    "OptedOut": "dead",
    "KMSThrottling": "later",
    "AuthorizationError": "account",
    "InvalidSecurity": "account",
    "KMSAccessDenied": "account",
    "KMSDisabled": "account",
    "KMSInvalidState": "account",
    "KMSNotFound": "account",
    "KMSOptInRequired": "account",
    "EndpointDisabled": "account",
    "PlatformApplicationDisabled": "account",
    "NotFound": "account",
    "InternalError": "unsure",
    "InternalFailure": "unsure",
    "ServiceUnavailable": "unsure",
}
"""Meanings of an error's code; a meaning that names no outcome refuses with that reason. After `unsure` the message may
have been sent, so another attempt may send a second one."""

PHONE: Final = re.compile(r"invalid parameter: phonenumber\b", re.IGNORECASE)
"""The beginning of an `InvalidParameter` that is about the number and no other parameter."""
SMS_REGIONS: Final = frozenset((
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "us-gov-west-1", "af-south-1", "ap-northeast-1",
    "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3",
    "ap-southeast-4", "ca-central-1", "ca-west-1", "eu-central-1", "eu-north-1", "eu-south-1", "eu-west-1",
    "eu-west-2", "eu-west-3", "me-south-1", "sa-east-1",
))  # fmt: skip
"""Regions known to send text messages. In any other region SNS calls every number invalid, so there the message is
refused and its number not suppressed."""

_ELEMENT: Final = re.compile(rb"<(Code|Message|MessageId)>([^<]{0,8000})</")


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed `Publish` call. SNS takes no idempotency key for phone numbers and no id of the client. Raises
    `ValueError` when the message cannot be sent."""
    settings, text = account.settings, text_of(message)
    BODY.check(len(text))
    number = f"+{digits_of(message)}"
    form = {"Action": "Publish", "Version": "2010-03-31", "PhoneNumber": number, "Message": text}
    given = {"sms_type": "Transactional"} | {name: value for name, value in settings.items() if value}
    present = [(attribute, kind, given[name]) for name, attribute, kind in ATTRIBUTES if name in given]
    for at, (attribute, kind, value) in enumerate(present, 1):
        entry = f"MessageAttributes.entry.{at}"
        form |= {f"{entry}.Name": attribute, f"{entry}.Value.DataType": kind, f"{entry}.Value.StringValue": value}
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = HttpRequest("POST", sigv4.origin(account, "sns") + "/", headers, urlencode(form).encode())
    return sigv4.signed(request, account, "sns", now_ms)


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response of `Publish`, by the error's code before the HTTP status: throttling may be a
    400."""
    found = _elements(response.body)
    code = sigv4.code_of(found.get("Code", ""))
    if response.status == 200 and not code and found.get("MessageId"):
        return Accepted(found["MessageId"])
    words = f"{code} {found.get('Message', '')}".strip()
    detail, after_ms = error_detail(response, words), retry_after_ms(response.headers, now_ms)
    match OUTCOMES.get(code):
        case None:
            return by_status_unkeyed(response, now_ms, words)
        case "invalid_parameter" if code == "InvalidParameter" and PHONE.match(found.get("Message", "")):
            known = account.settings["region"] in SMS_REGIONS
            return InvalidRecipient(detail) if known else Refused("invalid_phone_number", detail)
        case "dead":
            return InvalidRecipient(detail)
        case "later":
            return Throttled(THROTTLED_MS if after_ms is None else after_ms, detail)
        case "unsure":
            return Ambiguous(detail, after_ms)
        case "account":
            return Misconfigured(detail)
        case reason:
            return Refused(reason, detail)


def _elements(body: bytes) -> dict[str, str]:
    """Return the text of the first element of each name used here; SNS's XML is so flat that it needs no parser."""
    found: dict[str, str] = {}
    for name, text in _ELEMENT.findall(body):
        found.setdefault(name.decode(), html.unescape(text.decode("utf-8", "replace")).strip())
    return found


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed `GetSMSAttributes` call."""
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    form = urlencode({"Action": "GetSMSAttributes", "Version": "2010-03-31"}).encode()
    request = HttpRequest("POST", sigv4.origin(account, "sns") + "/", headers, form)
    return sigv4.signed(request, account, "sns", now_ms)


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return the fault of the account, or None. A key that may send but not read gets `AuthorizationError`, and
    an invalid key another error."""
    found = _elements(response.body)
    return sigv4.unusable(response, sigv4.code_of(found.get("Code", "")), found.get("Message", ""))
