"""Amazon SES's delivery receipts, through SNS: events of a configuration set, or feedback of an identity.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html (`eventType`, with the
delivery's tag) and https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html (`notificationType`, without
tags: the `messageId` finds the delivery). One event may be about several recipients.
"""

from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.content import Account
from clarion.ports.receipts import (
    Forged,
    Handshake,
    NeedKey,
    ParsedCall,
    Receipt,
    ReceiptCall,
    ReceiptKind,
    Suppress,
    Unreadable,
)
from clarion.providers import sns_envelope
from clarion.providers.calls import event_id, json_of, line, objects, part, plain
from clarion.providers.sns_envelope import iso_ms

KINDS: Final[dict[str, tuple[ReceiptKind | None, str, str]]] = {
    # event: kind, its object, the recipients in it
    "Bounce": ("bounced", "bounce", "bouncedRecipients"),
    "Complaint": ("complained", "complaint", "complainedRecipients"),
    "Delivery": ("delivered", "delivery", "recipients"),
    "DeliveryDelay": ("deferred", "deliveryDelay", "delayedRecipients"),
    "Open": ("opened", "open", ""),
    "Click": ("clicked", "click", ""),
    "Reject": ("bounced", "reject", ""),
    "Rendering Failure": ("bounced", "failure", ""),
    "RenderingFailure": ("bounced", "failure", ""),
    "Subscription": ("unsubscribed", "subscription", ""),
    "Send": (None, "send", ""),
}
"""Receipt kinds by event. A bounce is final even if it is transient: SES has given up by then."""

_WORDS: Final = ("bounceType", "bounceSubType", "complaintFeedbackType", "delayType", "smtpResponse", "reason", "errorMessage",
                 "link")  # fmt: skip
_RECIPIENTS_MAX: Final = 50
"""The most recipients that SES takes for one message."""


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the receipts of an SNS message, `Forged` when it is not signed for `topic_arn`, `NeedKey` when the
    certificate is not among `keys`, `Unreadable` when the event is malformed. A subscription to `topic_arn` returns its
    `Handshake`."""
    topic_arn = account.settings.get("topic_arn")
    if not topic_arn:
        return Forged("no topic_arn is set")
    fields = sns_envelope.opened(call, str(topic_arn), now_ms=now_ms, keys=keys)
    if isinstance(fields, Forged | NeedKey):
        return fields
    if fields["Type"] == "SubscriptionConfirmation":
        url = sns_envelope.confirm_url(fields)
        return Handshake(confirm_url=url) if url else Unreadable("SubscribeURL is not Amazon's")
    if fields["Type"] != "Notification":
        return []
    event = json_of(fields["Message"].encode(errors="replace"))
    if not isinstance(event, dict):
        # The first message of a topic is a sentence in prose.
        return []
    return _receipts(event, fields["MessageId"])


def _receipts(event: dict[str, Any], message_id: str) -> list[Receipt | Any] | Unreadable:
    name = plain(event.get("eventType")) or plain(event.get("notificationType"))
    if not name:
        return []
    if name not in KINDS:
        return Unreadable(line("unknown event", name))
    kind, object_, recipients = KINDS[name]
    parsed, mail = part(event, object_), part(event, "mail")
    if kind is None or (name == "Subscription" and not _left(parsed)):
        return []
    tags = part(mail, "tags").get("delivery_id")
    reference = plain(tags[0]) if isinstance(tags, list) and tags else ""
    named = parsed.get(recipients) or mail.get("destination") or []
    people = named if isinstance(named, list) else []
    return [
        Receipt(
            kind,
            event_id("ses", message_id, name, str(number)),
            reference=reference,
            vendor_message_id=plain(mail.get("messageId")),
            at_ms=iso_ms(parsed.get("timestamp") or mail.get("timestamp")),
            detail=_detail(name, parsed, person),
            suppress=_suppress(name, parsed, person),
        )
        for number, person in enumerate(people[:_RECIPIENTS_MAX])
    ]


def _left(subscription: Mapping[str, Any]) -> bool:
    """Return whether a change of a contact list's preferences unsubscribed from all topics."""
    return part(subscription, "newTopicPreferences").get("unsubscribeAll") is True


def _address(person: Any) -> str:
    return plain(person.get("emailAddress")) if isinstance(person, dict) else plain(person)


def _detail(name: str, parsed: Mapping[str, Any], person: Any) -> str:
    own = objects([person])
    words = [plain(parsed.get(word)) for word in _WORDS]
    words += [plain(one.get(word)) for one in own for word in ("status", "diagnosticCode")]
    return line(*(word for word in words if word)) or name


def _suppress(name: str, parsed: Mapping[str, Any], person: Any) -> Suppress | None:
    address = _address(person)
    if not address:
        return None
    match name:
        case "Bounce" if parsed.get("bounceType") == "Permanent":
            # SES refuses addresses on its own list (OnAccountSuppressionList, Suppressed): they bounced there before.
            return Suppress(address, "hard_bounce")
        case "Complaint" if parsed.get("complaintFeedbackType") != "not-spam":
            return Suppress(address, "complaint")
        case "Subscription":
            return Suppress(address, "unsubscribed")
        case _:
            return None
