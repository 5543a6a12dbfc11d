"""Amazon SES and SNS; signatures are checked by AWS's description, independently of the code that makes them.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; errors are copied from the pages
the vendor modules name.
"""

import hashlib
import hmac
import re
from typing import Any, Final
from urllib.parse import quote

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import (
    Account,
    Secrets,
    VendorAnswer,
    VendorCall,
    VendorScript,
    form_of,
    json_of,
    path_of,
    text_key,
    text_of,
)

REGION: Final = "us-east-1"
_XML: Final = "text/xml"
_SNS_SPACE: Final = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'
_UNSIGNED: Final = "The request signature we calculated does not match the signature you provided."
_UNKNOWN: Final = "The security token included in the request is invalid."
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/([a-z]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), "
    r"Signature=([0-9a-f]{64})"
)


def _ses(status: int, kind: str, words: str) -> VendorAnswer:
    return VendorAnswer(status, f'{{"message":"{words}"}}', headers=(("x-amzn-errortype", kind),))


def _sns(status: int, code: str, words: str) -> VendorAnswer:
    kind = "Sender" if status < 500 else "Receiver"
    body = (
        f"<ErrorResponse {_SNS_SPACE}><Error><Type>{kind}</Type><Code>{code}</Code><Message>{words}</Message></Error>"
        "<RequestId>$uuid</RequestId></ErrorResponse>"
    )
    return VendorAnswer(status, body, _XML)


_SES: Final = {
    Answer.ACCEPTED: VendorAnswer(200, '{"MessageId":"$id"}'),
    Answer.THROTTLE: _ses(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
    Answer.ERROR_500: _ses(500, "InternalFailure", "Internal failure"),
    # SES accepts mail to dead mailboxes and reports the bounce by an event; it refuses only invalid addresses at once.
    Answer.INVALID_TOKEN: _ses(400, "BadRequestException", "Local address contains control or whitespace"),
    Answer.MALFORMED: _ses(400, "BadRequestException", "1 validation error detected"),
}
_SNS: Final = {
    Answer.ACCEPTED: VendorAnswer(
        200,
        f"<PublishResponse {_SNS_SPACE}><PublishResult><MessageId>$id</MessageId></PublishResult><ResponseMetadata>"
        "<RequestId>$uuid</RequestId></ResponseMetadata></PublishResponse>",
        _XML,
    ),
    Answer.THROTTLE: _sns(400, "Throttling", "Rate exceeded"),
    Answer.ERROR_500: _sns(500, "InternalError", "Internal error"),
    Answer.INVALID_TOKEN: _sns(
        400, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: $to is not valid to publish to"
    ),
    Answer.MALFORMED: _sns(400, "InvalidParameter", "Invalid parameter: Empty message"),
}


def _auth_error(request: Request, secrets: Secrets, service: str) -> tuple[str, str] | None:
    """Return the error of the signature as (code, text), or None."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        return "MissingAuthenticationToken", "Missing Authentication Token"
    key_id, day, region, named, names, signature = found.groups()
    if key_id != _key_id(secrets):
        return "InvalidClientTokenId", _UNKNOWN
    stamp = request.headers.get("x-amz-date", "")
    given = request.headers | {"host": request.headers.get(":authority", "")}
    covered = names.split(";")
    whole = {"host", "x-amz-date"} <= set(covered) <= set(given)
    if not whole or (region, named, stamp[:8]) != (REGION, service, day):
        return "SignatureDoesNotMatch", _UNSIGNED
    lines = "".join(f"{name}:{given[name].strip()}\n" for name in covered)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"POST\n{quote(path_of(request))}\n\n{lines}\n{names}\n{body}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{_secret(secrets)}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{day}/{region}/{service}/aws4_request\n{digest}"
    expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return None if expected == signature else ("SignatureDoesNotMatch", _UNSIGNED)


def _authenticate_ses(request: Request, secrets: Secrets) -> VendorAnswer | None:
    wrong = _auth_error(request, secrets, "ses")
    return _ses(403, *wrong) if wrong else None


def _authenticate_sns(request: Request, secrets: Secrets) -> VendorAnswer | None:
    wrong = _auth_error(request, secrets, "sns")
    return _sns(403, *wrong) if wrong else None


def _parse_ses(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    text_of(body["FromEmailAddress"])
    text_of(body["Content"]["Simple"]["Subject"]["Data"])
    tags: dict[str, Any] = {tag["Name"]: tag["Value"] for tag in body["EmailTags"]}
    return VendorCall(text_of(tags["delivery_id"]), text_of(body["Destination"]["ToAddresses"][0]))


def _parse_sns(request: Request, secrets: Secrets) -> VendorCall:
    form = form_of(request)
    if form["Action"] != "Publish":
        raise ValueError("no such action")
    return VendorCall(text_key("sns", form["PhoneNumber"], text_of(form["Message"])), text_of(form["PhoneNumber"]))


def _key_id(secrets: Secrets) -> str:
    return f"AKIA{secrets.hex('aws', 16).upper()}"


def _secret(secrets: Secrets) -> str:
    return secrets.hex("aws secret", 40)


def _account(secrets: Secrets, origin: str, **settings: str) -> Account:
    credentials = {"access_key_id": _key_id(secrets), "secret_access_key": _secret(secrets)}
    return {"settings": {"region": REGION, "base_url": origin} | settings, "credentials": credentials}


SCRIPTS: Final = (
    VendorScript(
        "ses", "email", "/v2/email/outbound-emails", _authenticate_ses, _parse_ses, _SES, "010001$hex-000000",
        lambda secrets, origin: _account(secrets, origin, from_email="shop@example.com"),
        lambda secrets, origin: "ada@example.com",
    ),
    VendorScript(
        "sns", "sms", "/", _authenticate_sns, _parse_sns, _SNS, "$uuid", _account, lambda secrets, origin: "+14155550101"
    ),
)  # fmt: skip
