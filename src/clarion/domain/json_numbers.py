"""Numbers of decoded JSON: JSON has integers of any length, the journal and the stores have 64 bits for one."""

from typing import Any, Final

from clarion.domain.errors import InvalidField

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1


def numbers(value: Any, field: str) -> None:
    """Raise `InvalidField` when a value contains, at any depth, an integer that does not fit in 64 bits, signed."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            rest.extend(item.values())
        elif isinstance(item, list | tuple):
            rest.extend(item)
        elif isinstance(item, int) and not _LEAST <= item <= _MOST:
            raise InvalidField("holds an integer of more than 64 bits", field=field)
