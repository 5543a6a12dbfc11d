"""Signed user tokens: what a tenant's application hands to its user's browser so that it may read one inbox.

A JWT under HS256 and nothing else: the one header there is is compared, never read, so it can ask for nothing. Every
tenant has its own key, derived from the master key, so a token of one tenant cannot be made from another's.
"""

import base64
from typing import Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from clarion.domain.limits import USER_TOKEN_CHARS_MAX
from clarion.ports.secrets import Vault
from clarion.ports.web import USER, Caller

ISSUER: Final = "clarion"
AUDIENCE: Final = "clarion-user"
KEY_ID: Final = "user-token"
_ALGORITHM: Final = "HS256"
_HEADER: Final = {"typ": "JWT", "alg": _ALGORITHM}
_SIGNED_HEADER: Final = base64.urlsafe_b64encode(msgspec.json.encode(_HEADER)).rstrip(b"=").decode() + "."


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    sub: str
    tenant: str
    iat: int
    exp: int


class UserTokens:
    """Signs and verifies user tokens with keys of the vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def issue(self, tenant: str, user_id: str, now_s: int, ttl_s: int) -> str:
        """Return a token for one user, good for `ttl_s` seconds."""
        claims = _Claims(ISSUER, AUDIENCE, user_id, tenant, now_s, now_s + ttl_s)
        return jwt.encode(dict(_HEADER), msgspec.structs.asdict(claims), self._key(tenant), algorithms=[_ALGORITHM])

    def verify(self, token: str, now_s: int) -> Caller | None:
        """Return the user a token speaks for, or None when anything about it is wrong."""
        if len(token) > USER_TOKEN_CHARS_MAX or token.count(".") != 2 or not token.startswith(_SIGNED_HEADER):
            return None
        try:
            # What the token says of its tenant only picks the key; the signature decides whether that was true.
            claimed = _claims_of(token)
            verified = jwt.decode(token, self._key(claimed.tenant), algorithms=[_ALGORITHM])
            claims = msgspec.convert(verified.claims, _Claims)
        except (JoseError, ValueError, RecursionError, msgspec.MsgspecError):
            return None
        if claims.iss != ISSUER or claims.aud != AUDIENCE or not claims.iat <= claims.exp > now_s or not claims.sub:
            return None
        return Caller(claims.tenant, KEY_ID, frozenset({USER}), claims.sub)

    def _key(self, tenant: str) -> OctKey:
        return OctKey.import_key(self._vault.derive(f"user-tokens/{tenant}"))


def _claims_of(token: str) -> _Claims:
    body = token.split(".")[1]
    raw = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
    return msgspec.json.decode(raw, type=_Claims)
