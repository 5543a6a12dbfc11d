"""Links to unsubscribe with: sealed, so that they show nobody's name and cannot be made or altered by anybody else.

A token is a version byte and the subject under AES-256-SIV (RFC 5297) with a key of the vault, in base64url. SIV takes no
nonce: the same subject gives the same token, so each attempt of a delivery sends the same bytes, and its synthetic IV of
128 bits is what a forger would have to guess. Tokens do not expire: somebody may want out of a list at the sight of a
message that is years old, and all a token can do is to stop mail.
"""

import base64
import binascii
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from clarion.domain.limits_email import UNSUBSCRIBE_TOKEN_CHARS_MAX
from clarion.ports.secrets import Vault
from clarion.ports.unsubscribing import Subject

PATH: Final = "/v1/unsubscribe/"
_VERSION: Final = b"\x01"
"""Tells by which key a token was made, should there ever be another."""
_PURPOSE: Final = [b"clarion unsubscribe"]
_URL_CHARS_MAX: Final = 900
"""What fits a line of a header; see RFC 5322 2.1.1."""


class SealedLinks:
    """The `Unsubscribing` port. `public_url` is where recipients reach this installation; only https makes links, as RFC
    8058 asks for."""

    def __init__(self, vault: Vault, public_url: str) -> None:
        self._siv = AESSIV(vault.derive("unsubscribe/1/mac") + vault.derive("unsubscribe/1/encrypt"))
        self._base = public_url.rstrip("/") + PATH if public_url.startswith("https://") else ""

    def url(self, subject: Subject) -> str:
        """Return the link of a subject, empty without https or when it would not fit a header."""
        if not self._base:
            return ""
        url = self._base + self.token(subject)
        return url if len(url) <= _URL_CHARS_MAX else ""

    def token(self, subject: Subject) -> str:
        """Return the token of a subject."""
        sealed = _VERSION + self._siv.encrypt(msgspec.msgpack.encode(subject), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, token: str) -> Subject | None:
        """Return the subject of a token, None when it is not one of ours, byte for byte."""
        if not token.isascii() or len(token) > UNSUBSCRIBE_TOKEN_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            # Base64 has spare bits at its end: what differs there only is not the token that was made.
            if raw[:1] != _VERSION or base64.urlsafe_b64encode(raw).rstrip(b"=") != token.encode():
                return None
            return msgspec.msgpack.decode(self._siv.decrypt(raw[1:], _PURPOSE), type=Subject)
        except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
            return None

    def __repr__(self) -> str:
        return "SealedLinks()"
