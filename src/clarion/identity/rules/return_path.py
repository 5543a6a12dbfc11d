"""Where a sign-in may lead: to a path of this installation, never to another one."""

import re
from typing import Final

from clarion.domain.errors import InvalidField
from clarion.domain.limits_people import RETURN_PATH_CHARS_MAX

_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~-][A-Za-z0-9._~/-]*)?(?:\?[A-Za-z0-9._~=&%-]*)?")
"""No second slash or backslash at the beginning, which browsers read as another host, and nothing that they would change."""


def check_return(path: str, field: str = "next") -> str:
    """Return a path to lead to, an empty one as it is. Raises `InvalidField` for what could lead elsewhere."""
    if path and (
        len(path) > RETURN_PATH_CHARS_MAX or not _PATH.fullmatch(path) or "//" in path or "/../" in f"{path}/"
    ):
        raise InvalidField("is no path of this installation", field=field, code="unsafe_return")
    return path
