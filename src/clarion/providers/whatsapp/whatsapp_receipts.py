"""WhatsApp's delivery receipts and inbound messages.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks: "Create a webhook endpoint" for the
handshake and the signature, "Status messages", "messages" and "user_preferences" for the events. Many events come in
one call and in any order: `read` may come without `delivered`, and `failed` after `sent`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clarion.domain.content import Account
from clarion.domain.limits_delivery import HANDSHAKE_CHARS_MAX, INBOUND_TEXT_CHARS_MAX
from clarion.ports.receipts import (
    Forged,
    Handshake,
    Inbound,
    ParsedCall,
    Receipt,
    ReceiptCall,
    ReceiptKind,
    Suppress,
    Unreadable,
    keyword_of,
)
from clarion.providers.calls import event_id, hex_hmac, json_of, line, number_of, objects, part, plain, same, seconds_ms

KINDS: Final[dict[str, ReceiptKind]] = {"delivered": "delivered", "read": "read", "played": "read", "failed": "bounced"}
"""Receipt kinds by `status`; `sent` and unknown statuses make no receipt."""

SUPPRESSED: Final = frozenset(("131026",))
"""Error codes of a number that cannot be reached: not on WhatsApp, an old app, or terms not accepted. 131050 has stopped
marketing only: transactional messages still have to reach the number."""

PREFERENCES: Final[dict[str, ReceiptKind]] = {"stop": "unsubscribed", "resume": "resubscribed"}

FORMS: Final[tuple[tuple[str, str], ...]] = (
    # a person's id at WhatsApp, their phone number
    (r"55([1-9][0-9])([6-9][0-9]{7})", r"55\g<1>9\g<2>"),
    (r"521([0-9]{10})", r"52\1"),
    (r"549([0-9]{10})", r"54\1"),
)
"""Ids with an older form of the number: in Brazil without the ninth digit, in Mexico and Argentina with a digit for
mobile phones (https://support.gupshup.io/hc/en-us/articles/4407840924953)."""

_FORMS: Final = tuple((re.compile(pattern), known) for pattern, known in FORMS)
_CHALLENGE: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{HANDSHAKE_CHARS_MAX}}}")


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the events of a call: the handshake is a GET, everything else a POST. The delivery's reference is a
    status's `biz_opaque_callback_data`. `Forged` when the signature is not valid, `Unreadable` when the body is of
    another kind."""
    if call.method == "GET":
        return _handshake(call.query, account)
    secret = account.credentials.get("app_secret")
    if not secret:
        return Forged("no app_secret is set")
    # Over the raw bytes: Meta writes characters as escapes, and encoding the JSON again would write them differently.
    if not same(call.headers.get("x-hub-signature-256", ""), "sha256=" + hex_hmac(str(secret), call.body, "sha256")):
        return Forged("X-Hub-Signature-256 is missing or does not match")
    body = json_of(call.body)
    if not isinstance(body, dict) or body.get("object") != "whatsapp_business_account":
        return Unreadable("the body is not of a whatsapp_business_account")
    parsed: list[Receipt | Inbound] = []
    for entry in objects(body.get("entry")):
        for change in objects(entry.get("changes")):
            value = part(change, "value")
            parsed += _statuses(value)
            parsed += _messages(value)
            parsed += _preferences(value)
    return parsed


def _handshake(query: Mapping[str, str], account: Account) -> ParsedCall:
    token = account.credentials.get("verify_token")
    if not token:
        return Forged("no verify_token is set")
    if not same(query.get("hub.verify_token", ""), str(token)):
        return Forged("hub.verify_token does not match")
    challenge = query.get("hub.challenge", "")
    if query.get("hub.mode") != "subscribe" or not _CHALLENGE.fullmatch(challenge):
        return Unreadable("not a subscription, or its hub.challenge cannot be echoed")
    return Handshake(echo=challenge)


def _statuses(value: dict[str, Any]) -> Iterator[Receipt]:
    for status in objects(value.get("statuses")):
        id_, name = plain(status.get("id")), plain(status.get("status"))
        kind = KINDS.get(name)
        if kind is None or not id_:
            continue
        error = next(iter(objects(status.get("errors"))), {}) if kind == "bounced" else {}
        # A person known by a user name only has no number here.
        number = next(iter(numbers_of(plain(status.get("recipient_id")))), "")
        words = [plain(error.get("code")), plain(error.get("title")), plain(part(error, "error_data").get("details"))]
        yield Receipt(
            kind,
            event_id("whatsapp", id_, name),
            reference=plain(status.get("biz_opaque_callback_data")),
            vendor_message_id=id_,
            at_ms=seconds_ms(plain(status.get("timestamp"))),
            detail=line(name, *words),
            suppress=Suppress(number, "invalid_recipient") if number and words[0] in SUPPRESSED else None,
        )


def numbers_of(id_: str) -> list[str]:
    """Return the phone numbers in E.164 that a person's id at WhatsApp may mean, its own form first."""
    forms = [id_, *(match.expand(known) for pattern, known in _FORMS if (match := pattern.fullmatch(id_)))]
    return [number for form in forms if (number := number_of(form))]


def _messages(value: dict[str, Any]) -> Iterator[Inbound]:
    """Yield inbound messages: a text, the button of a template, or a reply to a message with buttons or a list."""
    for message in objects(value.get("messages")):
        id_, sender = plain(message.get("id")), plain(message.get("from"))
        if not id_ or not sender:
            continue
        button, chosen = part(message, "button"), part(message, "interactive")
        reply = part(chosen, "button_reply") or part(chosen, "list_reply")
        # A button's payload counts when it is a keyword, else its text, which is all that people see.
        answer = [
            plain(text)
            for text in (
                part(message, "text").get("body"),
                button.get("payload"),
                button.get("text"),
                reply.get("id"),
                reply.get("title"),
            )
        ]
        words = [keyword_of(text) for text in answer]
        word = next((word for word in words if word != "other"), words[0])
        shown, at_ms = (
            (answer[0] or answer[2] or answer[4])[:INBOUND_TEXT_CHARS_MAX],
            seconds_ms(plain(message.get("timestamp"))),
        )
        first, *others = numbers_of(sender) or [line(sender)]
        yield Inbound(event_id("whatsapp", id_, "inbound"), first, shown, word, at_ms)
        for number in others if word in ("stop", "start") else ():
            # The form under which the person is stored is unknown, and a STOP has to hold for each.
            yield Inbound(event_id("whatsapp", id_, "inbound", number), number, shown, word, at_ms)


def _preferences(value: dict[str, Any]) -> Iterator[Receipt]:
    """Yield receipts of people who stopped or resumed marketing. WhatsApp itself then refuses marketing to them
    (131050); nothing is suppressed, as that would stop their transactional messages too."""
    for change in objects(value.get("user_preferences")):
        who, at = plain(change.get("wa_id")), plain(change.get("timestamp"))
        kind = PREFERENCES.get(plain(change.get("value")))
        if kind is None or plain(change.get("category")) != "marketing_messages":
            continue
        words = line("marketing", plain(change.get("value")), plain(change.get("detail")))
        yield Receipt(kind, event_id("whatsapp", who, kind, at), at_ms=seconds_ms(at), detail=words)
