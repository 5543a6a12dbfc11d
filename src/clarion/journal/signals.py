"""Keys of what instances and cancellations wait for."""


def seen_key(notification_id: bytes, user_id: str) -> bytes:
    """Return the key of 'this user saw this notification'."""
    return b"s" + notification_id + user_id.encode()


def event_key(event_type: str, user_id: str) -> bytes:
    """Return the key of 'an event of this type about this user'."""
    return f"e{len(event_type)}:{event_type}{user_id}".encode()


def cancel_key(cancellation_key: str) -> bytes:
    """Return the key under which whatever carries a cancellation key waits for its cancellation."""
    return b"c" + cancellation_key.encode()
