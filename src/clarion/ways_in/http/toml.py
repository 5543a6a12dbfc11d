"""Request bodies in TOML (https://toml.io/en/v1.0.0), for definitions that people keep in files."""

import re
import tomllib
from typing import Any, Final

from clarion.domain.errors import Malformed

_KEY_PARTS_MAX: Final = 16
_PART: Final = rb"""(?:(?<![\w-])[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_DEEP_KEY: Final = re.compile(rb"%b(?:[ \t]*+\.[ \t]*+%b){%d}" % (_PART, _PART, _KEY_PARTS_MAX))


def parsed(raw: bytes) -> Any:
    """Return the values of a body. Raises `Malformed` when it is not valid TOML, is nested too deeply or has a key of
    too many parts.

    The parser's memory grows with the square of the parts of a dotted key, so the parts are bounded.
    """
    if _DEEP_KEY.search(raw):
        raise Malformed(f"the body has a name of more than {_KEY_PARTS_MAX} parts with dots between them")
    try:
        return tomllib.loads(raw.decode())
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"the body is not valid TOML: {str(error)[:200]}") from None
