"""The one-click form, and the change of preferences that it makes. Pure."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from clarion.domain.user import Choice

FIELD: Final = "List-Unsubscribe"
VALUE: Final = "One-Click"
_FIELDS_MAX: Final = 20
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME: Final = re.compile(r'^content-disposition:\s*form-data\s*;\s*name="?List-Unsubscribe"?\s*$', re.IGNORECASE)


def is_one_click(content_type: str, body: bytes) -> bool:
    """Return whether a body is the form of RFC 8058 3.2, URL-encoded or as form data (RFC 7578)."""
    media = content_type.partition(";")[0].strip().lower()
    text = body.decode("latin-1")
    if media == "multipart/form-data":
        found = _BOUNDARY.search(content_type)
        return found is not None and _in_parts(text, found[1] or found[2])
    if media not in ("application/x-www-form-urlencoded", ""):
        return False
    try:
        return (FIELD, VALUE) in parse_qsl(text, max_num_fields=_FIELDS_MAX)
    except ValueError:
        return False


def _in_parts(text: str, boundary: str) -> bool:
    for part in f"\r\n{text}".split(f"\r\n--{boundary}")[1:]:
        head, _, value = part.removeprefix("\r\n").partition("\r\n\r\n")
        if any(_NAME.match(line) for line in head.split("\r\n")) and value.strip() == VALUE:
            return True
    return False


def without(preferences: Mapping[str, Mapping[str, bool | Choice]], category: str, channel: str) -> str | None:
    """Return the preferences, in stored form, with an opt-out of a category on a channel; None when they have it
    already."""
    row = preferences.get(category, {})
    if row.get(channel) is False:
        return None
    changed = {**preferences, category: {**row, channel: False}}
    return msgspec.json.encode(changed, order="sorted").decode()
