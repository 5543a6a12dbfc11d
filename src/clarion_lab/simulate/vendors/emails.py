"""SendGrid, Mailgun and Postmark; their responses are copied from the pages that their vendor modules name."""

from typing import Any, Final

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import (
    TEXT,
    Account,
    Secrets,
    VendorAnswer,
    VendorCall,
    VendorScript,
    basic,
    bearer,
    form_of,
    json_of,
    path_of,
    text_of,
)

SENDER: Final = "shop@example.com"
MAILGUN_DOMAIN: Final = "mg.example.com"

_SENDGRID: Final = {
    Answer.ACCEPTED: VendorAnswer(202, headers=(("x-message-id", "$id"),)),
    Answer.THROTTLE: VendorAnswer(
        429,
        '{"errors":[{"field":null,"message":"too many requests"}]}',
        headers=(("x-ratelimit-limit", "600"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "$reset_s")),
    ),
    Answer.ERROR_500: VendorAnswer(500, '{"errors":[{"message":"Internal server error","field":null,"help":null}]}'),
    Answer.INVALID_TOKEN: VendorAnswer(
        400,
        '{"errors":[{"message":"Does not contain a valid address.","field":"personalizations.0.to.0.email",'
        '"help":"http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message.personalizations.to"}]}',
    ),
    Answer.UNAUTHENTICATED: VendorAnswer(
        401, '{"errors":[{"field":null,"message":"The provided authorization grant is invalid, expired, or revoked"}]}'
    ),
    Answer.MALFORMED: VendorAnswer(400, '{"errors":[{"message":"Bad Request","field":null,"help":null}]}'),
}
_MAILGUN: Final = {
    Answer.ACCEPTED: VendorAnswer(200, '{"id":"<$id>","message":"Queued. Thank you."}'),
    Answer.THROTTLE: VendorAnswer(
        429,
        f'{{"message":"Domain {MAILGUN_DOMAIN} is not allowed to send: account-requests-per-sec limit exceeded, '
        'try again after $wait_s seconds"}',
    ),
    Answer.ERROR_500: VendorAnswer(500, '{"message":"Internal Server Error"}'),
    Answer.INVALID_TOKEN: VendorAnswer(
        400, """{"message":"'to' parameter is not a valid address. please check documentation"}"""
    ),
    Answer.UNAUTHENTICATED: VendorAnswer(401, "Forbidden", TEXT),
    Answer.MALFORMED: VendorAnswer(400, """{"message":"'from' parameter is missing"}"""),
}
_POSTMARK: Final = {
    Answer.ACCEPTED: VendorAnswer(
        200,
        '{"To":"$to","SubmittedAt":"2026-01-01T00:00:00.0000000-05:00","MessageID":"$id","ErrorCode":0,"Message":"OK"}',
    ),
    Answer.THROTTLE: VendorAnswer(429, '{"ErrorCode":429,"Message":"Rate Limit Exceeded"}', retry_after=True),
    Answer.ERROR_500: VendorAnswer(500, '{"Message":"Internal Server Error"}'),
    Answer.INVALID_TOKEN: VendorAnswer(
        422,
        '{"ErrorCode":406,"Message":"You tried to send to a recipient that has been marked as inactive.\\nFound inactive '
        'addresses: $to.\\nInactive recipients are ones that have generated a hard bounce or a spam complaint."}',
    ),
    Answer.UNAUTHENTICATED: VendorAnswer(
        401,
        '{"ErrorCode":10,"Message":"Request does not contain a valid Server token."}',
    ),
    Answer.MALFORMED: VendorAnswer(422, '{"ErrorCode":402,"Message":"Received invalid JSON input."}'),
}


def _authenticate_sendgrid(request: Request, secrets: Secrets) -> VendorAnswer | None:
    return None if bearer(request, _sendgrid_key(secrets)) else _SENDGRID[Answer.UNAUTHENTICATED]


def _parse_sendgrid(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    _of_content([part["value"] for part in body["content"]])
    text_of(body["from"]["email"])
    return VendorCall(
        text_of(body["custom_args"]["delivery_id"]), text_of(body["personalizations"][0]["to"][0]["email"])
    )


def _sendgrid_key(secrets: Secrets) -> str:
    return f"SG.{secrets.hex('sendgrid')}"


def _authenticate_mailgun(request: Request, secrets: Secrets) -> VendorAnswer | None:
    here = path_of(request).split("/")[2] == MAILGUN_DOMAIN
    return None if here and basic(request, "api", _mailgun_key(secrets)) else _MAILGUN[Answer.UNAUTHENTICATED]


def _parse_mailgun(request: Request, secrets: Secrets) -> VendorCall:
    form = form_of(request)
    _of_content([form.get("text") or form.get("html")])
    text_of(form["from"])
    if "," in form["to"]:
        raise ValueError("all recipients would see each other")
    return VendorCall(text_of(form["v:delivery_id"]), text_of(form["to"]))


def _mailgun_key(secrets: Secrets) -> str:
    return f"key-{secrets.hex('mailgun')}"


def _authenticate_postmark(request: Request, secrets: Secrets) -> VendorAnswer | None:
    known = request.headers.get("x-postmark-server-token") == secrets.hex("postmark")
    return None if known else _POSTMARK[Answer.UNAUTHENTICATED]


def _parse_postmark(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    _of_content([body.get("TextBody") or body.get("HtmlBody")])
    text_of(body["From"])
    return VendorCall(text_of(body["Metadata"]["delivery_id"]), text_of(body["To"]))


def _of_content(bodies: list[Any]) -> None:
    for body in bodies:
        text_of(body)


def _account(origin: str, credentials: dict[str, Any], **settings: str) -> Account:
    return {"settings": {"from_email": SENDER, "base_url": origin} | settings, "credentials": credentials}


def _somebody(secrets: Secrets, origin: str) -> str:
    return "ada@example.com"


SCRIPTS: Final = (
    VendorScript(
        "sendgrid", "email", "/v3/mail/send", _authenticate_sendgrid, _parse_sendgrid, _SENDGRID, "$hex",
        lambda secrets, origin: _account(origin, {"api_key": _sendgrid_key(secrets)}), _somebody,
    ),
    VendorScript(
        "mailgun", "email", "/v3/[^/]+/messages", _authenticate_mailgun, _parse_mailgun, _MAILGUN, f"$hex@{MAILGUN_DOMAIN}",
        lambda secrets, origin: _account(origin, {"api_key": _mailgun_key(secrets)}, domain=MAILGUN_DOMAIN), _somebody,
    ),
    VendorScript(
        "postmark", "email", "/email", _authenticate_postmark, _parse_postmark, _POSTMARK, "$uuid",
        lambda secrets, origin: _account(origin, {"server_token": secrets.hex("postmark")}), _somebody,
    ),
)  # fmt: skip
