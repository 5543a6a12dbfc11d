"""What vendors that take several messages in one call have in common: which may share one, and what one answer to all means."""

from hashlib import blake2b

import msgspec

from clarion.domain.message import Message
from clarion.domain.outcome import InvalidRecipient, Outcome, Refused


def alike(message: Message, *more: str) -> str | None:
    """Return the same text for messages with the same content and the same `more`, None for one that goes alone: it has
    files, or content that cannot be encoded."""
    if message.attachments:
        return None
    try:
        content = msgspec.json.encode((message.parts, more))
    except (TypeError, UnicodeEncodeError):
        return None
    return blake2b(content, digest_size=16).hexdigest()


def for_all(outcome: Outcome, count: int) -> list[Outcome | None] | None:
    """Return the outcome of a call for each of its messages, None when the call was refused for one of them and nobody
    knows for which."""
    return None if isinstance(outcome, Refused | InvalidRecipient) else [outcome] * count


def distinct(recipients: list[str]) -> list[str]:
    """Return the recipients. Raises `ValueError` when one is there twice: vendors that know them by address would mix up
    what belongs to whom."""
    if len({recipient.lower() for recipient in recipients}) < len(recipients):
        raise ValueError("an address is there twice")
    return recipients
