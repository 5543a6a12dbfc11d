"""What can be submitted, as values: one notification, many of them, a broadcast, an event; each by whatever way it comes."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from clarion.accept.shapes import NotificationIn
from clarion.domain.errors import CallerError


class Key(NamedTuple):
    """An idempotency key, and what two requests that carry it are compared by."""

    text: str
    digest: bytes


class Marked(NamedTuple):
    """A notification to an address whose owner is described by `attributes`, as a test of a template is."""

    body: NotificationIn
    attributes: dict[str, Any] | None


class Item(NamedTuple):
    """A notification of a batch, or why it cannot be read. `digest` goes with its own idempotency key."""

    body: NotificationIn | None
    refusal: CallerError | None = None
    digest: bytes = b""


class Batch(NamedTuple):
    """Notifications that are each accepted or refused on their own; `large` ones are worked on in a thread."""

    items: Sequence[Item]
    large: bool = False


def digest_of(body: bytes) -> bytes:
    """Return what two bodies are compared by."""
    return blake2b(body, digest_size=16).digest()
