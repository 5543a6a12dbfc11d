"""What a sign-in under way, or a form that is shown twice, has to remember: sealed in the browser, so that nothing of people who do not get
through is stored here. A value opens for its purpose alone, and for a time."""

import base64
import binascii
from typing import Any, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from clarion.domain.limits_people import COOKIE_CHARS_MAX
from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault

T = TypeVar("T")
_NONCE_BYTES: Final = 16


class _Sealed(msgspec.Struct, array_like=True):
    nonce: bytes
    expires_ms: int
    content: msgspec.Raw


class SealedSteps:
    """Seals values with AES-SIV (RFC 5297) and a key of the vault."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._siv = AESSIV(vault.derive("sign-in-steps/1/mac") + vault.derive("sign-in-steps/1/encrypt"))
        self._clock = clock

    def seal(self, purpose: str, content: Any, valid_ms: int) -> str:
        """Return a value as a text that only this installation can read, for this purpose."""
        whole = _Sealed(
            self._clock.entropy(_NONCE_BYTES),
            self._clock.now_ms() + valid_ms,
            msgspec.Raw(msgspec.msgpack.encode(content)),
        )
        sealed = self._siv.encrypt(msgspec.msgpack.encode(whole), [purpose.encode()])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, purpose: str, text: str | None, kind: type[T]) -> T | None:
        """Return the value of a text, None when it is none of this purpose or its time is over."""
        if not text or not text.isascii() or len(text) > COOKIE_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            whole = msgspec.msgpack.decode(self._siv.decrypt(raw, [purpose.encode()]), type=_Sealed)
            if whole.expires_ms <= self._clock.now_ms():
                return None
            return msgspec.msgpack.decode(whole.content, type=kind)
        except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
            return None

    def __repr__(self) -> str:
        return "SealedSteps()"
