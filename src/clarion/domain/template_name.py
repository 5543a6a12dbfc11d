"""The name a template is asked for by: its key, which stands for the current version, or `key@3` for a fixed one."""

from typing import Final

_MARK: Final = "@"
_DIGITS_MAX: Final = 9


def split(name: str) -> tuple[str, int | None]:
    """Return the key and the version of a name, None for the current one. What is no version number stays in the key,
    where no template has it."""
    key, mark, digits = name.partition(_MARK)
    if mark and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX:
        return key, int(digits)
    return name, None
