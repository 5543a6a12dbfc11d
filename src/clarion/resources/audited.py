"""Bodies as the audit shows them: secrets as digests, contacts masked, and long texts by their digest alone."""

from collections.abc import Collection
from hashlib import sha256
from typing import Any, Final

import msgspec

from clarion.domain.contacts import mask
from clarion.domain.limits import AUDITED_TEXT_CHARS_MAX

_JSON: Final = msgspec.json.Encoder(order="sorted")


def audited(raw: bytes, secrets: Collection[str] = (), contacts: Collection[str] = ()) -> bytes:
    """Return a JSON body for the audit. `secrets` and `contacts` are names of fields, at any depth."""
    return _JSON.encode(_shown(msgspec.json.decode(raw), frozenset(secrets), frozenset(contacts)))


def _shown(value: Any, secrets: frozenset[str], contacts: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _field(name, inner, secrets, contacts) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner, secrets, contacts) for inner in value]
    if isinstance(value, str) and len(value) > AUDITED_TEXT_CHARS_MAX:
        return f"{_digest(value.encode())}, {len(value)} characters"
    return value


def _field(name: str, value: Any, secrets: frozenset[str], contacts: frozenset[str]) -> Any:
    if name in secrets:
        return _digested(value)
    return _masked(value) if name in contacts else _shown(value, secrets, contacts)


def _digested(value: Any) -> Any:
    """Return a secret's digest; of a map of secrets, such as headers, those of its values."""
    if isinstance(value, dict):
        return {name: _digested(inner) for name, inner in value.items()}
    return None if value is None else _digest(_JSON.encode(value))


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return mask(value) if isinstance(value, str) else value


def _digest(raw: bytes) -> str:
    return f"sha256:{sha256(raw).hexdigest()}"
