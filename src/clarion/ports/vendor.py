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
    """A setting or credential of a provider account. `kind` is `string`, `integer`, `boolean`, `url`, `host`, `object`
    or `list`; `pattern` is a regular expression the whole value has to match, `least` and `most` bound an integer. With
    `schemes`, a text has to be a URL of one of them. `destination` tells whether the setting decides where credentials
    are sent, or how they are protected on the way; unless given, a `url` and a `host` do and no other kind does."""

    name: str
    kind: str = "string"
    required: bool = False
    about: str = ""
    pattern: str | None = None
    default: Any = None
    least: int = 0
    most: int = (1 << 31) - 1
    schemes: frozenset[str] = frozenset()
    destination: bool | None = None

    @property
    def is_destination(self) -> bool:
        """Whether stored credentials are not used with another value of this setting."""
        return self.kind in ("url", "host") if self.destination is None else self.destination


class Traits(msgspec.Struct, frozen=True):
    """The traits of a vendor. `transport` is `http`, `smtp`, `local` or `apprise`. `on_ambiguous` is `retry`,
    `assume_sent` or `stop`; `idempotent` is set when the vendor deduplicates by the delivery id; `parts` are the
    template parts it reads, `required_parts` those it requires. With one of `slow_credentials` set, `build`
    takes long enough to be run in a thread. `batch_max` messages go into one call (see `BatchVendor`); with `receipts`,
    the module is a `ports.receipts.ReceiptVendor` too. `missing` names the packages to install before accounts can be
    created. `limits` are its content limits, and the treatment of longer content."""

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
    """A short-lived access token. `expires_in_s` counts from the response that contained it."""

    value: str
    expires_in_s: int

    def __repr__(self) -> str:
        return f"Token(expires_in_s={self.expires_in_s})"


class Vendor(Protocol):
    """The functions that a vendor module exposes besides `TRAITS`."""

    TRAITS: Traits

    def build(self, message: Message, account: Account, *, now_ms: int, token: str | None) -> Request:
        """Return the request for a message. Raises `ValueError` with a clear text when the message cannot be built."""
        ...

    def read(self, response: Response, message: Message, account: Account, *, now_ms: int) -> Outcome:
        """Return the outcome that a response means."""
        ...


class TokenVendor(Vendor, Protocol):
    """A vendor whose requests carry an access token, fetched in advance and cached per account."""

    def token_request(self, account: Account, *, now_ms: int) -> HttpRequest:
        """Return the request that fetches a token."""
        ...

    def read_token(self, response: HttpResponse) -> Token | Outcome:
        """Return the token, or the outcome of every message while there is none."""
        ...


class BatchVendor(Vendor, Protocol):
    """A vendor that takes up to `TRAITS.batch_max` messages in one call and returns a result for each of them."""

    def batch_key(self, message: Message, account: Account) -> str | None:
        """Return the key of messages of one account that can share a call, None for a message that has to be sent
        alone."""
        ...

    def build_batch(
        self, messages: Sequence[Message], account: Account, *, now_ms: int, token: str | None
    ) -> HttpRequest:
        """Return the one request for messages of one key, each of which `build` would accept."""
        ...

    def read_batch(
        self, response: HttpResponse, messages: Sequence[Message], account: Account, *, now_ms: int
    ) -> list[Outcome | None] | None:
        """Return an outcome per message in order; None in the place of a message that was surely not accepted because
        of another one, so that it is sent again without that one. Return None instead of a list when surely none was
        accepted and the response does not name the message at fault: they are then sent one by one."""
        ...


class VerifiableVendor(Vendor, Protocol):
    """A vendor whose credentials can be verified without sending anything."""

    def verify_request(self, account: Account, *, now_ms: int, token: str | None) -> HttpRequest | SmtpRequest | None:
        """Return a request that only verifies the account, None when an account such as this one cannot be verified.
        Raises `ValueError` as `build` does."""
        ...

    def read_verify(self, response: HttpResponse | SmtpReply, account: Account) -> Misconfigured | None:
        """Return the fault of the account in the vendor's words, or None when the response shows none. It is never
        called with a 429 or 5xx, which says nothing about the account."""
        ...
