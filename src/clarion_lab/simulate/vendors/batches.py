"""Calls with many messages: the responses of vendors, for each message or once for all."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import VendorCall, form_of, json_of, text_of

_CALLS: Final = frozenset(Answer) - {Answer.ACCEPTED, Answer.INVALID_TOKEN}
"""Answers that hold for a whole call."""


class Batch(msgspec.Struct, frozen=True):
    """A vendor's form of calls with many messages.

    `parse_call` returns the messages of a call, an empty list when it has only one; it raises like that of
    `VendorScript`. When one of the drawn answers is in `whole`, all messages get it, and none is accepted.
    `vendor_answer` returns the body of a response with an entry for each message, from their answers and values;
    without it, one response and one id is for all.
    """

    vendor: str
    path: str
    parse_call: Callable[[Request], list[VendorCall]]
    whole: frozenset[Answer] = _CALLS
    vendor_answer: Callable[[list[Answer], list[dict[str, str]]], Any] | None = None
    dead: Callable[[list[int]], Any] | None = None


def _parse_sendgrid(request: Request) -> list[VendorCall]:
    body = json_of(request)
    text_of(body["from"]["email"])
    personal = body["personalizations"]
    if len(personal) < 2:
        return []
    call = [
        VendorCall(text_of(one["custom_args"]["delivery_id"]), text_of(one["to"][0]["email"]))
        for one in personal
        if len(one["to"]) == 1
    ]
    if len({one.to.lower() for one in call}) < len(personal):
        raise ValueError("an address is there twice")
    return call


def _dead_of_sendgrid(places: list[int]) -> Any:
    words = "Does not contain a valid address."
    return {"errors": [{"message": words, "field": f"personalizations.{at}.to.0.email", "help": None} for at in places]}


def _parse_mailgun(request: Request) -> list[VendorCall]:
    form = form_of(request)
    recipients = form["to"].split(", ")
    if len(recipients) < 2:
        return []
    text_of(form["from"])
    variables = msgspec.json.decode(form["recipient-variables"])
    name = text_of(form["v:delivery_id"]).removeprefix("%recipient.").removesuffix("%")
    return [VendorCall(text_of(variables[to][name]), to) for to in recipients]


def _parse_postmark(request: Request) -> list[VendorCall]:
    return [VendorCall(text_of(one["Metadata"]["delivery_id"]), text_of(one["To"])) for one in json_of(request)]


def _answer_postmark(answers: list[Answer], values: list[dict[str, str]]) -> Any:
    return [
        {
            "To": one["to"],
            "SubmittedAt": "2026-01-01T00:00:00Z",
            "MessageID": one["id"],
            "ErrorCode": 0,
            "Message": "OK",
        }
        if answer is Answer.ACCEPTED
        else {
            "ErrorCode": 406,
            "Message": "You tried to send to a recipient that has been marked as inactive.\nFound inactive addresses: "
            f"{one['to']}.\nInactive recipients are ones that have generated a hard bounce or a spam complaint.",
        }
        for answer, one in zip(answers, values, strict=True)
    ]


def _parse_ses(request: Request) -> list[VendorCall]:
    body = json_of(request)
    text_of(body["FromEmailAddress"])
    template = body["DefaultContent"]["Template"]
    if any("{{" in text for text in template["TemplateContent"].values()) or template["TemplateData"] != "{}":
        raise ValueError("no variables here")
    return [_entry_of_ses(entry) for entry in body["BulkEmailEntries"]]


def _entry_of_ses(entry: dict[str, Any]) -> VendorCall:
    tags = {tag["Name"]: tag["Value"] for tag in entry["ReplacementTags"]}
    return VendorCall(text_of(tags["delivery_id"]), text_of(entry["Destination"]["ToAddresses"][0]))


def _answer_ses(answers: list[Answer], values: list[dict[str, str]]) -> Any:
    entries = [
        {"Status": "SUCCESS", "MessageId": one["id"]}
        if answer is Answer.ACCEPTED
        else {"Status": "INVALID_PARAMETER", "Error": "Local address contains control or whitespace"}
        for answer, one in zip(answers, values, strict=True)
    ]
    return {"BulkEmailEntryResults": entries}


BATCHES: Final = (
    Batch("sendgrid", "/v3/mail/send", _parse_sendgrid, _CALLS | {Answer.INVALID_TOKEN}, dead=_dead_of_sendgrid),
    Batch("mailgun", "/v3/[^/]+/messages", _parse_mailgun, _CALLS | {Answer.INVALID_TOKEN}),
    Batch("postmark", "/email/batch", _parse_postmark, vendor_answer=_answer_postmark),
    Batch("ses", "/v2/email/outbound-bulk-emails", _parse_ses, vendor_answer=_answer_ses),
)
