"""Threads whose code can neither open connections nor access files or processes.

Python calls audit hooks before such operations (PEP 578). A hook cannot be removed, so code behind the fence cannot
open it. The fence stops library code that does more than it documents; it is not a sandbox for hostile code.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_DENIED: Final = (
    "socket.", "subprocess.", "os.", "shutil.", "tempfile.", "ctypes.", "sqlite3.", "smtplib.", "ftplib.", "imaplib.",
    "poplib.", "telnetlib.", "nntplib.", "http.client.", "urllib.", "pty.", "signal.", "syslog.", "webbrowser.",
    "_thread.", "fcntl.", "mmap.", "pathlib.", "glob.",
)  # fmt: skip
_HARMLESS: Final = frozenset({"os.listdir", "os.scandir", "os.walk", "os.fwalk", "socket.gethostname"})
"""Importing a module lists folders; user agents read the name of the machine."""
_READ: Final = frozenset({"r", "rb", "rt", None})


class Fenced(PermissionError):
    """Raised for an operation denied behind the fence; the text names the operation without its arguments."""


class _Mark(threading.local):
    up = False
    tried = ""


_mark: Final = _Mark()
_lock: Final = threading.Lock()
_hooked: Final[set[str]] = set()


def _roots() -> tuple[str, ...]:
    """Return the folders that code is imported from: they hold no secrets."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(threading.__file__).parent)}
    return tuple(f"{root.rstrip('/')}/" for root in found)


def _watch(roots: tuple[str, ...]) -> None:
    mark = _mark

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not mark.up:
            return
        if event == "open":
            path, mode = arguments[0], arguments[1]
            if mode in _READ and isinstance(path, str) and path.startswith(roots) and "/../" not in path:
                return
        elif not event.startswith(_DENIED) or event in _HARMLESS:
            return
        mark.tried = event
        raise Fenced(f"{event} is not allowed here")

    sys.addaudithook(hook)


@contextmanager
def fenced() -> Iterator[None]:
    """Deny connections, files and processes to this thread within the context."""
    with _lock:
        if not _hooked:
            _watch(_roots())
            _hooked.add("hook")
    _mark.tried = ""
    _mark.up = True
    try:
        yield
    finally:
        _mark.up = False


def is_fenced() -> bool:
    """Return whether this thread is behind the fence."""
    return _mark.up


def tried() -> str:
    """Return the last operation denied on this thread since `fenced` began, empty when there was none."""
    return _mark.tried
