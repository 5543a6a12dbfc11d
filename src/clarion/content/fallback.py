"""What channels without content of their own send: the plain text of the template, in the shape of the channel."""

from collections.abc import Callable
from typing import Any

from clarion.domain.channel import Channel


def fallback(key: str, text: str, is_source: Callable[[str], bool]) -> dict[Channel, dict[str, Any]]:
    """Return content for every channel. The first line is the title where there are more, and the subject; if a tag begins
    in it and ends further on (`is_source` says no), the key of the template stands for it."""
    first, _, rest = text.strip().partition("\n")
    title = first.strip() if is_source(first) else ""
    body = rest.strip() if title and rest.strip() else text.strip()
    titled = {"title": title, "body": body} if title and body != title else {"body": body}
    whole = text.strip()
    return {
        Channel.EMAIL: {"subject": title or key, "text": whole},
        Channel.SMS: {"body": whole},
        Channel.PUSH: titled,
        Channel.WEBPUSH: titled,
        Channel.WHATSAPP: {"body": whole},
        Channel.CHAT: {"text": whole},
        Channel.INAPP: titled,
        Channel.WEBHOOK: {"type": key, "data": {"text": whole}},
    }
