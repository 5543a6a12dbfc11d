"""Where an account's credentials are sent, as far as its settings decide it. Pure, and independent of vendors."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clarion.ports.vendor import Field

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def changed_destination(fields: Sequence[Field], stored: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Return the name of the first setting by which credentials would be sent to another place than with the stored
    settings, or be protected differently on the way; None when there is none. A setting that is absent has its
    default."""
    for field in fields:
        if field.is_destination and _place(field, stored) != _place(field, settings):
            return field.name
    return None


def _place(field: Field, settings: Mapping[str, Any]) -> Any:
    """Return a form of a setting's value that is equal for values of one meaning. Values that may differ differ."""
    value = settings.get(field.name)
    if value is None:
        value = field.default
    if not isinstance(value, str) or not value.isascii():
        return value
    if field.kind == "url":
        return _url_form(value)
    return value.lower() if field.kind == "host" else value


def _url_form(url: str) -> str:
    """Return a URL with scheme and host in lower case, without a default port and slashes at the end. It is not parsed,
    so that no two URLs are equal here that a client reads differently."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    scheme, authority = scheme.lower(), authority.lower()
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}/{path}".rstrip("/")
