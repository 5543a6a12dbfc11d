"""The name of a template in a request: its key, which means the current version, or `key@3` for a fixed one."""

from typing import Final

_MARK: Final = "@"
_DIGITS_MAX: Final = 9


def split(name: str) -> tuple[str, int | None]:
    """Return the key and the version of a name, None for the current one. A suffix that is not a version number stays
    in the key, which then matches no template."""
    key, mark, digits = name.partition(_MARK)
    if mark and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX:
        return key, int(digits)
    return name, None


def canonical(name: str) -> str:
    """Return the name under which what was built is stored."""
    key, version = split(name)
    return key if version is None else f"{key}{_MARK}{version}"
