"""Mailgun's delivery receipts, one event a call.

Events: https://documentation.mailgun.com/docs/mailgun/user-manual/events/events; signature and repeats (eight hours,
with the same signature): https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks. The
signature covers a time and a token, not the event: an observer of one call could forge other calls with it, so a token
is accepted for one body only.
"""

from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.content import Account
from clarion.domain.limits_delivery import MAILGUN_RECEIPT_AGE_MS_MAX, RECEIPT_AHEAD_MS_MAX
from clarion.ports.receipts import Forged, ParsedCall, Receipt, ReceiptCall, ReceiptKind, Suppress, Unreadable
from clarion.providers.calls import event_id, hex_hmac, json_of, line, part, plain, same, seconds_ms

KINDS: Final[dict[str, ReceiptKind | None]] = {
    "delivered": "delivered",
    "failed permanent": "bounced",
    "failed temporary": "deferred",
    "rejected": "bounced",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
    "opened": "opened",
    "clicked": "clicked",
    "accepted": None,
    "stored": None,
}
"""Receipt kinds by event, with the `severity` of one that `failed`."""

LISTED: Final[dict[str, str]] = {
    "suppress-bounce": "hard_bounce",
    "suppress-complaint": "complaint",
    "suppress-unsubscribe": "unsubscribed",
}
"""Reasons why Mailgun made no attempt: the address is on Mailgun's own list."""

BAD_MAILBOX: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.10"})
"""Enhanced codes (RFC 3463) of a mailbox or domain that does not exist."""
_HARD: Final = frozenset({"bounce", "hardfail"})


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the receipt of a call, `Forged` when its signature is not valid, `Unreadable` when it has no event."""
    key = account.credentials.get("webhook_signing_key")
    if not key:
        return Forged("no webhook_signing_key is set")
    body = json_of(call.body)
    signature = part(body, "signature")
    timestamp, token = plain(signature.get("timestamp")), plain(signature.get("token"))
    expected = hex_hmac(str(key), (timestamp + token).encode(errors="replace"), "sha256")
    if call.method != "POST" or not token or not same(plain(signature.get("signature")).lower(), expected):
        return Forged("the signature is missing or does not match")
    if not now_ms - MAILGUN_RECEIPT_AGE_MS_MAX <= seconds_ms(timestamp) <= now_ms + RECEIPT_AHEAD_MS_MAX:
        return Forged("the timestamp is too old, or ahead")
    event = part(body, "event-data")
    name = plain(event.get("event"))
    if not name:
        return Unreadable("event-data is missing")
    severity = plain(event.get("severity"))
    kind = KINDS.get(f"{name} {severity}" if name == "failed" else name)
    return [] if kind is None else [_receipt(kind, event, token)]


def _receipt(kind: ReceiptKind, event: dict[str, Any], token: str) -> Receipt:
    status, message = part(event, "delivery-status"), part(event, "message")
    address = plain(event.get("recipient"))
    reason = _reason(kind, event, status)
    words = [
        plain(event.get("reason")),
        plain(status.get("code")),
        plain(status.get("description")),
        plain(event.get("url")),
    ]
    at = event.get("timestamp")
    return Receipt(
        kind,
        event_id("mailgun", token),
        reference=plain(part(event, "user-variables").get("delivery_id")),
        vendor_message_id=plain(part(message, "headers").get("message-id")).strip("<>"),
        at_ms=int(at * 1000) if isinstance(at, int | float) and 0 < at < 1e11 else 0,
        detail=line(*words, plain(status.get("message"))).strip() or kind,
        suppress=Suppress(address, reason) if address and reason else None,
        once=True,
    )


def _reason(kind: str, event: Mapping[str, Any], status: Mapping[str, Any]) -> str | None:
    if kind != "bounced":
        return {"complained": "complaint", "unsubscribed": "unsubscribed"}.get(kind)
    cause = plain(event.get("reason"))
    if cause in LISTED:
        return LISTED[cause]
    enhanced, code = plain(status.get("enhanced-code")), status.get("code")
    if enhanced.count(".") == 2:
        # 5.7.x is a policy and 5.2.x a full mailbox: the address exists.
        return "hard_bounce" if enhanced in BAD_MAILBOX else None
    return "hard_bounce" if cause in _HARD and code in (550, 551, 553) else None
