"""What is believed of a provider's answer: a vendor's server is somebody else's, so are its words and its figures."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from clarion.domain.limits import ATTEMPT_DETAIL_CHARS_MAX, ATTEMPT_PAUSE_MS_MAX, VENDOR_MESSAGE_ID_CHARS_MAX
from clarion.domain.outcome import Accepted, Outcome, Throttled, Transient

MASK: Final = "***"
_SECRET_CHARS_MIN: Final = 6
"""What is shorter is no secret, and masking it would only garble the words around it."""
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and line ends: a terminal or a log that shows a server's words must not act on them."""


def secrets_of(credentials: Mapping[str, Any], token: str | None = None) -> list[str]:
    """Return the texts that must not be repeated, the longest first, so that none hides a part of another."""
    found = [value for value in (*credentials.values(), token) if isinstance(value, str)]
    return sorted((text for text in found if len(text) >= _SECRET_CHARS_MIN), key=len, reverse=True)


def unsaid(words: str, secrets: Iterable[str]) -> str:
    """Return words without the secrets in them: some servers quote what they were sent."""
    for secret in secrets:
        words = words.replace(secret, MASK)
    return words


def believed(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    """Return an outcome whose texts are bounded, can be shown and hold no secret, and whose pause is a number of
    milliseconds of at most `ATTEMPT_PAUSE_MS_MAX`."""
    if isinstance(outcome, Accepted):
        id_ = outcome.vendor_message_id
        shown = _UNSHOWN.sub("\ufffd", id_)[:VENDOR_MESSAGE_ID_CHARS_MAX]
        return outcome if shown == id_ else msgspec.structs.replace(outcome, vendor_message_id=shown)
    detail = _UNSHOWN.sub("\ufffd", unsaid(outcome.detail, secrets))
    changes: dict[str, Any] = {"detail": detail[:ATTEMPT_DETAIL_CHARS_MAX]}
    if isinstance(outcome, Throttled | Transient):
        changes["after_ms"] = _pause_ms(outcome.after_ms)
    return msgspec.structs.replace(outcome, **changes)


def _pause_ms(after_ms: object) -> int | None:
    if not isinstance(after_ms, int | float) or after_ms != after_ms:
        return None
    return int(min(max(after_ms, 0), ATTEMPT_PAUSE_MS_MAX))
