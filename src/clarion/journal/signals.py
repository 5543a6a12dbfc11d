"""Keys of the events that instances and cancellations wait for, and the signals sent to waiters."""

from typing import Any

from clarion.domain.ids import NOTIFICATION_ID_BYTES
from clarion.journal.codec import encode
from clarion.journal.events import SignalFrame
from clarion.ports.journal_cells import Signal


def seen_key(notification_id: bytes, user_id: str) -> bytes:
    """Return the key of 'this user saw this notification'."""
    return b"s" + notification_id + user_id.encode()


def event_key(event_type: str, user_id: str) -> bytes:
    """Return the key of 'an event of this type about this user'."""
    return f"e{len(event_type)}:{event_type}{user_id}".encode()


def cancel_key(cancellation_key: str) -> bytes:
    """Return the key under which the bearer of a cancellation key waits to be cancelled."""
    return b"c" + cancellation_key.encode()


def user_of(key: bytes) -> str | None:
    """Return the user whose seen receipt or event a key is about; None for one that cancels."""
    kind, rest = key[:1], key[1:]
    if kind == b"s":
        return rest[NOTIFICATION_ID_BYTES:].decode()
    if kind == b"e":
        length, _, text = rest.decode().partition(":")
        return text[int(length) :]
    return None


def signal(tenant: str, key: bytes, at_ms: int, data: dict[str, Any]) -> Signal:
    """Return the signal to all waiters for a key, with the event's data; `at_ms` is Unix milliseconds."""
    return Signal(tenant, key, encode(SignalFrame([tenant], [key], [at_ms], [data]), 1))
