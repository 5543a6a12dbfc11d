"""Vonage's delivery receipts and inbound messages.

Delivery receipts: https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts; inbound messages:
https://developer.vonage.com/en/messaging/sms/guides/inbound-sms. Both come as GET, form or JSON, by the account's
settings. In receipts `msisdn` is the recipient and `to` the account's sender; in inbound messages `msisdn` is the
person and `to` the account's number.
"""

from collections.abc import Mapping
from typing import Final

from clarion.domain.content import Account
from clarion.domain.limits_delivery import (
    CALL_FIELDS_MAX,
    CALL_FORM_BYTES_MAX,
    INBOUND_TEXT_CHARS_MAX,
    RECEIPT_AGE_MS_MAX,
    RECEIPT_AHEAD_MS_MAX,
)
from clarion.ports.receipts import (
    Forged,
    Inbound,
    ParsedCall,
    Receipt,
    ReceiptCall,
    ReceiptKind,
    Suppress,
    Unreadable,
    keyword_of,
)
from clarion.providers.calls import (
    event_id,
    form_of,
    json_of,
    line,
    number_of,
    plain,
    query_of,
    same,
    seconds_ms,
    utc_ms,
)
from clarion.providers.vonage_signature import signature

KINDS: Final[dict[str, ReceiptKind | None]] = {
    "delivered": "delivered",
    **dict.fromkeys(("expired", "failed", "rejected"), "bounced"),
    **dict.fromkeys(("buffered", "unknown"), "deferred"),
    "accepted": None,
}
"""Receipt kinds by a receipt's `status`; None makes no receipt."""

ERRORS: Final[dict[str, str]] = {
    "1": "unknown",
    "2": "absent for now",
    "3": "absent for good",
    "4": "call barred",
    "5": "portability error",
    "6": "rejected as spam",
    "7": "handset busy",
    "8": "network error",
    "9": "asked not to be messaged",
    "10": "invalid message",
    "11": "unroutable",
    "12": "unreachable",
    "13": "age restriction",
    "14": "blocked by the carrier",
    "15": "out of prepaid credit",
    "99": "general error",
}
"""Texts for `err-code`. For 9 see https://developer.vonage.com/en/opt-out-assist/guides/messaging-opted-out-numbers."""

SUPPRESSED: Final[dict[str, str]] = {"3": "invalid_recipient", "9": "stop"}
"""Reasons to suppress a number, by the `err-code` of a failure."""


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the delivery receipt or the inbound message of a call; the delivery's reference is its `client-ref`.
    `Forged` when the signature is not valid, `Unreadable` when a required field is missing."""
    secret = account.credentials.get("signature_secret")
    if not secret:
        return Forged("no signature_secret is set")
    fields = _fields(call)
    if fields is None:
        return Forged("the parameters cannot be read")
    method = account.settings.get("signature_method") or "sha256"
    if not same(fields.get("sig", "").lower(), signature(fields, str(secret), method)):
        return Forged("sig does not match")
    # Vonage repeats calls for a day, perhaps with the time of the first attempt, so the allowed age is longer than
    # that.
    timestamp = fields.get("timestamp", "")
    sent_ms = seconds_ms(timestamp) or utc_ms(timestamp)
    if not now_ms - RECEIPT_AGE_MS_MAX <= sent_ms <= now_ms + RECEIPT_AHEAD_MS_MAX:
        return Forged("timestamp is too old, missing or in the future")
    id_ = fields.get("messageId") or fields.get("message-id") or ""
    if not id_ or not fields.get("msisdn"):
        return Unreadable("messageId or msisdn is missing")
    if "status" in fields:
        return _receipt(id_, fields)
    if "text" in fields or "type" in fields:
        return [_inbound(id_, fields)]
    return Unreadable("neither a delivery receipt nor a message")


def _receipt(id_: str, fields: Mapping[str, str]) -> list[Receipt | Inbound] | Unreadable:
    status, code = fields["status"].casefold(), fields.get("err-code", "")
    if status not in KINDS:
        return Unreadable(line("unknown status", status))
    kind = KINDS[status]
    if kind is None:
        return []
    number = number_of(fields["msisdn"])
    reason = SUPPRESSED.get(code) if kind == "bounced" else None
    return [
        Receipt(
            kind,
            event_id("vonage", id_, status, code),
            reference=fields.get("client-ref", ""),
            vendor_message_id=id_,
            at_ms=utc_ms(fields.get("message-timestamp", "")),
            detail=line(status, code if code != "0" else "", ERRORS.get(code, "")),
            suppress=Suppress(number, reason) if number and reason else None,
        )
    ]


def _inbound(id_: str, fields: Mapping[str, str]) -> Inbound:
    """Return an inbound message. One part of a long text is never a keyword."""
    text = fields.get("text", "")
    return Inbound(
        event_id("vonage", id_, "inbound"),
        number_of(fields["msisdn"]) or line(fields["msisdn"]),
        text[:INBOUND_TEXT_CHARS_MAX],
        "other" if fields.get("concat", "").casefold() == "true" else keyword_of(text),
        utc_ms(fields.get("message-timestamp", "")),
    )


def _fields(call: ReceiptCall) -> dict[str, str] | None:
    """Return the parameters of the query, form or JSON body, or None when they could differ from the signed ones: the
    signature joins names and values by `&` and `=`, and covers each name once."""
    if len(call.body) > CALL_FORM_BYTES_MAX:
        return None
    body = json_of(call.body) if call.body[:1] == b"{" else None
    pairs: list[tuple[str, str]] | None
    if call.method == "GET":
        pairs = query_of(call.url)
    elif isinstance(body, dict):
        pairs = [(name, plain(value)) for name, value in body.items() if plain(value) == str(value)]
        if len(pairs) < len(body) or len(pairs) > CALL_FIELDS_MAX:
            return None
    else:
        pairs = form_of(call.body)
    fields = dict(pairs or [])
    if len(fields) < len(pairs or []) or any("&" in name or "=" in name for name in fields):
        return None
    return fields or None
