"""Shared by vendors that take several messages in one call: the key of messages that may share a call, and the outcomes
of one response to all."""

from hashlib import blake2b

import msgspec

from clarion.domain.message import Message
from clarion.domain.outcome import InvalidRecipient, Outcome, Refused


def alike(message: Message, *more: str) -> str | None:
    """Return a batch key: equal for messages with the same content and the same `more`. None for a message that must be
    sent alone: it has files, or content that cannot be encoded."""
    if message.attachments:
        return None
    try:
        content = msgspec.json.encode((message.parts, more))
    except (TypeError, UnicodeEncodeError):
        return None
    return blake2b(content, digest_size=16).hexdigest()


def for_all(outcome: Outcome, count: int) -> list[Outcome | None] | None:
    """Return the outcome of a call for each of its messages, None when the call was refused for one of them and the
    response does not say for which."""
    return None if isinstance(outcome, Refused | InvalidRecipient) else [outcome] * count


def distinct(recipients: list[str]) -> list[str]:
    """Return the recipients. Raises `ValueError` when one occurs twice: vendors identify recipients by address and
    would confuse their values."""
    if len({recipient.lower() for recipient in recipients}) < len(recipients):
        raise ValueError("an address is there twice")
    return recipients
