"""Masking of contacts for those who may not read them: of addresses and numbers only a few characters are left.

What a field with the name of a contact holds is masked whatever it looks like. In all other texts, such as the words of a provider or the
content of a message, what has the form of an address or of a number is.
"""

import re
from typing import Any, Final

_NAMES: Final = frozenset(
    {"address", "addresses", "email", "phone", "whatsapp", "chat", "webhook", "contacts", "token"}
)
_EMAIL: Final = re.compile(r"[^\s<>()\[\],;:\"'@/=]+@[^\s<>()\[\],;:\"'@/]+\.[^\s<>()\[\],;:\"'@/.]+")
_NUMBER: Final = re.compile(r"\+\d[\d ()./-]{5,20}\d")
_SHOWN: Final = 2


def mask(contact: str) -> str:
    """Return an address or a number of which only a few characters are left."""
    name, at, domain = contact.rpartition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    return f"***{contact[-_SHOWN:]}" if len(contact) > 2 * _SHOWN else "***"


def masked(value: Any) -> Any:
    """Return a JSON value with contacts masked, at any depth."""
    if isinstance(value, dict):
        return {_without(name): _hidden(inner) if name in _NAMES else masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return _without(value) if isinstance(value, str) else value


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner) for inner in value]
    return mask(value) if isinstance(value, str) and value else value


def _without(text: str) -> str:
    found = _EMAIL.sub(lambda match: mask(match[0]), text) if "@" in text else text
    return _NUMBER.sub(lambda match: mask(match[0]), found) if "+" in found else found
