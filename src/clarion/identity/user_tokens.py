"""Signed user tokens: a tenant's application gives one to its user's browser, which may then read one inbox.

Only JWTs (RFC 7519) with HS256: the header is compared with the one allowed, never interpreted, so it cannot choose an
algorithm; its `kid` can only name a generation of the tenant's keys. The first generation has none. Of base64url and of JSON one form is accepted: no unused bits, no claim twice.
Every tenant has its own keys, derived from the master key, so a token of one tenant cannot be made with the key of
another.
"""

import base64
import json
import re
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import OctKey

from clarion.domain.errors import Unauthorized
from clarion.domain.limits import TENANT_CHARS_MAX, USER_TOKEN_CHARS_MAX, USER_TOKEN_LEEWAY_S, USER_TOKEN_TTL_S_MAX
from clarion.domain.token_key import TokenKey
from clarion.ports.secrets import Vault

ISSUER: Final = "clarion"
AUDIENCE: Final = "clarion-user"
_ALGORITHM: Final = "HS256"
_HEADER: Final = {"typ": "JWT", "alg": _ALGORITHM}
_SIGNED_HEADER: Final = base64.urlsafe_b64encode(msgspec.json.encode(_HEADER)).rstrip(b"=").decode()
_KEYED_HEADER: Final = re.compile(rb'\{"typ":"JWT","alg":"HS256","kid":"([1-9][0-9]{0,8})"\}')


class TokenRefusal(StrEnum):
    """Why a token is refused: the codes of the API."""

    MALFORMED = "token_malformed"
    HEADER = "token_header_refused"
    SIGNATURE = "token_signature_wrong"
    CLAIMS = "token_claims_wrong"
    AUDIENCE = "token_audience_wrong"
    LIFETIME = "token_lifetime_too_long"
    NOT_YET = "token_not_yet_valid"
    EXPIRED = "token_expired"
    REVOKED = "token_revoked"


_DETAILS: Final = {
    TokenRefusal.MALFORMED: "this is no user token",
    TokenRefusal.HEADER: "a user token has the header that Clarion gives it, and no other",
    TokenRefusal.SIGNATURE: "the token was not signed with the key of its tenant",
    TokenRefusal.CLAIMS: "the claims of the token are not those of a user token",
    TokenRefusal.AUDIENCE: "the token was issued by another party or for another purpose",
    TokenRefusal.LIFETIME: f"the token is valid for more than {USER_TOKEN_TTL_S_MAX} seconds",
    TokenRefusal.NOT_YET: "the token is not valid yet: is a clock wrong?",
    TokenRefusal.REVOKED: "the tenant has revoked its user tokens; get another one",
    TokenRefusal.EXPIRED: "the token has expired; get another one",
}


class _Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    iss: str
    aud: str
    sub: str
    tenant: str
    iat: int
    exp: int
    nbf: int = 0


class TokenClaims(NamedTuple):
    """For whom a verified token was issued: it was signed with a generation of the tenant's keys, and is valid until a time in Unix
    milliseconds."""

    tenant: str
    user_id: str
    generation: int
    expires_ms: int


class UserTokens:
    """Signs and verifies user tokens with keys of the vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def issue(self, tenant: str, user_id: str, now_s: int, ttl_s: int, generation: int = 0) -> str:
        """Return a token for one user, valid for `ttl_s` seconds, signed with the tenant's key of a generation."""
        claims = msgspec.to_builtins(_Claims(ISSUER, AUDIENCE, user_id, tenant, now_s, now_s + ttl_s))
        header = _HEADER | ({"kid": str(generation)} if generation else {})
        return jwt.encode(header, claims, self._key(tenant, generation), algorithms=[_ALGORITHM])

    def grant(self, token: str, now_s: int) -> TokenClaims:
        """Return for whom a token was issued. Raises `Unauthorized` when the token is not valid, with the code of a
        `TokenRefusal`. Codes about claims are those of signed tokens alone, so that nobody can ask with made-up ones."""
        parts = token.split(".")
        if len(token) > USER_TOKEN_CHARS_MAX or len(parts) != 3:
            raise _refused(TokenRefusal.MALFORMED)
        generation = generation_of(token)
        try:
            body, _ = map(_decoded, parts[1:])
            claims = json.loads(body, object_pairs_hook=_without_repeats)
            # The tenant in the token only selects the key; the signature proves it.
            key = self._key(_tenant_of(claims), generation)
            jwt.decode(token, key, algorithms=[_ALGORITHM])
        except BadSignatureError:
            raise _refused(TokenRefusal.SIGNATURE) from None
        except (JoseError, ValueError, RecursionError):
            raise _refused(TokenRefusal.MALFORMED) from None
        return _grant(claims, generation, now_s)

    def _key(self, tenant: str, generation: int) -> OctKey:
        # A tenant's id has no slash, so no two keys have one purpose.
        purpose = f"user-tokens/{tenant}/{generation}" if generation else f"user-tokens/{tenant}"
        return OctKey.import_key(self._vault.derive(purpose))


def generation_of(token: str) -> int:
    """Return the generation of the key that a token names. Raises `Unauthorized` for a header that is not Clarion's."""
    head = token.partition(".")[0]
    if head == _SIGNED_HEADER:
        return 0
    try:
        found = _KEYED_HEADER.fullmatch(_decoded(head))
    except ValueError:
        found = None
    if found is None:
        raise _refused(TokenRefusal.HEADER)
    return int(found[1])


def check_generation(token: str, key: TokenKey, now_ms: int) -> None:
    """Raise `Unauthorized` when the key of a verified token was replaced, and the overlap has ended."""
    if not key.permits(generation_of(token), now_ms):
        raise token_revoked()


def token_revoked() -> Unauthorized:
    """Return the error of a token whose key was replaced."""
    return _refused(TokenRefusal.REVOKED, counts=False)


def _grant(signed: dict[str, Any], generation: int, now_s: int) -> TokenClaims:
    try:
        claims = msgspec.convert(signed, _Claims)
    except msgspec.ValidationError:
        raise _refused(TokenRefusal.CLAIMS) from None
    if claims.iss != ISSUER or claims.aud != AUDIENCE:
        raise _refused(TokenRefusal.AUDIENCE)
    if not claims.sub or claims.exp < claims.iat:
        raise _refused(TokenRefusal.CLAIMS)
    if claims.exp - claims.iat > USER_TOKEN_TTL_S_MAX:
        raise _refused(TokenRefusal.LIFETIME)
    if max(claims.iat, claims.nbf) > now_s + USER_TOKEN_LEEWAY_S:
        raise _refused(TokenRefusal.NOT_YET)
    if claims.exp <= now_s:
        raise _refused(TokenRefusal.EXPIRED, counts=False)
    return TokenClaims(claims.tenant, claims.sub, generation, claims.exp * 1000)


def _refused(refusal: TokenRefusal, *, counts: bool = True) -> Unauthorized:
    return Unauthorized(_DETAILS[refusal], field="Authorization", code=refusal, counts=counts)


def _decoded(part: str) -> bytes:
    """Return the bytes of base64url without padding. Raises `ValueError` unless it is their only form."""
    raw = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ValueError("not canonical")
    return raw


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a claim comes twice")
    return found


def _tenant_of(claims: Any) -> str:
    tenant = claims.get("tenant") if isinstance(claims, dict) else None
    if not isinstance(tenant, str) or not 1 <= len(tenant) <= TENANT_CHARS_MAX:
        raise ValueError("names no tenant")
    return tenant
