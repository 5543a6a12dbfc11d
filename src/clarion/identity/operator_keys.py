"""The operator's keys: the present one and, until its overlap ends, the one before.

They are files of the data directory, written whole or not at all and readable by their owner alone: `operator.key` holds
the key, `operator.key.previous` the one before and, on a second line, until when it is valid (RFC 3339). Every API
process looks once in `OPERATOR_KEY_CHECK_MS` whether they changed. A file that cannot be used while the process runs
leaves the keys as they were.
"""

import asyncio
import hmac
import os
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from clarion.domain.api_key import SECRET_BYTES, operator_key_of
from clarion.domain.errors import OperatorError
from clarion.domain.limits import OPERATOR_KEY_CHARS_MIN, OPERATOR_KEY_FILE_BYTES_MAX
from clarion.domain.limits_processes import OPERATOR_KEY_CHECK_MS
from clarion.domain.security_events import SecurityEvent
from clarion.domain.times import shown, stored
from clarion.ports.telemetry import Telemetry

OPERATOR_KEY_FILE: Final = "operator.key"
PREVIOUS_FILE: Final = "operator.key.previous"
_OTHERS: Final = 0o077


class _Keys(NamedTuple):
    current: bytes
    previous: bytes = b""
    previous_until_ms: int = 0


class OperatorSettings(Protocol):
    """What the keys depend on: the folder of their files, and a key that is set instead, or an empty text."""

    @property
    def data_dir(self) -> Path:
        """The data directory."""

    @property
    def operator_key(self) -> str:
        """The key that is set."""


class OperatorKeys:
    """The valid keys of the operator. They are never shown."""

    def __init__(self, configured: str) -> None:
        """A configured key has no file and no key before it."""
        self._keys = _Keys(configured.encode())

    def match(self, secret: str, now_ms: int) -> bool:
        """Return whether a secret is a key of the operator, comparing in constant time."""
        given, keys = secret.encode(), self._keys
        is_current = hmac.compare_digest(given, keys.current)
        if now_ms >= keys.previous_until_ms:
            return is_current
        return hmac.compare_digest(given, keys.previous) | is_current

    async def follow(self) -> None:
        """Return: a configured key does not change."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class OperatorKeyFiles(OperatorKeys):
    """The operator's keys in files, which are read again when they change."""

    def __init__(self, data_dir: Path, telemetry: Telemetry) -> None:
        """Raises `OperatorError` when a file cannot be used."""
        self._data_dir = data_dir
        self._telemetry = telemetry
        self._seen = self._states()
        self._keys = _read_all(data_dir)

    def reload(self) -> None:
        """Read the files again if they changed. Files that cannot be used are reported once, and change nothing."""
        states = self._states()
        if states == self._seen:
            return
        self._seen, before = states, self._keys
        try:
            self._keys = _read_all(self._data_dir)
        except OperatorError as error:
            self._telemetry.log("warning", "operators_key_not_reloaded", reason=str(error), still="the last good key")
            return
        if before.current != self._keys.current:
            self._telemetry.security(SecurityEvent.OPERATOR_KEY_CHANGED)

    async def follow(self) -> None:
        """Read changed files again, until the task is cancelled."""
        while True:
            await asyncio.sleep(OPERATOR_KEY_CHECK_MS / 1000)
            self.reload()

    def _states(self) -> list[tuple[int, ...] | None]:
        return [_state(self._data_dir / name) for name in (OPERATOR_KEY_FILE, PREVIOUS_FILE)]


def operator_key(settings: OperatorSettings) -> str:
    """Return the operator's key, writing its file (mode 0600) at the first start. Raises `OperatorError` when the key
    is too short or other users can read its file."""
    if settings.operator_key:
        return _long_enough(settings.operator_key, "the configured operator key")
    path: Path = settings.data_dir / OPERATOR_KEY_FILE
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    return _read_key(path)


def valid_keys(settings: OperatorSettings) -> list[str]:
    """Return the operator's key and the one before it, if its overlap has not been ended by another. Raises `OperatorError`
    as `operator_key` does."""
    key = operator_key(settings)
    if settings.operator_key:
        return [key]
    found = _read_all(settings.data_dir)
    return [one.decode() for one in (found.current, found.previous) if one]


def operator_keys(settings: OperatorSettings, telemetry: Telemetry) -> OperatorKeys:
    """Return the valid keys of the operator. Raises `OperatorError` as `operator_key` does."""
    key = operator_key(settings)
    return OperatorKeys(key) if settings.operator_key else OperatorKeyFiles(settings.data_dir, telemetry)


def rotate(settings: OperatorSettings, overlap_ms: int, now_ms: int) -> Path:
    """Write a new key of the operator and return its file; the key before stays valid for the overlap. Raises
    `OperatorError` when the key is a setting, or a file cannot be read or written."""
    if settings.operator_key:
        raise OperatorError("The operator's key is a setting, operator_key; change it there and restart the API.")
    path = settings.data_dir / OPERATOR_KEY_FILE
    if not path.exists():
        raise OperatorError(f"There is no {path}: is this the data directory of an installation?")
    before = _read_key(path)
    until = shown(now_ms + overlap_ms).isoformat()
    try:
        # In this order a crash in between leaves the key that was valid before.
        _replace(settings.data_dir / PREVIOUS_FILE, f"{before}\n{until}\n")
        _replace(path, _new_key())
    except OSError as error:
        raise OperatorError(f"Cannot write {error.filename or path}: {error.strerror}.") from error
    return path


def _read_all(data_dir: Path) -> _Keys:
    current, path = _read_key(data_dir / OPERATOR_KEY_FILE).encode(), data_dir / PREVIOUS_FILE
    if not path.exists():
        return _Keys(current)
    text, _, until = _read(path).partition("\n")
    try:
        ends_ms = stored(datetime.fromisoformat(until.strip()))
    except (ValueError, TypeError):
        raise OperatorError(f"{path} must hold a key and, on a second line, until when it is valid.") from None
    return _Keys(current, _long_enough(text.strip(), str(path)).encode(), ends_ms)


def _read_key(path: Path) -> str:
    return _long_enough(_read(path).strip(), str(path))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(OPERATOR_KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorError(f"Cannot read {path}: {error.strerror}.") from error
    if stat.S_IMODE(mode) & _OTHERS:
        raise OperatorError(f"{path} can be read by other users; run: chmod 600 {path}.")
    if len(content) > OPERATOR_KEY_FILE_BYTES_MAX or not content.isascii():
        raise OperatorError(f"{path} is not the file of a key.")
    return content.decode()


def _long_enough(key: str, what: str) -> str:
    # An empty file would be a key that every client has.
    if len(key) < OPERATOR_KEY_CHARS_MIN:
        raise OperatorError(f"{what} must have at least {OPERATOR_KEY_CHARS_MIN} characters.")
    return key


def _new_key() -> str:
    return f"{operator_key_of(os.urandom(SECRET_BYTES))}\n"


def _make(path: Path) -> None:
    """Write the first key atomically: several processes may start at once, and all have to read the same key."""
    draft = _draft(path, _new_key())
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def _replace(path: Path, text: str) -> None:
    """Write a file whole and durably, or not at all."""
    _draft(path, text).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ctime_ns
