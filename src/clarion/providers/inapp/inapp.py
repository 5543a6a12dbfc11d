"""In-app: the provider is Clarion's own inbox, so every attempt is accepted. The record stage stores the content."""

from typing import Final

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import SUBJECT_CHARS_MAX
from clarion.domain.message import LocalReply, LocalRequest, Message
from clarion.domain.outcome import Accepted, Outcome
from clarion.ports.vendor import ContentLimit, Traits

TRAITS: Final = Traits(
    vendor="inapp",
    channels=(Channel.INAPP,),
    title="In-app inbox",
    transport="local",
    parts=("title", "body", "url", "image", "avatar", "actions", "data", "collapse_key"),
    idempotent=True,
    limits=(ContentLimit(("title",), "chars", SUBJECT_CHARS_MAX, "shorten"),),
)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> LocalRequest:
    """Return the inbox item with the message's parts. Raises `ValueError` when there is neither title nor body."""
    content = {name: message.parts[name] for name in TRAITS.parts if message.parts.get(name)}
    if "title" not in content and "body" not in content:
        raise ValueError("an in-app message needs a title or a body")
    return LocalRequest(content)


def read(response: LocalReply, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return `Accepted`: the inbox takes every item."""
    return Accepted(message.delivery_id, response.content)
