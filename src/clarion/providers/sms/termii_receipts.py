"""Termii's delivery receipts and inbound messages (https://developer.termii.com/events-and-reports).

A status is prose. Termii returns no id of the client, so the delivery is found by the `message_id` of the acceptance.
The signature covers no time: the same call again is the same event, and has no effect.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.content import Account
from clarion.domain.limits_delivery import INBOUND_TEXT_CHARS_MAX
from clarion.ports.receipts import (
    Forged,
    Inbound,
    ParsedCall,
    Receipt,
    ReceiptCall,
    ReceiptKind,
    Unreadable,
    keyword_of,
)
from clarion.providers.calls import event_id, hex_hmac, json_of, line, number_of, objects, plain, same

KINDS: Final[tuple[tuple[str, ReceiptKind | None], ...]] = (
    # words, receipt kind
    (r"\bdnd\b|do.not.disturb", "bounced"),
    (r"\bfail|\breject|\bexpired?\b|\bundeliver|\bnot (been )?deliver|\bblocked\b|\binvalid\b", "bounced"),
    (r"\bdelivered\b", "delivered"),
    (r"\b(sent|accepted|submitted|queued|pending)\b", None),
    (r"", "deferred"),
)
"""The first row that matches decides; None makes no receipt. A number on the do-not-disturb list is not suppressed: the
route `dnd` reaches it."""

_KINDS: Final = tuple((re.compile(words, re.IGNORECASE), kind) for words, kind in KINDS)


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the receipt or the inbound message of a call, `Forged` when the signature is not valid, `Unreadable` when
    the body is no event."""
    secret = account.credentials.get("secret_key")
    if not secret:
        return Forged("no secret_key is set")
    given = call.headers.get("x-termii-signature", "").strip().lower()
    if call.method != "POST" or not same(given, hex_hmac(str(secret), call.body, "sha512")):
        return Forged("X-Termii-Signature is missing or does not match")
    body = json_of(call.body)
    events = objects(body if isinstance(body, list) else [body])
    if not events:
        return Unreadable("the body is not an event")
    return [parsed for event in events if (parsed := _event(event)) is not None]


def _event(event: dict[str, Any]) -> Receipt | Inbound | None:
    """Return the receipt or inbound message of an event, None for one of a device or of a message under way."""
    id_ = plain(event.get("message_id")) or plain(event.get("id"))
    if not id_:
        return None
    if plain(event.get("type")).casefold() == "inbound":
        text, sender = plain(event.get("message")), plain(event.get("sender"))
        address = number_of(sender) or line(sender)
        return Inbound(event_id("termii", id_, "inbound"), address, text[:INBOUND_TEXT_CHARS_MAX], keyword_of(text))
    status = line(plain(event.get("status")))
    kind = next((kind for words, kind in _KINDS if words.search(status)), None) if status else None
    if kind is None or not plain(event.get("message_id")):
        return None
    return Receipt(kind, event_id("termii", id_, status.casefold()), vendor_message_id=id_, detail=status)
