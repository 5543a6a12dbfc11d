"""The events of delivery receipts, and the form of their calls."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import Account, Secrets

ReceiptEvent: TypeAlias = Literal["sent", "delivered", "read", "bounced", "complained", "stop"]

EVENT_SEQUENCES: Final[dict[str, tuple[ReceiptEvent, ...]]] = {
    "550": ("bounced",),
    "551": ("delivered", "complained"),
    "552": ("delivered", "stop"),
}
"""The events of a message, by the last three characters of its address (before the `@` of a mailbox)."""
USUAL: Final[tuple[ReceiptEvent, ...]] = ("sent", "delivered", "read")


class Mail(msgspec.Struct, frozen=True):
    """A message that a vendor has accepted: its recipient, its id there, and the parts of the request that receipts
    repeat."""

    vendor: str
    to: str
    id: str
    back: dict[str, Any] = {}


class Hook(msgspec.Struct, frozen=True):
    """A call to the receipts URL, or to the callback URL of the message."""

    url: str
    headers: dict[str, str]
    body: bytes


class ReceiptFormat(msgspec.Struct, frozen=True):
    """A vendor's form of receipts. `back` reads the parts of a request that receipts repeat, for the message at an
    index of it; `hooks` returns the calls for one event (Unix seconds), none when the vendor has no such event.
    `account` returns the values that the vendor's account needs in addition to those for sending."""

    back: Callable[[Request, int], dict[str, Any]]
    hooks: Callable[[Mail, ReceiptEvent, str, float, Secrets], list[Hook]]
    account: Callable[[Secrets], Account] = lambda secrets: {}


def events_of(to: str) -> tuple[ReceiptEvent, ...]:
    """Return the events of a message, in order."""
    return EVENT_SEQUENCES.get(to.partition("@")[0][-3:], USUAL)


def hooks_of(receipt_format: ReceiptFormat, mail: Mail, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    """Return every call of a vendor about a message, in order; each event is a second after the one before."""
    found: list[Hook] = []
    for index, receipt_event in enumerate(events_of(mail.to)):
        found += receipt_format.hooks(mail, receipt_event, url, at_s + index, secrets)
    return found


def json_hook(url: str, value: Any, headers: dict[str, str], *, body: bytes | None = None) -> Hook:
    """Return a call with JSON, or with the signed bytes."""
    raw = msgspec.json.encode(value) if body is None else body
    return Hook(url, {"content-type": "application/json", **headers}, raw)


def digits(to: str) -> str:
    """Return a phone number without its plus."""
    return to.removeprefix("+")


def place(listed: Sequence[Any], index: int) -> Any:
    """Return the entry for a message; the first one when it is for all messages."""
    return listed[index] if index < len(listed) else listed[0]
