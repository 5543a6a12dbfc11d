"""Secrets of a request: values of those given by reference, read when they are saved, and reports of those it should have given."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clarion.domain.errors import CallerError, CredentialsRequired, InvalidField, Unverified
from clarion.domain.secret_reference import is_reference
from clarion.domain.security_events import SecurityEvent
from clarion.ports.secret_stores import Secrets, SecretUnavailable
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call


@contextmanager
def reporting(telemetry: Telemetry, call: Call, subject: str) -> Iterator[None]:
    """Report to the security log when the stored secrets of a subject were to be used for something else."""
    try:
        yield
    except CredentialsRequired:
        tenant, key_id = call.caller.tenant, call.caller.actor.id
        telemetry.security(SecurityEvent.CREDENTIALS_REQUIRED, tenant=tenant, key_id=key_id, subject=subject)
        raise


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
