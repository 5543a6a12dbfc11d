"""A vendor: a declaration and pure functions. The deliver worker owns the socket and the clock."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.fitting import ContentLimit as ContentLimit
from clarion.domain.message import HttpRequest, HttpResponse, Message, Request, Response, SmtpReply, SmtpRequest
from clarion.domain.outcome import Misconfigured, Outcome


class Field(msgspec.Struct, frozen=True):
    """A setting or credential a provider account takes. `kind` is `string`, `integer`, `boolean`, `url`, `object` or
    `list`; `pattern` is a regular expression the whole value has to match, `least` and `most` bound an integer. With
    `schemes`, a text has to be a URL of one of them."""

    name: str
    kind: str = "string"
    required: bool = False
    about: str = ""
    pattern: str | None = None
    default: Any = None
    least: int = 0
    most: int = (1 << 31) - 1
    schemes: frozenset[str] = frozenset()


class Traits(msgspec.Struct, frozen=True):
    """What a vendor is. `transport` is `http`, `smtp`, `local` or `apprise`. `on_ambiguous` is `retry`, `assume_sent` or `stop`; `idempotent` says the vendor deduplicates
    by the delivery id; `parts` are the template parts it reads, `required_parts` those it cannot do without. With
    one of `slow_credentials` set, `build` takes long enough to be run in a thread. `batch_max` messages go into one call
    (see `BatchVendor`); with `receipts`, the module is a `ports.receipts.ReceiptVendor` too. `missing` says what has to be
    installed before accounts can be made. `limits` are what it takes of a message, and what becomes of more."""

    vendor: str
    channels: tuple[Channel, ...]
    title: str
    transport: str
    settings: tuple[Field, ...] = ()
    credentials: tuple[Field, ...] = ()
    slow_credentials: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    required_parts: tuple[str, ...] = ()
    idempotent: bool = False
    receipts: bool = False
    on_ambiguous: str = "retry"
    docs: str = ""
    batch_max: int = 1
    missing: str = ""
    limits: tuple[ContentLimit, ...] = ()


class Token(msgspec.Struct, frozen=True):
    """A short-lived access token. `expires_in_s` counts from the answer that brought it."""

    value: str
    expires_in_s: int

    def __repr__(self) -> str:
        return f"Token(expires_in_s={self.expires_in_s})"


class Vendor(Protocol):
    """The functions a vendor module exposes beside `TRAITS`."""

    TRAITS: Traits

    def build(self, message: Message, account: Account, *, now_ms: int, token: str | None) -> Request:
        """Return the request for a message. Raises `ValueError` with a clear text when the message cannot be built."""
        ...

    def read(self, response: Response, message: Message, account: Account, *, now_ms: int) -> Outcome:
        """Return what the answer means."""
        ...


class TokenVendor(Vendor, Protocol):
    """A vendor whose requests carry a token fetched beforehand and cached per account."""

    def token_request(self, account: Account, *, now_ms: int) -> HttpRequest:
        """Return the call that fetches a token."""
        ...

    def read_token(self, response: HttpResponse) -> Token | Outcome:
        """Return the token, or the outcome every message gets while there is none."""
        ...


class BatchVendor(Vendor, Protocol):
    """A vendor that takes up to `TRAITS.batch_max` messages in one call and answers for each of them."""

    def batch_key(self, message: Message, account: Account) -> str | None:
        """Return what messages of one account have in common that can share a call, None for one that has to go alone."""
        ...

    def build_batch(
        self, messages: Sequence[Message], account: Account, *, now_ms: int, token: str | None
    ) -> HttpRequest:
        """Return the one request for messages of one key, each of which `build` would accept."""
        ...

    def read_batch(
        self, response: HttpResponse, messages: Sequence[Message], account: Account, *, now_ms: int
    ) -> list[Outcome | None] | None:
        """Return an outcome per message in order; None in place of one that was surely not taken because of another, so that
        it can be sent again without that one. None instead of a list when the answer does not say which of them it is
        about though it surely took none: they are then sent one by one."""
        ...


class VerifiableVendor(Vendor, Protocol):
    """A vendor whose credentials can be tried without sending anything."""

    def verify_request(self, account: Account, *, now_ms: int, token: str | None) -> HttpRequest | SmtpRequest | None:
        """Return a call that does nothing but tell whether the account works, None when an account such as this one cannot
        be tried. Raises `ValueError` as `build` does."""
        ...

    def read_verify(self, response: HttpResponse | SmtpReply, account: Account) -> Misconfigured | None:
        """Return what is wrong with the account in the vendor's words, or None when the answer shows nothing wrong. A 429 or
        5xx never comes here: it says nothing of the account."""
        ...
