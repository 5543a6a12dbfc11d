"""Idempotency keys in HTTP requests, and acceptances as HTTP responses."""

from typing import Any, Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.submissions import Key, digest_of
from clarion.domain.address import single_line
from clarion.domain.errors import InvalidField
from clarion.domain.limits import IDEMPOTENCY_KEY_CHARS_MAX
from clarion.ports.web import Call, Reply

HEADER: Final = "idempotency-key"
REPLAYED: Final = {"Idempotency-Replayed": "true"}
_JSON: Final = msgspec.json.Encoder()


def key_text(header: str | None, field: str | None) -> str | None:
    """Return the key in a request's header or body, or None. Raises `InvalidField` when it is malformed or the two
    differ."""
    if header is None:
        return field
    if not 1 <= len(header) <= IDEMPOTENCY_KEY_CHARS_MAX:
        raise InvalidField(f"takes 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters", field="Idempotency-Key")
    if field is not None and field != header:
        raise InvalidField("differs from the Idempotency-Key header", field="idempotency_key")
    return single_line(header, "Idempotency-Key", IDEMPOTENCY_KEY_CHARS_MAX)


def key_of(call: Call, field: str | None) -> Key | None:
    """Return the key of a call, or None. `field` is the key in the body, if any. Raises `InvalidField`."""
    text = key_text(call.headers.get(HEADER), field)
    if text is None:
        return None
    # The path counts too: the same body can be meant for another template.
    return Key(text, digest_of("\n".join(call.path.values()).encode() + call.raw))


def answer(accepted: Acceptance[Any]) -> Reply:
    """Return the HTTP response to an accepted request."""
    raw = _JSON.encode(accepted.response)
    if accepted.replayed:
        return Reply(raw=raw, status=202, headers=REPLAYED)
    return Reply(raw=raw, status=202, quota=accepted.quota)
