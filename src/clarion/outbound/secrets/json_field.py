"""One field of a secret that is a JSON object, which is how the secret managers of clouds hold several values in one."""

import json

from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.ports.secret_stores import SecretUnavailable


def split_place(place: str) -> tuple[str, str]:
    """Return the name of a secret and the field after `#`, which is empty for the whole secret. Raises
    `SecretUnavailable`."""
    name, mark, field = place.partition("#")
    if not name or (mark and not field):
        raise SecretUnavailable("secret_reference_invalid", "is not name or name#field")
    return name, field


def field_of(content: bytes, field: str) -> bytes:
    """Return a field of the JSON object that a secret is; all of the secret when `field` is empty. Raises
    `SecretUnavailable`."""
    if not field:
        return content
    if len(content) > SECRET_BYTES_MAX:
        raise SecretUnavailable("secret_too_large", f"is larger than {SECRET_BYTES_MAX} bytes")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise SecretUnavailable("secret_missing", "has no fields: it is not a JSON object")
    if field not in values:
        raise SecretUnavailable("secret_missing", "has no such field")
    try:
        return str.encode(values[field])
    except (TypeError, UnicodeEncodeError):
        raise SecretUnavailable("secret_not_text", "is not text") from None
