"""References between definitions: what one names, in which of its fields."""

from typing import NamedTuple

from clarion.domain.errors import InvalidField
from clarion.domain.limits import KEY_CHARS_MAX


class Reference(NamedTuple):
    """A definition that a field of another one names, by kind and key."""

    kind: str
    key: str
    field: str

    def unknown(self) -> InvalidField:
        """Return the error of a field that names what does not exist."""
        return unknown(self.kind, self.key, self.field)


def unknown(noun: str, name: str, field: str) -> InvalidField:
    """Return the error of a field that names what does not exist."""
    return InvalidField(f"unknown {noun} {name[:KEY_CHARS_MAX]!r}", field=field, code=f"unknown_{noun}")
