"""The number of values in JSON text, counted without decoding it.

A decoded value takes far longer than a byte of text: 1 MiB of `[],` holds 350,000 lists. A value here is a member of a
list or object, or a list or object itself: the brackets and commas outside of strings. A number with an exponent of
three digits counts as `_SLOW_NUMBER`, because decoding one takes up to 10 us.
"""

import re
from typing import Final

from clarion.domain.depth import STRING
from clarion.domain.errors import TooLarge

_SLOW_NUMBER: Final = 20
_BYTES_MIN: Final = 16 * 1024
"""Text shorter than this is never counted: the worst of it takes about 25 ms to decode."""
_MARKS: Final = b"[{,"
_SLOW: Final = re.compile(rb"[eE][-+]?[0-9]{3}")


def marks_in(text: bytes) -> int:
    """Return the brackets and commas of JSON text, with those in its strings: at least the number of its values."""
    return len(text) - len(text.translate(None, _MARKS))


def check_values(text: bytes, values_max: int, owner: str) -> None:
    """Raise `TooLarge` when JSON text has more values than allowed. `owner` names the text in the message."""
    if len(text) >= _BYTES_MIN and _has_more(text, values_max):
        raise _too_many(owner, f"{values_max} values")


def check_marks(text: bytes, marks_max: int, owner: str) -> None:
    """Raise `TooLarge` when text has more brackets and commas than allowed, also in its strings: for text so long that
    its strings should not be searched for."""
    if len(text) > marks_max:
        check_number_of_marks(marks_in(text), marks_max, owner)


def check_number_of_marks(marks: int, marks_max: int, owner: str) -> None:
    """Raise `TooLarge` when text has more brackets and commas than allowed."""
    if marks > marks_max:
        raise _too_many(owner, f"{marks_max} brackets and commas")


def _too_many(owner: str, what: str) -> TooLarge:
    return TooLarge(f"{owner} has more than {what}", code="too_many_values")


def _has_more(text: bytes, values_max: int) -> bool:
    marks = marks_in(text)
    if marks + _SLOW_NUMBER * (marks + 1) <= values_max:
        return False
    # The strings, which take longer to find than to decode, are only searched for when the text may have too many.
    exponents = min(marks + 1, text.count(b"e") + text.count(b"E"))
    if marks + _SLOW_NUMBER * exponents <= values_max:
        return False
    # Two strings per value at most, and a quote after a backslash may be part of one.
    if text.count(b'"') - text.count(b'\\"') > 4 * (values_max + 1):
        return True
    bare = STRING.sub(b"", text)
    values = marks_in(bare)
    return values > values_max or values + _SLOW_NUMBER * len(_SLOW.findall(bare)) > values_max
