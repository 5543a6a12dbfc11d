"""Secrets that a request gives by reference: their values, read when they are saved."""

from collections.abc import Mapping
from typing import Any

from clarion.domain.errors import CallerError, InvalidField, Unverified
from clarion.domain.secret_reference import is_reference
from clarion.ports.secret_stores import Secrets, SecretUnavailable


async def values_of(
    secrets: Secrets | None, tenant: str, fields: Mapping[str, Any], path: str = "credentials"
) -> dict[str, Any]:
    """Return the fields below `path` with current values in the place of references. Raises `InvalidField` for a reference that
    cannot be used, and `Unverified` for one whose store could not be read."""
    if secrets is None or not any(is_reference(value) for value in fields.values()):
        return dict(fields)
    try:
        return await secrets.check(tenant, fields, path)
    except SecretUnavailable as error:
        raise _refusal(error) from None


def _refusal(error: SecretUnavailable) -> CallerError:
    words = f"the secret {error.reference} {error.words}; nothing was stored"
    kind = InvalidField if error.lasting else Unverified
    return kind(words, field=error.field, code=error.code)
