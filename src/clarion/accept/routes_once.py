"""Idempotency keys as HTTP carries them, and acceptances as HTTP answers."""

from typing import Any, Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.submissions import Key, digest_of
from clarion.domain.address import single_line
from clarion.domain.errors import InvalidField
from clarion.domain.limits import IDEMPOTENCY_KEY_CHARS_MAX
from clarion.ports.web import Call, Reply, rate_limit_fields

HEADER: Final = "idempotency-key"
REPLAYED: Final = {"Idempotency-Replayed": "true"}
_JSON: Final = msgspec.json.Encoder()


def key_text(header: str | None, field: str | None) -> str | None:
    """Return the key a request carries in its header or body. Raises `InvalidField`."""
    if header is None:
        return field
    if not 1 <= len(header) <= IDEMPOTENCY_KEY_CHARS_MAX:
        raise InvalidField(f"takes 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters", field="Idempotency-Key")
    if field is not None and field != header:
        raise InvalidField("differs from the Idempotency-Key header", field="idempotency_key")
    return single_line(header, "Idempotency-Key", IDEMPOTENCY_KEY_CHARS_MAX)


def key_of(call: Call, field: str | None) -> Key | None:
    """Return the key of a call whose body may hold one in `field`. Raises `InvalidField`."""
    text = key_text(call.headers.get(HEADER), field)
    if text is None:
        return None
    # The path counts too: the same body can be meant for another template.
    return Key(text, digest_of("\n".join(call.path.values()).encode() + call.raw))


def answer(accepted: Acceptance[Any]) -> Reply:
    """Return the answer to what was accepted."""
    headers = REPLAYED if accepted.replayed else rate_limit_fields(accepted.quota)
    return Reply(raw=_JSON.encode(accepted.told), status=202, headers=headers)
