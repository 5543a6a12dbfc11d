"""Twilio's delivery receipts and inbound messages.

Signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security; status callbacks:
https://www.twilio.com/docs/messaging/guides/track-outbound-message-status; STOP, START and HELP:
https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out. The signature covers no time: the same call again is
the same event, and has no effect.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from clarion.domain.content import Account
from clarion.domain.limits_delivery import INBOUND_TEXT_CHARS_MAX
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
from clarion.providers.calls import event_id, form_of, json_of, line, number_of, plain, query_of, same

KINDS: Final[dict[str, ReceiptKind | None]] = {
    "delivered": "delivered",
    "read": "read",
    "undelivered": "bounced",
    "failed": "bounced",
    "canceled": "bounced",
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent", "partially_delivered")),
}
"""Receipt kinds by `MessageStatus`; None for intermediate statuses, which make no receipt."""

SUPPRESSED: Final[dict[str, str]] = {
    **dict.fromkeys(("21211", "21217", "21614", "21635", "30005", "30006"), "invalid_recipient"),
    "21610": "stop",
}
"""Reasons to suppress a number, by the `ErrorCode` of a failure. 30003 (switched off), 30004 (blocked), 30007
(filtered) and 30008 (unknown) are not permanent."""

ANSWERED: Final = frozenset(
    ("stop", "unsubscribe", "end", "quit", "stopall", "revoke", "optout", "cancel", "start", "yes", "unstop", "help", "info")
)  # fmt: skip
"""Words that Twilio itself replies to by default."""


def read_receipts(call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> ParsedCall:
    """Return the receipt of a status callback, or the inbound message. The delivery's reference is the `ref` of the
    callback URL given with the message; the signature covers it. `Forged` when the signature is not valid, `Unreadable`
    without a `MessageSid` or with an unknown status."""
    token = account.credentials.get("auth_token")
    if not token and not account.settings.get("api_key_sid"):
        token = account.credentials.get("secret")
    if not token:
        return Forged("no auth_token is set")
    fields = _signed(call, str(token))
    if isinstance(fields, Forged):
        return fields
    sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
    if not sid:
        return Unreadable("MessageSid is missing")
    status = (fields.get("MessageStatus") or fields.get("SmsStatus") or "").casefold()
    if status == "received" or ("MessageStatus" not in fields and "Body" in fields):
        return [_inbound(sid, fields)]
    if status not in KINDS:
        return Unreadable(line("unknown MessageStatus", status))
    kind = KINDS[status]
    if kind is None:
        return []
    code = fields.get("ErrorCode", "") if kind == "bounced" else ""
    number, reason = number_of(fields.get("To", "")), SUPPRESSED.get(code)
    references = [value for name, value in query_of(call.url) or [] if name == "ref"]
    return [
        Receipt(
            kind,
            event_id("twilio", sid, status),
            reference=references[0] if references else "",
            vendor_message_id=sid,
            detail=line(status, code, fields.get("ErrorMessage", "")),
            suppress=Suppress(number, reason) if number and reason else None,
        )
    ]


def _inbound(sid: str, fields: Mapping[str, str]) -> Inbound:
    """Return an inbound message. `OptOutType` is the keyword that Advanced Opt-Out recognized, in any language."""
    text, sender = fields.get("Body", ""), fields.get("From", "")
    word: Literal["stop", "start", "help", "other"]
    match fields.get("OptOutType", "").casefold():
        case "stop" | "start" | "help" as word:
            answered = True
        case _:
            word, answered = keyword_of(text), text.strip().casefold() in ANSWERED
    address = number_of(sender) or line(sender)
    return Inbound(event_id("twilio", sid, "received"), address, text[:INBOUND_TEXT_CHARS_MAX], word, answered=answered)


def _signed(call: ReceiptCall, token: str) -> dict[str, str] | Forged:
    """Return the fields of a call with a valid signature, else `Forged`. The signature covers the URL and the fields of
    a form; for any other body the URL carries its hash, as `bodySHA256`."""
    given = call.headers.get("x-twilio-signature", "")
    if not given:
        return Forged("X-Twilio-Signature is missing")
    query = query_of(call.url)
    if query is None:
        return Forged("the query cannot be read")
    hashes = [value for name, value in query if name == "bodySHA256"]
    if hashes:
        fields: list[tuple[str, str]] | None = []
        if not same(hashes[0].lower(), hashlib.sha256(call.body).hexdigest()):
            return Forged("bodySHA256 is not the body's")
    else:
        fields = [] if call.method == "GET" else form_of(call.body)
    if fields is None:
        return Forged("the body is not a form, and bodySHA256 is missing")
    # The product decides which of the two Twilio signs, so its own libraries try both.
    matches = [same(given, signature(url, fields, token)) for url in _with_and_without_port(call.url)]
    if not any(matches):
        return Forged("X-Twilio-Signature does not match")
    if call.method == "GET":
        return dict(query)
    if hashes:
        body = json_of(call.body)
        return {name: plain(value) for name, value in body.items()} if isinstance(body, dict) else {}
    return dict(fields)


def signature(url: str, fields: Iterable[tuple[str, str]], token: str) -> str:
    """Return the signature of a call: base64 of HMAC-SHA1 over the URL and each distinct field, in the order of names."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(errors="replace"), "sha1").digest()).decode()


def _with_and_without_port(url: str) -> tuple[str, str]:
    """Return a URL with its port (the scheme's default when it names none), and without."""
    scheme, mark, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    origin, path = rest[:end], rest[end:]
    host, colon, port = origin.rpartition(":")
    if not colon or not port.isdigit():
        host, port = origin, "443" if scheme == "https" else "80"
    return f"{scheme}{mark}{host}:{port}{path}", f"{scheme}{mark}{host}{path}"
