"""Content of channels without their own: the plain text of the template in the form of the channel."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from clarion.domain.channel import Channel

_TITLES: Final = (
    (Channel.PUSH, "title"),
    (Channel.WEBPUSH, "title"),
    (Channel.INAPP, "title"),
    (Channel.EMAIL, "subject"),
)


def fallback(
    key: str, text: str, own: Mapping[Channel, Mapping[str, Any]], is_source: Callable[[str], bool]
) -> dict[Channel, dict[str, Any]]:
    """Return content for every channel. A title is the first line if there are more lines, else the title of other
    channels in their `own` content. `is_source` returns whether a text is valid by itself: a tag may begin in the first
    line and end in a later one."""
    whole = text.strip()
    first, _, body = (piece.strip() for piece in whole.partition("\n"))
    heading = next((own[channel][name] for channel, name in _TITLES if name in own.get(channel, {})), "")
    if body and is_source(first):
        title = first
    else:
        title, body = heading, whole
    titled = {"title": title, "body": body} if title else {"body": body}
    subject = title or (first if is_source(first) else key)
    return {
        Channel.EMAIL: {"subject": subject, "text": whole},
        Channel.SMS: {"body": whole},
        Channel.PUSH: titled,
        Channel.WEBPUSH: titled,
        Channel.WHATSAPP: {"body": whole},
        Channel.CHAT: {"text": whole},
        Channel.INAPP: titled,
        Channel.WEBHOOK: {"type": key, "data": {"text": whole}},
    }
