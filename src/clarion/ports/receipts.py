"""What providers tell afterwards: the calls they make to us, and what a vendor module reads out of them. Pure data."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from clarion.domain.content import Account

ReceiptKind: TypeAlias = Literal[
    "delivered", "bounced", "complained", "unsubscribed", "opened", "clicked", "read", "deferred", "resubscribed"
]
"""`delivered` and `read` confirm a delivery; `bounced` is a failure for good; `deferred` is one the provider works on."""


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
    """One thing that happened to a message. `reference` is our own (`Message.reference`) where the vendor gives it back,
    otherwise `vendor_message_id` finds the delivery. `event_id` is the same for repetitions of one receipt. `at_ms` is
    the vendor's time (Unix ms, 0 when it gave none), `detail` its own words. `once` says that the signature covers the
    `event_id` and not the body: whoever saw one call could make others, so the id counts for one body alone."""

    kind: ReceiptKind
    event_id: str
    reference: str = ""
    vendor_message_id: str = ""
    at_ms: int = 0
    detail: str = ""
    suppress: Suppress | None = None
    once: bool = False


class Inbound(msgspec.Struct, frozen=True):
    """A message from a person. `word` is what it means: STOP, START, HELP, or nothing of the kind. `answered` says that the
    vendor replied by itself."""

    event_id: str
    address: str
    text: str
    word: Literal["stop", "start", "help", "other"]
    at_ms: int = 0
    answered: bool = False


class Handshake(msgspec.Struct, frozen=True):
    """A call that only sets up receipts: `echo` is the text to answer with, `confirm_url` a URL to get."""

    echo: str = ""
    confirm_url: str = ""


class Forged(msgspec.Struct, frozen=True):
    """A call that is not, or not provably, the vendor's; `detail` says why and holds no secret."""

    detail: str


class Unreadable(msgspec.Struct, frozen=True):
    """A call that is the vendor's and cannot be understood."""

    detail: str


Told: TypeAlias = "list[Receipt | Inbound] | Handshake | Forged | Unreadable | NeedKey"


class NeedKey(msgspec.Struct, frozen=True):
    """The signature can be checked once the text behind `url` (a certificate) is known; the caller fetches it through the
    guarded egress, caches it and asks again with `keys[url]` set."""

    url: str


class ReceiptVendor(Protocol):
    """What a vendor module exposes beside `TRAITS` when it tells of deliveries afterwards."""

    def read_receipts(self, call: ReceiptCall, account: Account, *, now_ms: int, keys: Mapping[str, bytes]) -> Told:
        """Return what a call tells. The signature is checked first, over the raw bytes, in constant time; a call that fails
        it is `Forged`. Never raises for what a caller sends."""
        ...


STOP_WORDS: Final = frozenset({"stop", "unsubscribe", "end", "quit", "stopall", "revoke", "optout", "cancel", "arret",
                               "opt-out", "remove", "td"})  # fmt: skip
START_WORDS: Final = frozenset({"start", "yes", "unstop"})
HELP_WORDS: Final = frozenset({"help", "info"})


def word_of(text: str) -> Literal["stop", "start", "help", "other"]:
    """Return what an inbound text means: the words count only when they stand alone, in any case."""
    word = text.strip().casefold()
    if word in STOP_WORDS:
        return "stop"
    if word in START_WORDS:
        return "start"
    return "help" if word in HELP_WORDS else "other"
