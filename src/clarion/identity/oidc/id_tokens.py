"""ID tokens: signed by the provider, for us, for this sign-in, and not over (OpenID Connect Core 1.0, section 3.1.3.7).

The algorithms are ours: what a token names decides nothing, and neither `none` nor one with a shared key is among them.
"""

import hmac
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import KeySet

from clarion.domain.limits_people import ID_TOKEN_CHARS_MAX, ID_TOKEN_LEEWAY_S, SUBJECT_CHARS_MAX
from clarion.identity.oidc.refusals import Refusal, refused

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
_REGISTRY: Final = jws.JWSRegistry(algorithms=list(ALGORITHMS))


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a token, whose signature is not checked. Raises `Unauthorized` for a token that is none, or whose algorithm
    is not accepted."""
    if len(token) > ID_TOKEN_CHARS_MAX or token.count(".") != 2:
        raise refused(Refusal.MALFORMED)
    try:
        header: dict[str, Any] = jws.extract_compact(token.encode("ascii")).headers()
    except (JoseError, ValueError):
        raise refused(Refusal.MALFORMED) from None
    if header.get("alg") not in ALGORITHMS:
        raise refused(Refusal.ALGORITHM)
    return header


def claims_of(token: str, keys: KeySet) -> dict[str, Any]:
    """Return the claims of a token that one of the keys has signed. Raises `Unauthorized`."""
    header_of(token)
    try:
        payload = jws.deserialize_compact(token, keys, registry=_REGISTRY).payload
        claims = msgspec.json.decode(payload)
    except BadSignatureError:
        raise refused(Refusal.SIGNATURE) from None
    except (JoseError, ValueError, msgspec.MsgspecError):
        raise refused(Refusal.SIGNATURE) from None
    if not isinstance(claims, dict):
        raise refused(Refusal.MALFORMED)
    return claims


def check_claims(claims: dict[str, Any], issuer: str, client_id: str, nonce: str, now_s: int) -> None:
    """Raise `Unauthorized` unless claims are of this provider, for this client and this sign-in, and valid now."""
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    if claims.get("iss") != issuer:
        raise refused(Refusal.ISSUER)
    if client_id not in audiences or (len(audiences) > 1 and party is None) or party not in (None, client_id):
        raise refused(Refusal.AUDIENCE)
    ends, begun, not_before = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if ends is None or begun is None:
        raise refused(Refusal.CLAIMS)
    if ends <= now_s - ID_TOKEN_LEEWAY_S or max(begun, not_before or 0) > now_s + ID_TOKEN_LEEWAY_S:
        raise refused(Refusal.EXPIRED)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), nonce.encode()):
        raise refused(Refusal.NONCE)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_CHARS_MAX:
        raise refused(Refusal.CLAIMS)


def _time(claims: dict[str, Any], name: str) -> float | None:
    """Return a time in claims, None when there is none."""
    at = claims.get(name)
    return at if isinstance(at, int | float) and not isinstance(at, bool) else None
