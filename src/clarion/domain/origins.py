"""Origins (RFC 6454): which web pages may call the API with a user token."""

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address
from typing import ClassVar, Final

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits import ORIGINS_MAX

ORIGINS_KEY: Final = "tenant"
"""Key of the one list of origins a tenant has."""
ORIGIN_CHARS_MAX: Final = 300
_HOST_CHARS_MAX: Final = 253
_PORT_MAX: Final = 65_535
_ORIGIN: Final = re.compile(r"(https?)://(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([1-9]\d{0,4}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_DEFAULT_PORTS: Final = {"https": "443", "http": "80"}
_OWN_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_WILDCARD_LABELS_MIN: Final = 2


class AllowedOrigins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The origins whose pages may call the API with a tenant's user tokens: scheme, host and port, or with `*` for
    exactly one label at the start of the host."""

    KIND: ClassVar[str] = "origins"

    origins: tuple[str, ...] = ()


def check_origins(origins: Sequence[str], field: str = "origins") -> tuple[str, ...]:
    """Return origins as browsers write them, sorted. Raises `InvalidField` naming the first invalid one."""
    if len(origins) > ORIGINS_MAX:
        raise InvalidField(f"must name at most {ORIGINS_MAX} origins", field=field)
    return tuple(sorted({_checked(text, f"{field}[{index}]") for index, text in enumerate(origins)}))


def _checked(text: str, field: str) -> str:
    found = _ORIGIN.fullmatch(text.lower()) if len(text) <= ORIGIN_CHARS_MAX and text.isascii() else None
    if found is None:
        raise InvalidField("must be an origin such as https://app.example.com, without a path", field=field)
    scheme, wildcard, host, port = found.groups()
    labels = host.split(".")
    is_address = host[0] == "[" or labels[-1].isdecimal()
    if is_address:
        try:
            address = ip_address(host.strip("[]"))
        except ValueError as error:
            raise InvalidField("holds an invalid address", field=field) from error
        host = f"[{address.compressed}]" if host[0] == "[" else str(address)
    elif len(host) > _HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidField("holds an invalid host name", field=field)
    if wildcard and (is_address or len(labels) < _WILDCARD_LABELS_MIN):
        raise InvalidField("may have * only before a domain of at least two labels", field=field)
    if scheme == "http" and host not in _OWN_MACHINE:
        raise InvalidField("must be https; http only for localhost, 127.0.0.1 and [::1]", field=field)
    if port is not None and int(port) > _PORT_MAX:
        raise InvalidField("holds an invalid port", field=field)
    return f"{scheme}://{wildcard or ''}{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


def is_allowed(origin: str, allowed: Collection[str]) -> bool:
    """Return whether an `Origin` header names one of the allowed origins. It is compared as browsers write it."""
    if origin in allowed:
        return True
    scheme, separator, rest = origin.partition("://")
    label, dot, domain = rest.partition(".")
    return bool(separator and dot and _LABEL.fullmatch(label)) and f"{scheme}://*.{domain}" in allowed
