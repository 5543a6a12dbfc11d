"""Validation of an account's settings and credentials against its vendor's declared fields. Pure, and independent of
vendors."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clarion.domain.address import single_line, url
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits import ADDRESS_CHARS_MAX, CREDENTIAL_CHARS_MAX
from clarion.ports.vendor import Field

_KINDS: Final[dict[str, tuple[type, str]]] = {
    "string": (str, "text"),
    "url": (str, "a URL"),
    "host": (str, "a host name"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "object": (dict, "an object"),
    "list": (list, "a list"),
}


def check_fields(fields: Sequence[Field], values: Mapping[str, Any], path: str, *, secret: bool) -> dict[str, Any]:
    """Return the values with defaults filled in. Raises `InvalidField` naming a field that is unknown, missing or
    invalid.

    Text is one line unless `secret`: keys in PEM have many. An invalid secret's value is never part of the message.
    """
    declared = {field.name: field for field in fields}
    for name in values:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise InvalidField(f"is not a field of this vendor (which has {known})", field=f"{path}.{name[:100]}")
    checked = {}
    for name, field in declared.items():
        value = values.get(name)
        if value is not None:
            _check(field, value, f"{path}.{name}", secret=secret)
        elif field.required:
            raise InvalidField("is required by this vendor", field=f"{path}.{name}")
        else:
            value = field.default
        if value is not None:
            checked[name] = value
    return checked


def _check(field: Field, value: Any, path: str, *, secret: bool) -> None:
    kind, article = _KINDS[field.kind]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidField(f"must be {article}", field=path)
    if field.required and value == "":
        raise InvalidField("must not be empty", field=path)
    if isinstance(value, str):
        _check_text(field, value, path, secret=secret)
    elif isinstance(value, int) and not field.least <= value <= field.most:
        raise InvalidField(f"must be from {field.least} to {field.most}", field=path)
    else:
        numbers(value, path)


def _check_text(field: Field, text: str, path: str, *, secret: bool) -> None:
    if field.kind == "url":
        url(text, path)
        if "?" in text or "#" in text:
            # Paths that vendors append to it would become part of the query, or be lost.
            raise InvalidField("must not carry a query or fragment", field=path)
    elif not secret:
        single_line(text, path, ADDRESS_CHARS_MAX)
    elif len(text) > CREDENTIAL_CHARS_MAX or "\0" in text:
        raise InvalidField(f"must be at most {CREDENTIAL_CHARS_MAX} characters without NUL", field=path)
    if field.schemes and text.partition("://")[0].lower() not in field.schemes:
        raise InvalidField("must be a URL of a service that can be used here; the vendor's page lists them", field=path)
    if field.pattern is not None and not re.fullmatch(field.pattern, text):
        raise InvalidField(f"does not match {field.pattern}", field=path)
