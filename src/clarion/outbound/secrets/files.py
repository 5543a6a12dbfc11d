"""Secrets in files, `file:/path`, and credentials that systemd passes to a service, `systemd:NAME`.

Kubernetes and Docker mount their secrets as files, too. The path is resolved first and has to stay within the part that
is permitted; then each of its folders is opened without following a link, so that nothing can be exchanged in between.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.ports.secret_stores import SecretUnavailable

_BARRED: Final = ("/proc", "/sys", "/dev")
_IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - a file system for files, unlike the rest of /dev
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class FileStore:
    """Reads files by their absolute path, except those of the kernel and in the folders `barred`."""

    def __init__(self, barred: Sequence[Path] = ()) -> None:
        self._barred = (*_BARRED, *(os.path.realpath(folder) for folder in barred))

    def read(self, place: str, root: str) -> bytes:
        """Return the content of a file without the line end after it. Raises `SecretUnavailable`."""
        if not place.startswith("/"):
            raise SecretUnavailable("secret_not_permitted", "is not an absolute path")
        path = os.path.realpath(place)
        if not _is_within(path, os.path.realpath(root or "/")):
            raise SecretUnavailable("secret_not_permitted", "is a link to a place outside of the permitted folder")
        if self._is_barred(path):
            raise SecretUnavailable("secret_not_permitted", "is in a folder from which no secret is read")
        try:
            return _content(path)
        except (FileNotFoundError, NotADirectoryError):
            raise SecretUnavailable("secret_missing", "does not exist") from None
        except OSError as error:
            raise SecretUnavailable("secret_unavailable", f"cannot be read: {error.strerror}", lasting=False) from None

    def _is_barred(self, path: str) -> bool:
        barred = {folder for folder in self._barred if _is_within(path, folder)}
        if _is_within(path, _IN_MEMORY):
            barred.discard("/dev")
        return bool(barred)


class SystemdStore:
    """Reads the credentials of this service from the folder that systemd names in `CREDENTIALS_DIRECTORY`
    (systemd.exec, "Credentials")."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._files = FileStore()

    def read(self, place: str, root: str) -> bytes:
        """Return the credential of a name. Raises `SecretUnavailable`."""
        if not self._folder:
            raise SecretUnavailable("secret_missing", "cannot exist: systemd passed no credentials to this process")
        if "/" in place:
            raise SecretUnavailable("secret_not_permitted", "is not the name of a credential")
        return self._files.read(f"{self._folder}/{place}", self._folder)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _content(path: str) -> bytes:
    *folders, name = path.strip("/").split("/")
    at = os.open("/", _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        file = os.open(name or ".", _FILE, dir_fd=at)
    finally:
        os.close(at)
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise SecretUnavailable("secret_unavailable", "is not a regular file")
        content = opened.read(SECRET_BYTES_MAX + 3)  # one byte and a line end more than permitted
    return content.removesuffix(b"\n").removesuffix(b"\r")
