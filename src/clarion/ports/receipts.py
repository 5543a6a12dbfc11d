"""Delivery receipts: the calls of providers to Clarion, and the result of parsing them. Pure data."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from clarion.domain.content import Account

ReceiptKind: TypeAlias = Literal[
    "delivered", "bounced", "complained", "unsubscribed", "opened", "clicked", "read", "deferred", "resubscribed"
]
"""`delivered` and `read` confirm a delivery; `bounced` is a failure for good; `deferred` is one that the provider
retries."""


class ReceiptCall(NamedTuple):
    """A call as it arrived. `url` is the exact public URL with its query, header names are lower-case, `body` is raw."""

    method: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Suppress(msgspec.Struct, frozen=True):
    """An address to suppress, for a reason (`hard_bounce`, `complaint`, `stop`, `unsubscribed`, `invalid_recipient`), for
    `ttl_ms` or for good; lifted instead when `lift` is set (START)."""

    address: str
    reason: str
    ttl_ms: int | None = None
    lift: bool = False


class Receipt(msgspec.Struct, frozen=True):
    """An event of a message. `reference` is `Message.reference` where the vendor returns it, otherwise the delivery is
    found by `vendor_message_id`. `event_id` is the same for repetitions of one receipt. `at_ms` is the vendor's time
    (Unix ms, 0 when it gave none), `detail` its own words. `once` is set when the signature covers the `event_id` and
    not the body: an observer of one call could forge other calls with it, so the id is valid for one body only."""

    kind: ReceiptKind
    event_id: str
    reference: str = ""
    vendor_message_id: str = ""
    at_ms: int = 0
    detail: str = ""
    suppress: Suppress | None = None
    once: bool = False


class Inbound(msgspec.Struct, frozen=True):
    """An inbound message from a person. `keyword` is its meaning: STOP, START, HELP or another text. `answered` is set
    when the vendor replied by itself."""

    event_id: str
    address: str
    text: str
    keyword: Literal["stop", "start", "help", "other"]
    at_ms: int = 0
    answered: bool = False


class Handshake(msgspec.Struct, frozen=True):
    """A call that only sets up receipts: `echo` is the text to respond with, `confirm_url` a URL to call by GET."""

    echo: str = ""
    confirm_url: str = ""


class Forged(msgspec.Struct, frozen=True):
    """A call that is not, or not provably, the vendor's; `detail` says why and holds no secret."""

    detail: str


class Unreadable(msgspec.Struct, frozen=True):
    """A call by the vendor that cannot be parsed."""

    detail: str


ParsedCall: TypeAlias = "list[Receipt | Inbound] | Handshake | Forged | Unreadable | NeedKey"


class NeedKey(msgspec.Struct, frozen=True):
    """The signature can be checked once the text behind `url` (a certificate) is known; the caller fetches it through
    the guarded egress, caches it and calls again with `keys[url]` set."""

    url: str


class ReceiptVendor(Protocol):
    """The functions that a vendor module exposes besides `TRAITS` when its vendor sends delivery receipts."""

    def read_receipts(
        self, call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]
    ) -> ParsedCall:
        """Return the receipts and messages in a call. The signature is checked first, over the raw bytes, in constant
        time; a call that fails the check is `Forged`. Never raises, even for malformed calls."""
        ...


STOP_KEYWORDS: Final = frozenset({"stop", "unsubscribe", "end", "quit", "stopall", "revoke", "optout", "cancel", "arret",
                               "opt-out", "remove", "td"})  # fmt: skip
START_KEYWORDS: Final = frozenset({"start", "yes", "unstop"})
HELP_KEYWORDS: Final = frozenset({"help", "info"})


def keyword_of(text: str) -> Literal["stop", "start", "help", "other"]:
    """Return the keyword of an inbound text: a word counts only when it is the whole text, in upper or lower case."""
    word = text.strip().casefold()
    if word in STOP_KEYWORDS:
        return "stop"
    if word in START_KEYWORDS:
        return "start"
    return "help" if word in HELP_KEYWORDS else "other"
