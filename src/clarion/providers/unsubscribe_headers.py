"""The headers by which mail programs offer to unsubscribe: RFC 2369, and one-click by RFC 8058."""

from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.limits_content import SES_HEADER_CHARS_MAX
from clarion.domain.message import Message
from clarion.providers import mime

LINK: Final = "List-Unsubscribe"
POST: Final = "List-Unsubscribe-Post"
ONE_CLICK: Final = "List-Unsubscribe=One-Click"


def headers(message: Message, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a message, none when there is no link.

    A link of the message's own metadata comes first and without one-click, and so does an https link of the account:
    the effect of a POST to these is unknown. Otherwise it is the installation's one-click link, followed by the
    account's `mailto:`. Raises `ValueError` for a link that is not valid.
    """
    own = message.metadata.get("list_unsubscribe")
    given = mime.link(link) if (link := own or settings.get("list_unsubscribe") or "") else ""
    url = message.unsubscribe_url
    if not url or own or given.startswith("https:"):
        return {LINK: f"<{given}>"} if given else {}
    value = f"<{mime.link(url)}>"
    if given and len(value) + len(given) + 4 <= SES_HEADER_CHARS_MAX:
        value += f", <{given}>"
    return {LINK: value, POST: ONE_CLICK}
