"""Unsubscribe links: sealed, so that they reveal no personal data and nobody else can make or alter one.

A token is a version byte and the subject under AES-256-SIV (RFC 5297) with a key of the vault, in base64url. SIV takes no
nonce: the same subject gives the same token, so each attempt of a delivery sends the same bytes, and its synthetic IV of
128 bits is the value that a forger would have to guess. Tokens do not expire: a recipient may unsubscribe by a message
that is years old, and a token can do nothing but stop mail.
"""

import base64
import binascii
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from clarion.domain.limits_content import UNSUBSCRIBE_TOKEN_CHARS_MAX
from clarion.ports.secrets import Vault
from clarion.ports.unsubscribe_links import UnsubscribeSubject

PATH: Final = "/v1/unsubscribe/"
_VERSION: Final = b"\x01"
"""Identifies the key that a token was made with, should there ever be another."""
_PURPOSE: Final = [b"clarion unsubscribe"]
_URL_CHARS_MAX: Final = 900
"""The longest URL that fits a line of a header; see RFC 5322 2.1.1."""


class SealedUnsubscribeLinks:
    """Implements `ports.unsubscribe_links.UnsubscribeLinks`. `public_url` is the address at which recipients reach this
    installation; links are made only for https, as RFC 8058 requires."""

    def __init__(self, vault: Vault, public_url: str) -> None:
        self._siv = AESSIV(vault.derive("unsubscribe/1/mac") + vault.derive("unsubscribe/1/encrypt"))
        self._base = public_url.rstrip("/") + PATH if public_url.startswith("https://") else ""

    def url(self, subject: UnsubscribeSubject) -> str:
        """Return the link of a subject; empty without https, or when the link would not fit a header."""
        if not self._base:
            return ""
        url = self._base + self.token(subject)
        return url if len(url) <= _URL_CHARS_MAX else ""

    def token(self, subject: UnsubscribeSubject) -> str:
        """Return the token of a subject."""
        sealed = _VERSION + self._siv.encrypt(msgspec.msgpack.encode(subject), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, token: str) -> UnsubscribeSubject | None:
        """Return the subject of a token, or None unless the token is, byte for byte, one made by this installation."""
        if not token.isascii() or len(token) > UNSUBSCRIBE_TOKEN_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            # Base64 has unused bits at its end: text that differs only in these is not the token that was made.
            if raw[:1] != _VERSION or base64.urlsafe_b64encode(raw).rstrip(b"=") != token.encode():
                return None
            return msgspec.msgpack.decode(self._siv.decrypt(raw[1:], _PURPOSE), type=UnsubscribeSubject)
        except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
            return None

    def __repr__(self) -> str:
        return "SealedUnsubscribeLinks()"
