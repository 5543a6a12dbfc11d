"""SendGrid's delivery receipts: the signed Event Webhook.

Events: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event; signature:
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
(ECDSA over the timestamp and the raw body). SendGrid repeats a refused call for 24 hours, and no page says that it
signs again; so a call may be old, which does no harm, as each event has an id.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from clarion.domain.content import Account
from clarion.domain.limits_delivery import RECEIPT_AGE_MS_MAX, RECEIPT_AHEAD_MS_MAX
from clarion.ports.receipts import Forged, ParsedCall, Receipt, ReceiptCall, ReceiptKind, Suppress, Unreadable
from clarion.providers.calls import event_id, json_of, line, objects, plain, seconds_ms

SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"

KINDS: Final[dict[str, ReceiptKind | None]] = {
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "dropped": "bounced",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "resubscribed",
    "processed": None,
}
"""Receipt kinds by event; events of the account, and unknown ones, are not about a message."""

DROPPED: Final[dict[str, str]] = {
    "bounced address": "hard_bounce",
    "invalid": "hard_bounce",
    "spam reporting address": "complaint",
    "unsubscribed address": "unsubscribed",
}
"""Permanent reasons why SendGrid made no attempt; the address was suppressed there before."""

SUPPRESSED: Final = {"spamreport": "complaint", "unsubscribe": "unsubscribed"}
"""An unsubscribe from one group of SendGrid makes a receipt and suppresses nothing: Clarion does not use the groups."""


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the receipts of a batch of events, `Forged` when the signature is not valid, `Unreadable` when there is no
    list."""
    key = account.settings.get("webhook_public_key")
    if not key:
        return Forged("no webhook_public_key is set")
    timestamp = call.headers.get(TIMESTAMP, "")
    if call.method != "POST" or not _is_signed(call, timestamp, str(key)):
        return Forged("the signature is missing or does not match")
    if not now_ms - RECEIPT_AGE_MS_MAX <= seconds_ms(timestamp) <= now_ms + RECEIPT_AHEAD_MS_MAX:
        return Forged("the timestamp is too old, or ahead")
    body = json_of(call.body)
    if not isinstance(body, list):
        return Unreadable("the body is not a list of events")
    return [receipt for event in objects(body) if (receipt := _receipt(event)) is not None]


def _receipt(event: dict[str, Any]) -> Receipt | None:
    name = plain(event.get("event"))
    kind = KINDS.get(name)
    if kind is None:
        return None
    id_, message_id, at = (
        plain(event.get("sg_event_id")),
        plain(event.get("sg_message_id")),
        plain(event.get("timestamp")),
    )
    address = plain(event.get("email"))
    reason = _reason(name, event)
    words = (plain(event.get(word)) for word in ("status", "type", "reason", "response", "url"))
    return Receipt(
        kind,
        event_id("sendgrid", id_) if id_ else event_id("sendgrid", name, message_id, address, at),
        reference=plain(event.get("delivery_id")),
        # The part before the first dot is the id of the response; the rest is SendGrid's own.
        vendor_message_id=message_id.partition(".")[0],
        at_ms=seconds_ms(at),
        detail=line(*words).strip() or name,
        suppress=Suppress(address, reason) if address and reason else None,
    )


def _reason(name: str, event: Mapping[str, Any]) -> str | None:
    match name:
        case "bounce":
            # A block is about this message or sender, not about the address.
            return None if plain(event.get("type")) == "blocked" else "hard_bounce"
        case "dropped":
            return DROPPED.get(plain(event.get("reason")).strip().casefold())
        case _:
            return SUPPRESSED.get(name)


def _is_signed(call: ReceiptCall, timestamp: str, key: str) -> bool:
    try:
        public = load_der_public_key(base64.b64decode(key, validate=True))
        signature = base64.b64decode(call.headers.get(SIGNATURE, ""), validate=True)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(signature, timestamp.encode(errors="replace") + call.body, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, binascii.Error):
        return False
    return True
