"""What Termii tells of messages afterwards, and what people answer (https://developer.termii.com/events-and-reports).

A status is prose. Termii gives back no id of ours, so the `message_id` it accepted a message with finds the delivery.
There is no time in what is signed: the same call again is the same event, and does nothing.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.content import Account
from clarion.domain.limits_receipts import INBOUND_TEXT_CHARS_MAX
from clarion.ports.receipts import Forged, Inbound, Receipt, ReceiptCall, ReceiptKind, Told, Unreadable, word_of
from clarion.providers.calls import event_id, hex_hmac, json_of, line, number_of, objects, plain, same

KINDS: Final[tuple[tuple[str, ReceiptKind | None], ...]] = (
    # words, what they tell
    (r"\bdnd\b|do.not.disturb", "bounced"),
    (r"\bfail|\breject|\bexpired?\b|\bundeliver|\bnot (been )?deliver|\bblocked\b|\binvalid\b", "bounced"),
    (r"\bdelivered\b", "delivered"),
    (r"\b(sent|accepted|submitted|queued|pending)\b", None),
    (r"", "deferred"),
)
"""Read from the top, the first row that fits decides; None changes nothing for us. A number on the do-not-disturb list is
kept: the route `dnd` reaches it."""

_KINDS: Final = tuple((re.compile(words, re.IGNORECASE), kind) for words, kind in KINDS)


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> Told:
    """Return what a report or an inbound message tells."""
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
    return [told for event in events if (told := _event(event)) is not None]


def _event(event: dict[str, Any]) -> Receipt | Inbound | None:
    """Return what an event tells; one of a device, or of a message that is on its way, tells nothing."""
    id_ = plain(event.get("message_id")) or plain(event.get("id"))
    if not id_:
        return None
    if plain(event.get("type")).casefold() == "inbound":
        text, sender = plain(event.get("message")), plain(event.get("sender"))
        address = number_of(sender) or line(sender)
        return Inbound(event_id("termii", id_, "inbound"), address, text[:INBOUND_TEXT_CHARS_MAX], word_of(text))
    status = line(plain(event.get("status")))
    kind = next((kind for words, kind in _KINDS if words.search(status)), None) if status else None
    if kind is None or not plain(event.get("message_id")):
        return None
    return Receipt(kind, event_id("termii", id_, status.casefold()), vendor_message_id=id_, detail=status)
