"""Values that intake accepts besides the API's bodies: idempotency keys, test notifications and batches."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from clarion.accept.admit import ParsedBody
from clarion.accept.shapes import NotificationIn
from clarion.domain.errors import CallerError


class Key(NamedTuple):
    """An idempotency key, and the digest by which two requests that carry it are compared."""

    text: str
    digest: bytes


class NotificationTest(NamedTuple):
    """A test notification of a template to an address; `attributes` describe the address's owner."""

    body: NotificationIn
    attributes: dict[str, Any] | None


class Item(NamedTuple):
    """A notification of a batch with its recipients, or why it cannot be parsed. `digest` belongs to its own
    idempotency key."""

    parsed: ParsedBody | None
    refusal: CallerError | None = None
    digest: bytes = b""


class Batch(NamedTuple):
    """Notifications that are each accepted or refused on their own; a `large` batch is processed in a thread."""

    items: Sequence[Item]
    large: bool = False


def digest_of(body: bytes) -> bytes:
    """Return the digest by which two bodies are compared."""
    return blake2b(body, digest_size=16).digest()
