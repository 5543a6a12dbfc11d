"""Secrets by reference: `{"from": "file:/run/secrets/key"}` in the place of a secret, and who may name which one.

The form is an object, so that no literal secret is mistaken for a reference, whatever it begins with. The permissions
are the operator's: a tenant must be able to read nothing of the server but what it is permitted to.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from clarion.domain.errors import InvalidField, OperatorError
from clarion.domain.limits import SECRET_REFERENCE_CHARS_MAX

_STORE: Final = re.compile(r"[a-z][a-z0-9-]*")
_PLACE: Final = re.compile(r"[!-~]+")
_TENANT: Final = "{tenant}"
_TENANT_CHARS: Final = "abcdefghijklmnopqrstuvwxyz0123456789-"
_FORM: Final = (
    'must be {"from": "<store>:<place>"} with visible ASCII characters, without empty parts, "." and ".." in a path'
)


class SecretReference(NamedTuple):
    """The place of a secret within a store."""

    store: str
    place: str

    def __str__(self) -> str:
        return f"{self.store}:{self.place}"


class Permission(NamedTuple):
    """A pattern of references, and the only tenant that may name them; empty for every tenant."""

    tenant: str
    store: str
    pattern: str


def is_reference(value: Any) -> bool:
    """Return whether a value stands for a secret elsewhere: an object with `from` alone."""
    return isinstance(value, dict) and value.keys() == {"from"}


def references_in(credentials: Mapping[str, Any]) -> dict[str, str]:
    """Return the references among credentials, by name."""
    return {name: value["from"] for name, value in credentials.items() if is_reference(value)}


def parse(value: Any, field: str) -> SecretReference:
    """Return the reference that `{"from": ...}` holds. Raises `InvalidField`."""
    text = value["from"]
    if not isinstance(text, str) or len(text) > SECRET_REFERENCE_CHARS_MAX:
        raise InvalidField(_FORM, field=field, code="secret_reference_invalid")
    store, _, place = text.partition(":")
    if not _STORE.fullmatch(store) or not _PLACE.fullmatch(place) or _is_indirect(place):
        raise InvalidField(_FORM, field=field, code="secret_reference_invalid")
    return SecretReference(store, place)


def _is_indirect(place: str) -> bool:
    return any(part in ("", ".", "..") for part in place.removeprefix("/").split("/"))


def is_held_by(text: str) -> bool:
    """Return whether a secret's text is itself a reference, which is never followed."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return is_reference(json.loads(text))
    except (ValueError, RecursionError):
        return False


def parse_permissions(entries: Iterable[str], setting: str) -> tuple[Permission, ...]:
    """Return the permissions that a setting lists. Raises `OperatorError` for an entry that cannot be understood, and
    for one that would let a tenant name the secrets of another one."""
    return tuple(_permission(entry, setting) for entry in entries)


def _permission(entry: str, setting: str) -> Permission:
    tenant, _, text = entry.strip().rpartition(" ")
    store, _, pattern = text.partition(":")
    tenant = tenant.strip()
    if not _STORE.fullmatch(store) or not _PLACE.fullmatch(pattern) or _is_indirect(pattern):
        raise OperatorError(f'{setting}: {entry!r} is not "[tenant ]store:pattern".')
    if tenant.strip(_TENANT_CHARS):
        raise OperatorError(f"{setting}: {tenant!r} in {entry!r} is not the id of a tenant.")
    if not tenant and not _separates(pattern):
        raise OperatorError(
            f"{setting}: {entry!r} is not of one tenant: begin it with a tenant's id, or let it contain {_TENANT} once, "
            "before any * and followed by a character that no id contains, such as / or _."
        )
    return Permission(tenant, store, pattern)


def _separates(pattern: str) -> bool:
    """Return whether a pattern permits two tenants nothing in common: what stands in the place of the tenant's id has
    to be the whole id."""
    before, found, after = pattern.partition(_TENANT)
    return bool(found) and "*" not in before and _TENANT not in after and after[:1] not in (*_TENANT_CHARS, "*")


def permitted(permissions: Iterable[Permission], tenant: str, reference: SecretReference) -> str | None:
    """Return the part of the place that all permitted ones share, up to the last `/` before any `*`; None when the
    tenant may not name the reference. `*` stands for one or more characters other than `/` and `#`."""
    for one in permissions:
        if one.store != reference.store or one.tenant not in ("", tenant):
            continue
        pattern = one.pattern.replace(_TENANT, tenant)
        parts = "[^/#]+".join(re.escape(part) for part in pattern.split("*"))
        if re.fullmatch(parts, reference.place):
            return pattern.partition("*")[0].rpartition("/")[0]
    return None
