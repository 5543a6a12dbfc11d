"""The vault on one master key: AES-256-GCM for credentials, HKDF-SHA-256 for every other key.

The master key comes from configuration or from `master.key` in the data directory, made at the first start with mode
0600. Nothing is ever encrypted with the master key itself, only with keys derived from it.

A sealed value is: format (1 byte), nonce (12), ciphertext and tag. Its associated data is the length-prefixed tenant
followed by the record id, so a value copied to another row does not open.
"""

import base64
import binascii
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import DERIVED_KEYS_MAX
from clarion.ports.secrets import SealBroken

KEY_FILE: Final = "master.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORMAT: Final = b"\x01"


class FileVault:
    """A vault that encrypts with keys derived from one master key and shows no key in its repr."""

    def __init__(self, master: bytes) -> None:
        if len(master) != _KEY_BYTES:
            raise OperatorError(f"the master key must be {_KEY_BYTES} bytes, not {len(master)}")
        self._derive = lru_cache(maxsize=DERIVED_KEYS_MAX)(lambda purpose: _hkdf(master, purpose))
        self._cipher = AESGCM(self._derive("credentials"))

    @classmethod
    def load(cls, data_dir: Path, configured: str | None = None) -> "FileVault":
        """Return the vault of a data directory. Creates its key file at the first start.

        `configured` is the master key as base64 of 32 bytes and takes precedence over the file. Raises `OperatorError`
        when it is anything else, or when other users can read the file.
        """
        if configured:
            return cls(_decode(configured, "the configured master key"))
        data_dir.mkdir(parents=True, exist_ok=True)
        path = data_dir / KEY_FILE
        _create(path)
        return cls(_read(path))

    def seal(self, tenant: str, record_id: str, plaintext: bytes) -> bytes:
        """Return the plaintext encrypted for one tenant and record, under a fresh random nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plaintext, _bound_to(tenant, record_id))

    def open(self, tenant: str, record_id: str, sealed: bytes) -> bytes:
        """Return the plaintext. Raises `SealBroken` when the tenant, the record id or the key is another, or any bit
        was changed."""
        if sealed[:1] != _FORMAT:
            raise SealBroken(f"the secret of {record_id!r} is of an unknown format")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, _bound_to(tenant, record_id))
        except (InvalidTag, ValueError):
            raise SealBroken(
                f"the secret of {record_id!r} does not open: it was altered, or {KEY_FILE} is not the one it was made with"
            ) from None

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose."""
        return self._derive(purpose)

    def __repr__(self) -> str:
        return "FileVault()"


def _bound_to(tenant: str, record_id: str) -> bytes:
    # The length distinguishes ("ab", "c") from ("a", "bc").
    owner = tenant.encode()
    return len(owner).to_bytes(4, "big") + owner + record_id.encode()


def _hkdf(master: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"clarion/1/" + purpose.encode()).derive(master)


def _decode(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise OperatorError(f"{what} must be base64 of {_KEY_BYTES} bytes")
    return key


def _create(path: Path) -> None:
    """Write a new key file unless there is one. The file is complete before it gets its name and never replaces
    another."""
    if path.exists():
        return
    draft = path.with_name(f"{KEY_FILE}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails when another process was first; its key is then the one used
        _sync_folder(path.parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise OperatorError(f"cannot write the master key {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1024)
    except OSError as error:
        raise OperatorError(f"cannot read the master key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise OperatorError(f"the master key {path} can be read by other users (mode {mode:04o}): chmod 600 it")
    return _decode(text.decode("ascii", "replace"), f"the master key {path}")
