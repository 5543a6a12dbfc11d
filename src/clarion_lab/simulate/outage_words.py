"""What vendors say while they are out of service, and to strangers where the check of credentials words that itself.

Copied from the pages the vendor modules name; a vendor that has no words of its own for 503 gives those of its gateway.
"""

from typing import Final

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.vendors.script import TEXT, Says

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
    "sendgrid": Says(503, '{"errors":[{"message":"Service Unavailable","field":null,"help":null}]}'),
    "mailgun": Says(503, _GATEWAY, _HTML),
    "postmark": Says(503, '{"ErrorCode":100,"Message":"Maintenance."}'),
    "twilio": Says(
        503, f'{{"code":20503,"message":"Service unavailable","more_info":"{_TWILIO}","status":503}}', retry_after=True
    ),
    "vonage": Says(503, _GATEWAY, _HTML),
    "termii": Says(503, '{"code":503,"message":"Service Unavailable","status":"error"}'),
    "ses": Says(
        503,
        '{"message":"Service is unable to handle request."}',
        headers=(("x-amzn-errortype", "ServiceUnavailable"),),
    ),
    "sns": Says(
        503,
        _SNS.format(kind="Receiver", code="ServiceUnavailable", words="Service is unable to handle request."),
        _XML,
    ),
    "apns": Says(503, '{"reason":"ServiceUnavailable"}', headers=(("apns-id", "$id"),), retry_after=True),
    "webpush": Says(
        503,
        '{"code":503,"errno":201,"error":"Service Unavailable","message":"Use exponential back-off for retries"}',
        retry_after=True,
    ),
    "whatsapp": Says(503, _BUSY),
    "slack": Says(503, '{"ok":false,"error":"service_unavailable"}'),
    "slack-webhook": Says(503, "Service Unavailable", TEXT),
}
"""By vendor, or by the name of one of its doors."""

UNAUTHENTICATED: Final = {
    "ses": Says(403, f'{{"message":"{_AMAZON_KEY}"}}', headers=(("x-amzn-errortype", "UnrecognizedClientException"),)),
    "sns": Says(403, _SNS.format(kind="Sender", code="InvalidClientTokenId", words=_AMAZON_KEY), _XML),
    "apns": Says(403, '{"reason":"InvalidProviderToken"}', headers=(("apns-id", "$id"),)),
    "webpush": Says(
        401,
        '{"code":401,"errno":109,"error":"Unauthorized","message":"Request did not validate Invalid Authorization Header"}',
    ),
}


def words(name: str, answer: Answer) -> Says | None:
    """Return what the vendor (or door) of this name says, None where its own module has the words."""
    return {Answer.UNAVAILABLE: UNAVAILABLE, Answer.UNAUTHENTICATED: UNAUTHENTICATED}.get(answer, {}).get(name)
