"""The texts of vendors' responses during an outage, and to wrong credentials where the check of these has no text.

Copied from the pages that the vendor modules name; a vendor without its own text for 503 responds with that of its
gateway.
"""

from typing import Final

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.vendors.script import TEXT, VendorAnswer

_XML: Final = "text/xml"
_HTML: Final = "text/html"
_GATEWAY: Final = (
    "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service "
    "Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"
)
_SNS: Final = (
    '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>{kind}</Type><Code>{code}</Code>'
    "<Message>{words}</Message></Error><RequestId>$uuid</RequestId></ErrorResponse>"
)
_AMAZON_KEY: Final = "The security token included in the request is invalid."
_TWILIO: Final = "https://www.twilio.com/docs/errors/20503"
_BUSY: Final = (
    '{"error":{"message":"(#2) Service temporarily unavailable","type":"OAuthException","is_transient":true,"code":2,'
    '"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}'
)

UNAVAILABLE: Final = {
    "sendgrid": VendorAnswer(503, '{"errors":[{"message":"Service Unavailable","field":null,"help":null}]}'),
    "mailgun": VendorAnswer(503, _GATEWAY, _HTML),
    "postmark": VendorAnswer(503, '{"ErrorCode":100,"Message":"Maintenance."}'),
    "twilio": VendorAnswer(
        503, f'{{"code":20503,"message":"Service unavailable","more_info":"{_TWILIO}","status":503}}', retry_after=True
    ),
    "vonage": VendorAnswer(503, _GATEWAY, _HTML),
    "termii": VendorAnswer(503, '{"code":503,"message":"Service Unavailable","status":"error"}'),
    "ses": VendorAnswer(
        503,
        '{"message":"Service is unable to handle request."}',
        headers=(("x-amzn-errortype", "ServiceUnavailable"),),
    ),
    "sns": VendorAnswer(
        503,
        _SNS.format(kind="Receiver", code="ServiceUnavailable", words="Service is unable to handle request."),
        _XML,
    ),
    "apns": VendorAnswer(503, '{"reason":"ServiceUnavailable"}', headers=(("apns-id", "$id"),), retry_after=True),
    "webpush": VendorAnswer(
        503,
        '{"code":503,"errno":201,"error":"Service Unavailable","message":"Use exponential back-off for retries"}',
        retry_after=True,
    ),
    "whatsapp": VendorAnswer(503, _BUSY),
    "slack": VendorAnswer(503, '{"ok":false,"error":"service_unavailable"}'),
    "slack-webhook": VendorAnswer(503, "Service Unavailable", TEXT),
}
"""Texts by vendor, or by the name of one of its endpoints."""

UNAUTHENTICATED: Final = {
    "ses": VendorAnswer(
        403, f'{{"message":"{_AMAZON_KEY}"}}', headers=(("x-amzn-errortype", "UnrecognizedClientException"),)
    ),
    "sns": VendorAnswer(403, _SNS.format(kind="Sender", code="InvalidClientTokenId", words=_AMAZON_KEY), _XML),
    "apns": VendorAnswer(403, '{"reason":"InvalidProviderToken"}', headers=(("apns-id", "$id"),)),
    "webpush": VendorAnswer(
        401,
        '{"code":401,"errno":109,"error":"Unauthorized","message":"Request did not validate Invalid Authorization Header"}',
    ),
}


def words(name: str, answer: Answer) -> VendorAnswer | None:
    """Return the response of the vendor (or endpoint) of this name, None when its own module has the text."""
    return {Answer.UNAVAILABLE: UNAVAILABLE, Answer.UNAUTHENTICATED: UNAUTHENTICATED}.get(answer, {}).get(name)
