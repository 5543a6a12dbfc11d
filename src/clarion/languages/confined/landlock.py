"""Landlock: a process gives up files, programs, TCP and signals for good, without privileges (Linux 5.13 and newer).

Source: https://docs.kernel.org/userspace-api/landlock.html. The numbers of its system calls are the same on all
architectures.
"""

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_READ: Final = 1 << 2 | 1 << 3
"""Reading files and listing folders."""
_FILES: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights on files by the version that knows them first: execution, all kinds of writing, and device commands, too."""
_TCP: Final = 0b11
_TCP_SINCE: Final = 4
_SCOPES: Final = 0b11
"""Abstract Unix sockets of, and signals to, processes outside."""
_SCOPES_SINCE: Final = 6

_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")


def readable_folders() -> set[str]:
    """Return the folders of this interpreter's code and of the libraries it may still load."""
    code = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *filter(None, sys.path)]
    return {os.path.realpath(folder) for folder in (*code, *_LIBRARIES) if Path(folder).is_dir()}


def ruleset(readable: Iterable[str]) -> int | None:
    """Return a descriptor of the rules under which nothing but these folders can be read, or None where the system
    has no Landlock."""
    version = _call(_CREATE_RULESET, None, 0, _VERSION) if sys.platform == "linux" else 0
    if version < 1:
        return None
    files = 0
    for since, rights in _FILES.items():
        files |= rights if version >= since else 0
    attributes = struct.pack("=Q", files)
    if version >= _TCP_SINCE:
        attributes += struct.pack("=Q", _TCP)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _SCOPES)
    rules_fd = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules_fd < 0:
        return None
    for folder in readable:
        with suppress(OSError):  # a folder that cannot be opened cannot be read, either
            folder_fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            try:
                _call(_ADD_RULE, rules_fd, _PATH_BENEATH, struct.pack("=Qi", _READ, folder_fd), 0)
            finally:
                os.close(folder_fd)
    return rules_fd


def restrict(rules_fd: int) -> None:
    """Put this process and its future children under the rules. Raises `OSError` when the system refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or _call(_RESTRICT_SELF, rules_fd, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot give up access to files")


def _call(number: int, *arguments: int | bytes | None) -> int:
    """Return the result of a system call, -1 when it failed."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *values)
    return result
