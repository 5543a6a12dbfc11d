"""Bounds and cleans provider responses: a vendor's server is not trusted, and neither are its texts and numbers."""

from collections.abc import Iterable
from typing import Any

import msgspec

from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX, ATTEMPT_PAUSE_MS_MAX, VENDOR_MESSAGE_ID_CHARS_MAX
from clarion.domain.masking import MASK as MASK
from clarion.domain.masking import mask_secrets as mask_secrets
from clarion.domain.masking import printable
from clarion.domain.masking import secrets_of as secrets_of
from clarion.domain.outcome import Accepted, Ambiguous, Outcome, Throttled, Transient


def sanitized(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    """Return an outcome whose texts are bounded, printable and free of secrets, and whose pause is a number of
    milliseconds of at most `ATTEMPT_PAUSE_MS_MAX`."""
    if isinstance(outcome, Accepted):
        id_ = outcome.vendor_message_id
        shown = printable(id_)[:VENDOR_MESSAGE_ID_CHARS_MAX]
        if shown == id_ and not outcome.detail:
            return outcome
        detail = printable(mask_secrets(outcome.detail, secrets))[:ATTEMPT_DETAIL_CHARS_MAX]
        return msgspec.structs.replace(outcome, vendor_message_id=shown, detail=detail)
    detail = printable(mask_secrets(outcome.detail, secrets))
    changes: dict[str, Any] = {"detail": detail[:ATTEMPT_DETAIL_CHARS_MAX]}
    if isinstance(outcome, Throttled | Transient | Ambiguous):
        changes["after_ms"] = _pause_ms(outcome.after_ms)
    if isinstance(outcome, Throttled) and outcome.scope != "recipient":
        changes["scope"] = "account"
    return msgspec.structs.replace(outcome, **changes)


def _pause_ms(after_ms: object) -> int | None:
    if not isinstance(after_ms, int | float) or after_ms != after_ms:
        return None
    return int(min(max(after_ms, 0), ATTEMPT_PAUSE_MS_MAX))
