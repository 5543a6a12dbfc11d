"""Postmark's delivery receipts, one event a call (https://postmarkapp.com/developer/webhooks/webhooks-overview).

Postmark signs nothing. A call is authenticated by user name and password in the webhook's URL, which arrive as Basic
authentication, or by the password alone in a custom header of the webhook. Without a password no call is accepted.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.content import Account
from clarion.ports.receipts import Forged, ParsedCall, Receipt, ReceiptCall, ReceiptKind, Suppress, Unreadable
from clarion.providers.calls import event_id, json_of, line, part, plain, same
from clarion.providers.sns_envelope import iso_ms

HEADER: Final = "x-webhook-token"
"""Carries `webhook_password` when a webhook has a custom header instead of credentials in its URL."""

KINDS: Final[dict[str, ReceiptKind]] = {
    "Delivery": "delivered",
    "Bounce": "bounced",
    "SpamComplaint": "complained",
    "Open": "opened",
    "Click": "clicked",
    "SubscriptionChange": "unsubscribed",
}
"""Receipt kinds by `RecordType`."""

BOUNCES: Final[dict[str, ReceiptKind | None]] = {
    "Transient": "deferred",
    "DnsError": "deferred",
    "Unsubscribe": "unsubscribed",
    "SpamComplaint": "complained",
    **dict.fromkeys(("AutoResponder", "AddressChange", "Subscribe", "ChallengeVerification", "OpenRelayTest")),
}
"""Types of bounce that are not bounces: delays, requests of people, and automatic replies. They make no receipt."""

SUPPRESSED: Final[dict[str, str]] = {
    "HardBounce": "hard_bounce",
    "BadEmailAddress": "hard_bounce",
    "ManuallyDeactivated": "hard_bounce",
    "SpamComplaint": "complaint",
    "Unsubscribe": "unsubscribed",
    "ManualSuppression": "unsubscribed",
}
"""Reasons to suppress an address, by type of bounce or `SuppressionReason`."""

_TIMES: Final = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the receipt of a call, `Forged` when its credentials are wrong, `Unreadable` when it has no
    `RecordType`."""
    password = account.credentials.get("webhook_password")
    if not password:
        return Forged("no webhook_password is set")
    if call.method != "POST" or not _may(call, str(account.credentials.get("webhook_username") or ""), str(password)):
        return Forged("user name and password are missing or wrong")
    body = json_of(call.body)
    if not isinstance(body, dict) or not body.get("RecordType"):
        return Unreadable("RecordType is missing")
    kind: ReceiptKind | None = KINDS.get(plain(body["RecordType"]))
    type_ = plain(body.get("Type")) if kind == "bounced" else ""
    kind = BOUNCES.get(type_, kind)
    if kind == "unsubscribed" and body.get("SuppressSending") is False:
        kind = "resubscribed"
    return [] if kind is None else [_receipt(kind, type_, body, call.body)]


def _receipt(kind: ReceiptKind, type_: str, body: dict[str, Any], raw: bytes) -> Receipt:
    address = plain(body.get("Email")) or plain(body.get("Recipient"))
    times = (iso_ms(body[name]) for name in _TIMES if body.get(name))
    words = (plain(body.get(word)) for word in ("Description", "Details", "SuppressionReason", "OriginalLink"))
    return Receipt(
        kind,
        # Events have no id, but a repeated one has the same bytes.
        event_id("postmark", raw.hex()),
        reference=plain(part(body, "Metadata").get("delivery_id")),
        vendor_message_id=plain(body.get("MessageID")),
        at_ms=next(times, 0),
        detail=line(type_, *words).strip() or kind,
        suppress=_suppress(kind, type_, body, address),
    )


def _suppress(kind: str, type_: str, body: Mapping[str, Any], address: str) -> Suppress | None:
    if not address or kind == "deferred":
        return None
    cause = plain(body.get("SuppressionReason"))
    reason = SUPPRESSED.get(type_) or SUPPRESSED.get(cause)
    match kind:
        case "resubscribed":
            return Suppress(address, "unsubscribed", lift=True)
        case "complained":
            return Suppress(address, "complaint")
        case "unsubscribed":
            return Suppress(address, reason or "unsubscribed")
        case "bounced":
            # Inactive: Postmark itself no longer sends to it.
            reason = reason or ("hard_bounce" if body.get("Inactive") is True else None)
            return Suppress(address, reason) if reason else None
        case _:
            return None


def _may(call: ReceiptCall, username: str, password: str) -> bool:
    expected = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    by_basic = same(call.headers.get("authorization", ""), expected)
    by_header = same(call.headers.get(HEADER, ""), password)
    return (by_basic and bool(username)) or by_header
