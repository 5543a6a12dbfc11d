"""Tickets of the gateway: a user's page gets one for its user token, and opens one connection with it. So no token has to be part
of an address, where logs keep it.

A ticket is a version byte and its content under AES-256-SIV (RFC 5297) with a key of the vault, in base64url, valid for
`TICKET_TTL_S`. That it was used is a value in the store of quotas, which is set once whoever tries: nothing is stored before.
A power cut may forget it, and with it that a ticket was used less than a minute before.
"""

import base64
import binascii
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from clarion.domain.errors import Unauthorized
from clarion.domain.limits_gateway import TICKET_CHARS_MAX, TICKET_FORGET_MS, TICKET_TTL_S
from clarion.domain.quota import Usage
from clarion.identity.user_tokens import TokenClaims
from clarion.ports.clock import Clock
from clarion.ports.quotas import BucketName, Quotas
from clarion.ports.secrets import Vault
from clarion.ports.versioned import Change

_VERSION: Final = b"\x01"
_PURPOSE: Final = [b"clarion live ticket"]
_OWNER: Final = "live-tickets"
_ALL: Final = ("", "\U0010ffff")
_NONCE_BYTES: Final = 12


class _Content(msgspec.Struct, frozen=True, array_like=True):
    nonce: bytes
    expires_ms: int
    grant: TokenClaims


_DECODER: Final = msgspec.msgpack.Decoder(_Content)


class Tickets:
    """Issues and redeems tickets. Belongs to one event loop."""

    def __init__(self, vault: Vault, quotas: Quotas, clock: Clock) -> None:
        self._siv = AESSIV(vault.derive("live-tickets/1/mac") + vault.derive("live-tickets/1/encrypt"))
        self._quotas = quotas
        self._clock = clock
        self._forgotten_ms = 0

    def issue(self, grant: TokenClaims) -> tuple[str, int]:
        """Return a ticket for the holder of a user token, and when it expires in Unix milliseconds: at the latest with the
        token."""
        expires_ms = min(self._clock.now_ms() + TICKET_TTL_S * 1000, grant.expires_ms)
        content = _Content(self._clock.entropy(_NONCE_BYTES), expires_ms, grant)
        sealed = _VERSION + self._siv.encrypt(msgspec.msgpack.encode(content), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(), expires_ms

    async def redeem(self, ticket: str) -> TokenClaims:
        """Return for whom a ticket was issued, once. Raises `Unauthorized` when it is none, was used or has expired."""
        content, now_ms = self._read(ticket), self._clock.now_ms()
        if content is None or content.expires_ms <= now_ms:
            raise _refused()
        grant = content.grant
        await self._forget(grant.tenant, now_ms)
        name = BucketName(grant.tenant, _OWNER, content.nonce.hex())
        (done,) = await self._quotas.swap([[Change(name, 0, Usage(1, now_ms))]])
        if not done.stored:
            raise _refused()
        return grant

    def _read(self, ticket: str) -> _Content | None:
        if not ticket.isascii() or len(ticket) > TICKET_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(ticket + "=" * (-len(ticket) % 4), b"-_", validate=True)
            # Base64 has unused bits at its end: text that differs only in these would be a second ticket.
            if raw[:1] != _VERSION or base64.urlsafe_b64encode(raw).rstrip(b"=") != ticket.encode():
                return None
            return _DECODER.decode(self._siv.decrypt(raw[1:], _PURPOSE))
        except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
            return None

    async def _forget(self, tenant: str, now_ms: int) -> None:
        """Remove used tickets that have expired, now and then."""
        if now_ms - self._forgotten_ms >= TICKET_FORGET_MS:
            self._forgotten_ms = now_ms
            await self._quotas.forget(tenant, _OWNER, _ALL, (now_ms - TICKET_FORGET_MS, now_ms + TICKET_FORGET_MS))

    def __repr__(self) -> str:
        return "Tickets()"


def _refused() -> Unauthorized:
    return Unauthorized("the ticket is unknown, used or expired", field="ticket", code="ticket_not_valid", counts=False)
